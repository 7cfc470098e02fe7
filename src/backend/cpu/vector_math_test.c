/* SPDX-License-Identifier: Apache-2.0
 *
 * vector_math_test.c: the polynomials against the C library in double. Compiled for plain C: other levels give the same bits
 * (conformance compares kernels of all levels with memcmp).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/cpu/kernels/vector_math.h"

typedef vf (*vector_function)(vf x);
typedef double (*exact_function)(double x);

typedef enum error_scale { OF_VALUE, OF_X, ABSOLUTE } error_scale;

/* The largest error over 200,000 even steps of [from, to]. */
static double largest_error(vector_function function, exact_function exact, double from, double to, error_scale of) {
    double largest = 0.0;
    for (int64_t i = 0; i < 200000; i += LANES) {
        float x[LANES], y[LANES];
        for (int lane = 0; lane < LANES; lane++) x[lane] = (float)(from + (to - from) * (double)(i + lane) / 200000.0);
        v_store(y, function(v_load(x)));
        for (int lane = 0; lane < LANES; lane++) {
            double wanted = exact((double)x[lane]);
            double scale = of == OF_X ? fabs((double)x[lane]) : of == OF_VALUE ? fabs(wanted) : 1.0;
            if (scale < 1e-30) continue;
            largest = fmax(largest, fabs((double)y[lane] - wanted) / scale);
        }
    }
    return largest;
}

static double exact_silu(double x) {
    return x / (1.0 + exp(-x));
}
static double exact_gelu_erf(double x) {
    return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
}
static double exact_gelu_tanh(double x) {
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* not static inline: the address of an always_inline function is not taken */
static vf exp_of(vf x) {
    return v_exp(x);
}
static vf log_of(vf x) {
    return v_log(x);
}
static vf tanh_of(vf x) {
    return v_tanh(x);
}
static vf erf_of(vf x) {
    return v_erf(x);
}
static vf silu_of(vf x) {
    return v_silu(x);
}
static vf gelu_erf_of(vf x) {
    return v_gelu_erf(x);
}
static vf gelu_tanh_of(vf x) {
    return v_gelu_tanh(x);
}

static void polynomials_are_near_the_exact_functions(void **state) {
    (void)state;
    const struct {
        const char *name;
        vector_function function;
        exact_function exact;
        double from, to, bound;
        error_scale of;
    } cases[] = {
        {"exp", exp_of, exp, -87.0, 88.0, 2e-7, OF_VALUE},
        {"log", log_of, log, 1.5, 1e6, 3e-7, OF_VALUE},
        {"log below 1", log_of, log, 1e-6, 0.7, 3e-7, OF_VALUE},
        {"tanh", tanh_of, tanh, -12.0, 12.0, 5e-7, OF_VALUE},
        {"erf", erf_of, erf, -5.0, 5.0, 3e-7, ABSOLUTE},
        {"silu", silu_of, exact_silu, -80.0, 80.0, 4e-7, OF_X},
        {"gelu_erf", gelu_erf_of, exact_gelu_erf, -10.0, 10.0, 1e-6, OF_X},
        {"gelu_tanh", gelu_tanh_of, exact_gelu_tanh, -10.0, 10.0, 1e-6, OF_X},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double error = largest_error(cases[i].function, cases[i].exact, cases[i].from, cases[i].to, cases[i].of);
        print_message("%s: %.2g\n", cases[i].name, error);
        if (!(error <= cases[i].bound)) fail_msg("%s is off by %g, the bound is %g", cases[i].name, error, cases[i].bound);
    }
}

static void extremes_give_limits(void **state) {
    (void)state;
    float x[LANES] = {INFINITY, -INFINITY, 1000.0f, -1000.0f, 0.0f, -0.0f, NAN}, y[LANES];
    v_store(y, v_exp(v_load(x)));
    assert_true(isinf(y[0]) && y[1] == 0.0f && isinf(y[2]) && y[3] == 0.0f && y[4] == 1.0f && y[5] == 1.0f && isnan(y[6]));
    v_store(y, v_tanh(v_load(x)));
    assert_true(y[0] == 1.0f && y[1] == -1.0f && y[2] == 1.0f && y[3] == -1.0f && y[4] == 0.0f && isnan(y[6]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(polynomials_are_near_the_exact_functions),
        cmocka_unit_test(extremes_give_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
