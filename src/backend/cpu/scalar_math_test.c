/* SPDX-License-Identifier: Apache-2.0
 *
 * scalar_math_test.c: how far the functions of scalar_math.h stand from libm's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/cpu/kernels/scalar_math.h"

static double sine(double x) {
    double s, c;
    s_sin_cos(x, &s, &c);
    return s;
}
static double cosine(double x) {
    double s, c;
    s_sin_cos(x, &s, &c);
    return c;
}

/* The largest error at `count` places from `first` to `last`, relative to 1 or to the value if that is larger. */
static double largest_error(double (*own)(double), double (*other)(double), double first, double last, int count) {
    double largest = 0.0;
    for (int i = 0; i <= count; i++) {
        double x = first + (last - first) * (double)i / (double)count, got = own(x), want = other(x);
        if (isnan(want) != isnan(got)) fail_msg("%g gives %g, it should give %g", x, got, want);
        if (isnan(want) || want == got) continue;
        double error = fabs(got - want) / fmax(fabs(want), 1e-3);
        if (!(error <= largest)) largest = error;
    }
    return largest;
}

static void functions_stand_near_those_of_libm(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double (*own)(double), (*other)(double);
        double first, last, bound;
    } functions[] = {
        {"exp", s_exp, exp, -745.0, 709.0, 4e-15},   {"log", s_log, log, 1e-300, 20.0, 4e-15},
        {"log", s_log, log, 0.5, 2.0, 4e-15},        {"log1p", s_log1p, log1p, -0.999, 3.0, 4e-15},
        {"expm1", s_expm1, expm1, -3.0, 3.0, 4e-15}, {"tanh", s_tanh, tanh, -25.0, 25.0, 4e-15},
        {"sinh", s_sinh, sinh, -50.0, 50.0, 4e-15},  {"cosh", s_cosh, cosh, -50.0, 50.0, 4e-15},
        {"atan", s_atan, atan, -20.0, 20.0, 4e-15},  {"asin", s_asin, asin, -1.1, 1.1, 4e-15},
        {"acos", s_acos, acos, -1.1, 1.1, 4e-15},    {"asinh", s_asinh, asinh, -90.0, 90.0, 4e-15},
        {"acosh", s_acosh, acosh, 0.5, 90.0, 4e-15}, {"atanh", s_atanh, atanh, -1.0, 1.0, 4e-15},
        {"erf", s_erf, erf, -7.0, 7.0, 4e-15},       {"sin", sine, sin, -20.0, 20.0, 4e-15},
        {"cos", cosine, cos, -20.0, 20.0, 4e-15},    {"sin", sine, sin, 1e5, 2e6, 4e-14},
        {"sin", sine, sin, 1e15, 1e22, 4e-14},       {"cos", cosine, cos, -1e38, 1e38, 4e-14},
        {"sin", sine, sin, -1e308, 1e308, 4e-14},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        double error = largest_error(functions[i].own, functions[i].other, functions[i].first, functions[i].last, 20011);
        if (error > functions[i].bound) fail_msg("%s from %g on: an error of %.3g", functions[i].name, functions[i].first, error);
    }
}

static void powers_of_special_values_are_those_of_c(void **state) {
    (void)state;
    static const double values[] = {0.0, -0.0, 1.0,   -1.0,   2.0,  -2.0,   0.5,      -0.5,      3.0, -3.0,
                                    2.5, -2.5, 1e300, -1e300, 65.0, 1e-300, INFINITY, -INFINITY, NAN};
    for (size_t a = 0; a < sizeof values / sizeof values[0]; a++)
        for (size_t b = 0; b < sizeof values / sizeof values[0]; b++) {
            double got = s_pow(values[a], values[b]), want = pow(values[a], values[b]);
            bool equal = isnan(want)                  ? isnan(got)
                         : isinf(want) || want == 0.0 ? got == want && signbit(got) == signbit(want)
                                                      : fabs(got - want) <= 1e-12 * fabs(want);
            if (!equal) fail_msg("%g to the power %g gives %g, it should give %g", values[a], values[b], got, want);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_stand_near_those_of_libm),
        cmocka_unit_test(powers_of_special_values_are_those_of_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
