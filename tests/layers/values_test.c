/* SPDX-License-Identifier: Apache-2.0
 *
 * values_test.c: every case of tests/golden/layers, defined, built and run through the public interface: on ref with fixed shapes,
 * on ref with dimensions known at run time, on ref's asynchronous device, and on cpu, where nothing may fall back to the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "format/json.h"
#include "op/dtype.h"
#include "op/op.h"
#include "tenon/builder.h"
#include "tenon/context.h"

enum { MAX_INPUTS = 9, MAX_OUTPUTS = 4, BUFFER_BYTES = 1 << 16 };

typedef struct target {
    const char *name, *backend;
    bool async, dynamic;
    double tolerance; /* the least, relative */
} target;

static const target targets[] = {
    {"ref", "ref", false, false, 1e-6}, {"ref, dynamic", "ref", false, true, 1e-6}, {"ref, async", "ref", true, false, 1e-6},
    {"cpu", "cpu", false, false, 1e-5}, {"cpu, dynamic", "cpu", false, true, 1e-5},
};

/* One input or expected output. */
typedef struct golden {
    bool is_given, is_constant;
    tn_dtype dtype;
    tn_dims dims;
    int64_t count;
    double *values;
    void *data; /* as dtype */
} golden;

typedef struct run {
    const target *on;
    const char *name, *layer;
    tn_diag *diag;
    tn_network *network;
    const tn_json_value *params;
    golden inputs[MAX_INPUTS];
    tn_tensor *x[MAX_INPUTS];
    int num_inputs;
    tn_arena *arena;
    jmp_buf *escape;
} run;

static const char *last_message(const tn_diag *diag) {
    tn_diag_entry entry = {.message = "(no message)"};
    if (tn_diag_num_entries(diag) > 0) (void)tn_diag_get(diag, tn_diag_num_entries(diag) - 1, &entry);
    return entry.message;
}

/* Ends the case; the others still run, and the test fails at its end. */
#define FAIL(r, ...)                                         \
    do {                                                     \
        print_error("%s on %s: ", (r)->name, (r)->on->name); \
        print_error(__VA_ARGS__);                            \
        print_error("\n");                                   \
        longjmp(*(r)->escape, 1);                            \
    } while (0)

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

static double number_of(const tn_json_value *value) {
    const char *text;
    double number = 0.0;
    if (tn_json_kind_of(value) == TN_JSON_BOOL) {
        bool flag;
        assert_int_equal(tn_json_to_bool(value, NULL, &flag), TN_OK);
        return flag;
    }
    if (tn_json_kind_of(value) != TN_JSON_STRING) {
        assert_int_equal(tn_json_to_number(value, -INFINITY, INFINITY, NULL, &number), TN_OK);
        return number;
    }
    assert_int_equal(tn_json_to_string(value, NULL, &text, NULL), TN_OK);
    return strcmp(text, "nan") == 0 ? (double)NAN : strcmp(text, "inf") == 0 ? (double)INFINITY : -(double)INFINITY;
}

static const char *string_of(const tn_json_value *object, const char *key, const char *otherwise) {
    const tn_json_value *value = tn_json_find(object, key);
    const char *text = otherwise;
    if (value != NULL) assert_int_equal(tn_json_to_string(value, NULL, &text, NULL), TN_OK);
    return text;
}

static double real(const run *r, const char *key, double otherwise) {
    const tn_json_value *value = tn_json_find(r->params, key);
    return value != NULL && tn_json_kind_of(value) != TN_JSON_NULL ? number_of(value) : otherwise;
}

static int integer(const run *r, const char *key, int otherwise) {
    return (int)real(r, key, otherwise);
}

static int option(const run *r, const char *key, tn_enum_id id) {
    const char *name = string_of(r->params, key, NULL);
    int value = name != NULL ? tn_enum_find(id, name) : 0;
    if (value < 0) FAIL(r, "there is no %s '%s'", tn_enum_get_info(id)->name, name);
    return value;
}

static tn_dtype dtype_of(const run *r, const char *key, tn_dtype otherwise) {
    const char *name = string_of(r->params, key, NULL);
    return name != NULL ? tn_dtype_find(name) : otherwise;
}

static tn_dims dims_of(const tn_json_value *list) {
    tn_dims dims = {0};
    if (list == NULL || tn_json_kind_of(list) != TN_JSON_ARRAY) return dims;
    dims.rank = (int32_t)tn_json_count(list);
    for (int i = 0; i < dims.rank; i++) dims.d[i] = (int64_t)number_of(tn_json_at(list, (size_t)i));
    return dims;
}

static tn_dims list(const run *r, const char *key) {
    return dims_of(tn_json_find(r->params, key));
}

static golden read_tensor(run *r, const tn_json_value *value) {
    golden g = {.is_given = tn_json_kind_of(value) == TN_JSON_OBJECT};
    if (!g.is_given) return g;
    const tn_json_value *values = tn_json_find(value, "values");
    g.is_constant = tn_json_find(value, "constant") != NULL;
    g.dtype = tn_dtype_find(string_of(value, "dtype", ""));
    g.dims = dims_of(tn_json_find(value, "dims"));
    g.count = (int64_t)tn_json_count(values);
    g.values = tn_arena_alloc_array(r->arena, (size_t)g.count + 1, sizeof *g.values);
    g.data = tn_arena_alloc(r->arena, (size_t)g.count * 8 + 64);
    assert_non_null(g.data);
    for (int64_t i = 0; i < g.count; i++) {
        g.values[i] = number_of(tn_json_at(values, (size_t)i));
        tn_dtype_store(g.dtype, g.data, i, g.values[i]);
    }
    return g;
}

/* --- one layer of each kind, by its public adder ---------------------------------------------------------------------------------- */

static tn_tensor *x(const run *r, int i) {
    return i < r->num_inputs ? r->x[i] : NULL;
}

static tn_window_options window_options(const run *r) {
    tn_window_options o;
    tn_window_options_init(&o);
    o.stride = list(r, "stride"), o.dilation = list(r, "dilation");
    o.pre_padding = list(r, "pre_padding"), o.post_padding = list(r, "post_padding");
    o.padding_mode = (tn_padding_mode)option(r, "padding_mode", TN_ENUM_ID_PADDING);
    o.groups = integer(r, "groups", 1);
    o.blend_factor = real(r, "blend", 0.0);
    o.average_counts_padding = integer(r, "counts_padding", 0) != 0;
    return o;
}

static tn_layer *add_activation(run *r) {
    tn_layer *layer = tn_network_add_activation(r->network, x(r, 0), (tn_activation_type)option(r, "type", TN_ENUM_ID_ACTIVATION));
    if (tn_json_find(r->params, "alpha") != NULL) tn_activation_set_parameters(layer, real(r, "alpha", 0), real(r, "beta", 0));
    return layer;
}

static tn_layer *add_topk(run *r) {
    int k = integer(r, "k", 0);
    tn_layer *layer = tn_network_add_topk(r->network, x(r, 0), (tn_topk_op)option(r, "op", TN_ENUM_ID_TOPK), x(r, 1) != NULL ? 0 : k,
                                          integer(r, "axis", 0));
    if (x(r, 1) != NULL) tn_topk_set_k_tensor(layer, x(r, 1));
    if (tn_json_find(r->params, "indices") != NULL) tn_topk_set_indices_type(layer, dtype_of(r, "indices", TN_INT32));
    return layer;
}

static tn_layer *add_shuffle(run *r) {
    tn_layer *layer = tn_network_add_shuffle(r->network, x(r, 0));
    if (tn_json_find(r->params, "first") != NULL) tn_shuffle_set_first_transpose(layer, list(r, "first"));
    if (integer(r, "zero_is_zero", 0) != 0) tn_shuffle_set_zero_is_placeholder(layer, false);
    if (tn_json_find(r->params, "reshape") != NULL) tn_shuffle_set_reshape(layer, list(r, "reshape"));
    if (tn_json_find(r->params, "second") != NULL) tn_shuffle_set_second_transpose(layer, list(r, "second"));
    return layer;
}

static tn_layer *add_squeeze(run *r) {
    tn_dims axes = list(r, "axes");
    int numbers[TN_MAX_RANK];
    for (int i = 0; i < axes.rank; i++) numbers[i] = (int)axes.d[i];
    return strcmp(r->layer, "squeeze") == 0 ? tn_network_add_squeeze(r->network, x(r, 0), numbers, axes.rank)
                                            : tn_network_add_unsqueeze(r->network, x(r, 0), numbers, axes.rank);
}

static tn_layer *add_slice(run *r) {
    tn_slice_options o;
    tn_slice_options_init(&o);
    bool by_tensors = integer(r, "tensors", 0) != 0;
    o.start = list(r, "start"), o.size = list(r, "size"), o.stride = list(r, "stride"), o.axes = list(r, "axes");
    o.mode = (tn_sample_mode)option(r, "mode", TN_ENUM_ID_SAMPLE);
    if (by_tensors) o.start_tensor = x(r, 1), o.size_tensor = x(r, 2), o.stride_tensor = x(r, 3);
    o.fill = x(r, 4);
    return tn_network_add_slice_with(r->network, x(r, 0), &o);
}

static tn_layer *add_resize(run *r) {
    tn_resize_options o;
    tn_resize_options_init(&o);
    const tn_json_value *scales = tn_json_find(r->params, "scales");
    o.size = list(r, "size"), o.size_tensor = x(r, 1);
    o.num_scales = scales != NULL ? (int)tn_json_count(scales) : 0;
    for (int i = 0; i < o.num_scales; i++) o.scales[i] = number_of(tn_json_at(scales, (size_t)i));
    o.mode = (tn_interpolation_mode)option(r, "mode", TN_ENUM_ID_INTERPOLATION);
    o.transform = (tn_resize_transform)option(r, "transform", TN_ENUM_ID_RESIZE_TRANSFORM);
    o.selector = (tn_resize_selector)option(r, "selector", TN_ENUM_ID_RESIZE_SELECTOR);
    o.rounding = (tn_resize_rounding)option(r, "rounding", TN_ENUM_ID_RESIZE_ROUNDING);
    o.exclude_outside = integer(r, "exclude_outside", 0) != 0;
    return tn_network_add_resize(r->network, x(r, 0), &o);
}

static tn_layer *add_nms(run *r) {
    tn_nms_options o;
    tn_nms_options_init(&o);
    o.format = (tn_box_format)option(r, "format", TN_ENUM_ID_BOX);
    o.iou_threshold = x(r, 3), o.score_threshold = x(r, 4);
    return tn_network_add_nms(r->network, x(r, 0), x(r, 1), x(r, 2), &o);
}

static tn_layer *add_fill(run *r) {
    tn_fill_op op = (tn_fill_op)option(r, "op", TN_ENUM_ID_FILL);
    tn_layer *layer = tn_network_add_fill_constant(r->network, list(r, "dims"), op, dtype_of(r, "dtype", TN_FLOAT32), real(r, "alpha", 0),
                                                   real(r, "beta", 1));
    if (x(r, 0) != NULL) /* a step for each axis */
        layer = tn_network_add_fill(r->network, tn_layer_input(layer, 0), tn_layer_input(layer, 1), x(r, 0));
    if (tn_json_find(r->params, "seed") != NULL) tn_fill_set_operation(layer, op, (int64_t)real(r, "seed", 0));
    return layer;
}

static tn_layer *add_attention(run *r) {
    static const char *const kinds[] = {"none", "upper_left", "lower_right"};
    tn_attention_options o;
    tn_attention_options_init(&o);
    for (int i = 0; i < 3; i++)
        if (strcmp(string_of(r->params, "causal", "none"), kinds[i]) == 0) o.causal = (tn_causal_mask)i;
    o.mask = x(r, 3);
    return tn_network_add_attention(r->network, x(r, 0), x(r, 1), x(r, 2), &o);
}

static tn_layer *add_kv_cache_update(run *r) {
    tn_kv_cache_update_options o;
    tn_kv_cache_update_options_init(&o);
    o.update_lengths = x(r, 3);
    return tn_network_add_kv_cache_update(r->network, x(r, 0), x(r, 1), x(r, 2), &o);
}

static tn_layer *add_moe(run *r) {
    tn_moe_options o;
    tn_moe_options_init(&o);
    o.gate = x(r, 3), o.up = x(r, 4), o.down = x(r, 5);
    o.gate_bias = x(r, 6), o.up_bias = x(r, 7), o.down_bias = x(r, 8);
    o.activation = (tn_activation_type)option(r, "activation", TN_ENUM_ID_ACTIVATION);
    o.swiglu_limit = real(r, "limit", INFINITY), o.swiglu_alpha = real(r, "alpha", 1.0), o.swiglu_beta = real(r, "beta", 0.0);
    return tn_network_add_moe(r->network, x(r, 0), x(r, 1), x(r, 2), &o);
}

static tn_layer *add_quantize(run *r) {
    tn_dims block = list(r, "block");
    bool quantizes = strcmp(r->layer, "quantize") == 0;
    tn_dtype to = dtype_of(r, "to", TN_INT8);
    if (block.rank > 0)
        return quantizes ? tn_network_add_quantize_blocks(r->network, x(r, 0), x(r, 1), to, block)
                         : tn_network_add_dequantize_blocks(r->network, x(r, 0), x(r, 1), to, block);
    return quantizes ? tn_network_add_quantize(r->network, x(r, 0), x(r, 1), to, integer(r, "axis", 0))
                     : tn_network_add_dequantize(r->network, x(r, 0), x(r, 1), to, integer(r, "axis", 0));
}

static tn_layer *add_non_zero(run *r) {
    tn_layer *layer = tn_network_add_non_zero(r->network, x(r, 0));
    if (tn_json_find(r->params, "indices") != NULL) tn_non_zero_set_indices_type(layer, dtype_of(r, "indices", TN_INT64));
    return layer;
}

#define NET  (r->network)
#define AXIS integer(r, "axis", 0)
#define ADDER(e) \
    { return e; }
#define SIMPLE_LAYERS(X)                                                                                                                  \
    X(unary, tn_network_add_unary(NET, x(r, 0), (tn_unary_op)option(r, "op", TN_ENUM_ID_UNARY)))                                          \
    X(elementwise, tn_network_add_elementwise(NET, x(r, 0), x(r, 1), (tn_elementwise_op)option(r, "op", TN_ENUM_ID_ELEMENTWISE)))         \
    X(select, tn_network_add_select(NET, x(r, 0), x(r, 1), x(r, 2)))                                                                      \
    X(parametric_relu, tn_network_add_parametric_relu(NET, x(r, 0), x(r, 1)))                                                             \
    X(scale, tn_network_add_scale(NET, x(r, 0), (tn_scale_mode)option(r, "mode", TN_ENUM_ID_SCALE), x(r, 1), x(r, 2), x(r, 3), AXIS))     \
    X(cast, tn_network_add_cast(NET, x(r, 0), dtype_of(r, "to", TN_FLOAT32)))                                                             \
    X(reduce, tn_network_add_reduce(NET, x(r, 0), (tn_reduce_op)option(r, "op", TN_ENUM_ID_REDUCE), (uint32_t)integer(r, "axes", 0),      \
                                    integer(r, "keep_dims", 0) != 0))                                                                     \
    X(softmax, tn_network_add_softmax(NET, x(r, 0), AXIS))                                                                                \
    X(cumulative,                                                                                                                         \
      tn_network_add_cumulative(NET, x(r, 0), AXIS, TN_CUMULATIVE_SUM, integer(r, "exclusive", 0) != 0, integer(r, "reverse", 0) != 0))   \
    X(ragged_softmax, tn_network_add_ragged_softmax(NET, x(r, 0), x(r, 1)))                                                               \
    X(normalization,                                                                                                                      \
      tn_network_add_normalization(NET, x(r, 0), x(r, 1), x(r, 2), (tn_normalization_type)option(r, "type", TN_ENUM_ID_NORMALIZATION),    \
                                   real(r, "epsilon", 0)))                                                                                \
    X(normalization_nd,                                                                                                                   \
      tn_network_add_normalization_nd(NET, x(r, 0), x(r, 1), x(r, 2), (tn_normalization_type)option(r, "type", TN_ENUM_ID_NORMALIZATION), \
                                      (uint32_t)integer(r, "axes", 0), integer(r, "groups", 1), real(r, "epsilon", 0)))                   \
    X(lrn, tn_network_add_lrn(NET, x(r, 0), integer(r, "window", 0), real(r, "alpha", 0), real(r, "beta", 0), real(r, "k", 0)))           \
    X(shape, tn_network_add_shape(NET, x(r, 0)))                                                                                          \
    X(identity, tn_network_add_identity(NET, x(r, 0)))                                                                                    \
    X(concatenation, tn_network_add_concatenation(NET, r->x, r->num_inputs, AXIS))                                                        \
    X(padding, tn_network_add_padding(NET, x(r, 0), list(r, "pre"), list(r, "post")))                                                     \
    X(gather, tn_network_add_gather_batched(NET, x(r, 0), x(r, 1), (tn_gather_mode)option(r, "mode", TN_ENUM_ID_GATHER), AXIS,            \
                                            integer(r, "batch_dims", 0)))                                                                 \
    X(scatter, tn_network_add_scatter(NET, x(r, 0), x(r, 1), x(r, 2), (tn_scatter_mode)option(r, "mode", TN_ENUM_ID_SCATTER), AXIS))      \
    X(one_hot, tn_network_add_one_hot(NET, x(r, 0), x(r, 1), integer(r, "depth", 0), AXIS))                                               \
    X(reverse_sequence,                                                                                                                   \
      tn_network_add_reverse_sequence(NET, x(r, 0), x(r, 1), integer(r, "batch_axis", 0), integer(r, "sequence_axis", 0)))                \
    X(pooling, tn_network_add_pooling(NET, x(r, 0), (tn_pooling_type)option(r, "type", TN_ENUM_ID_POOLING), list(r, "window"),            \
                                      (tn_window_options[]){window_options(r)}))                                                          \
    X(convolution, tn_network_add_convolution(NET, x(r, 0), x(r, 1), x(r, 2), (tn_window_options[]){window_options(r)}))                  \
    X(deconvolution, tn_network_add_deconvolution(NET, x(r, 0), x(r, 1), x(r, 2), (tn_window_options[]){window_options(r)}))              \
    X(grid_sample,                                                                                                                        \
      tn_network_add_grid_sample(NET, x(r, 0), x(r, 1), (tn_interpolation_mode)option(r, "mode", TN_ENUM_ID_INTERPOLATION),               \
                                 integer(r, "align_corners", 0) != 0, (tn_sample_mode)option(r, "outside", TN_ENUM_ID_SAMPLE)))           \
    X(matrix_multiply, tn_network_add_matrix_multiply(NET, x(r, 0), (tn_matrix_op)option(r, "op_a", TN_ENUM_ID_MATRIX), x(r, 1),          \
                                                      (tn_matrix_op)option(r, "op_b", TN_ENUM_ID_MATRIX)))                                \
    X(einsum, tn_network_add_einsum(NET, r->x, r->num_inputs, string_of(r->params, "equation", "")))                                      \
    X(fully_connected, tn_network_add_fully_connected(NET, x(r, 0), x(r, 1), x(r, 2)))                                                    \
    X(rotary_embedding,                                                                                                                   \
      tn_network_add_rotary_embedding(NET, x(r, 0), x(r, 1), x(r, 2), x(r, 3), integer(r, "interleaved", 0) != 0, integer(r, "dim", 0)))  \
    X(dynamic_quantize, tn_network_add_dynamic_quantize(NET, x(r, 0), NULL, dtype_of(r, "to", TN_INT8),                                   \
                                                        dtype_of(r, "scale_type", TN_FLOAT32), list(r, "block")))                         \
    X(collective,                                                                                                                         \
      tn_network_add_collective(NET, x(r, 0), (tn_collective_type)option(r, "type", TN_ENUM_ID_COLLECTIVE), TN_REDUCE_SUM, 0, NULL, 0))   \
    X(assertion, tn_network_add_assertion(NET, x(r, 0), string_of(r->params, "message", "")))

#define DEFINE_ADDER(name, expression) static tn_layer *add_##name(run *r) ADDER(expression)
SIMPLE_LAYERS(DEFINE_ADDER)

#define LIST_ADDER(name, expression) {#name, add_##name},
static const struct {
    const char *name;
    tn_layer *(*add)(run *r);
} adders[] = {
    SIMPLE_LAYERS(LIST_ADDER){"activation", add_activation},
    {"topk", add_topk},
    {"shuffle", add_shuffle},
    {"squeeze", add_squeeze},
    {"unsqueeze", add_squeeze},
    {"slice", add_slice},
    {"resize", add_resize},
    {"nms", add_nms},
    {"fill", add_fill},
    {"attention", add_attention},
    {"kv_cache_update_padded", add_kv_cache_update},
    {"moe", add_moe},
    {"quantize", add_quantize},
    {"dequantize", add_quantize},
    {"non_zero", add_non_zero},
};

static tn_layer *add_layer(run *r) {
    for (size_t i = 0; i < sizeof adders / sizeof adders[0]; i++)
        if (strcmp(adders[i].name, r->layer) == 0) return adders[i].add(r);
    FAIL(r, "no adder for '%s'", r->layer);
    return NULL;
}

/* --- running ------------------------------------------------------------------------------------------------------------------------ */

static bool is_static_axis(const tn_json_value *c, int axis) {
    tn_dims axes = dims_of(tn_json_find(c, "static_axes"));
    for (int i = 0; i < axes.rank; i++)
        if (axes.d[i] == axis) return true;
    return false;
}

static void add_inputs(run *r, const tn_json_value *c, tn_builder_config *config) {
    const tn_json_value *inputs = tn_json_find(c, "inputs");
    r->num_inputs = (int)tn_json_count(inputs);
    tn_profile *profile = NULL;
    for (int i = 0; i < r->num_inputs; i++) {
        golden *g = &r->inputs[i];
        *g = read_tensor(r, tn_json_at(inputs, (size_t)i));
        r->x[i] = NULL;
        if (!g->is_given) continue;
        if (g->is_constant) {
            const tn_weights_data weights = {.dtype = g->dtype, .data = g->data, .count = g->count};
            r->x[i] = tn_layer_output(tn_network_add_constant(r->network, g->dims, &weights), 0);
            continue;
        }
        char name[8];
        tn_dims dims = g->dims, most = g->dims;
        bool is_dynamic = false;
        (void)snprintf(name, sizeof name, "x%d", i);
        for (int axis = 0; axis < dims.rank && r->on->dynamic; axis++) {
            if (is_static_axis(c, axis) || (i > 0 && dims.d[axis] <= 2)) continue; /* sizes that a layer wants fixed are small */
            dims.d[axis] = -1;
            most.d[axis] += 2;
            is_dynamic = true;
        }
        r->x[i] = tn_network_add_input(r->network, name, g->dtype, dims);
        if (!is_dynamic) continue;
        if (profile == NULL) profile = tn_builder_config_add_profile(config);
        tn_profile_set_dims(profile, name, g->dims, g->dims, most);
    }
}

static void compare(run *r, int index, const golden *want, const tn_dims *dims, const void *data, double tolerance) {
    bool is_float = tn_dtype_get_info(want->dtype)->is_float;
    if (dims->rank != want->dims.rank || memcmp(dims->d, want->dims.d, (size_t)dims->rank * sizeof dims->d[0]) != 0)
        FAIL(r, "output %d has %d dimensions, the first is %lld; it should have %d, the first %lld", index, dims->rank,
             (long long)dims->d[0], want->dims.rank, (long long)want->dims.d[0]);
    if (want->dtype == TN_FLOAT16) tolerance = fmax(tolerance, 1e-3);
    if (want->dtype == TN_BFLOAT16) tolerance = fmax(tolerance, 8e-3);
    for (int64_t i = 0; i < want->count; i++) {
        double got = tn_dtype_load(want->dtype, data, i), expected = want->values[i];
        bool equal = isnan(expected)                  ? isnan(got)
                     : is_float && isfinite(expected) ? fabs(got - expected) <= tolerance * (1.0 + fabs(expected))
                                                      : got == expected;
        if (!equal) FAIL(r, "output %d, element %lld is %.9g, it should be %.9g", index, (long long)i, got, expected);
    }
}

static void run_context(run *r, tn_engine *engine, const golden *outputs, int num_outputs, double tolerance) {
    tn_context_options options;
    tn_context *context = NULL;
    tn_context_options_init(&options);
    options.diag = r->diag;
    if (tn_context_create(engine, &options, &context) != TN_OK) FAIL(r, "context: %s", last_message(r->diag));
    char name[8];
    void *buffers[MAX_OUTPUTS];
    for (int i = 0; i < r->num_inputs; i++) {
        if (r->x[i] == NULL || r->inputs[i].is_constant) continue;
        (void)snprintf(name, sizeof name, "x%d", i);
        if (tn_context_set_input_shape(context, name, r->inputs[i].dims) != TN_OK ||
            tn_context_set_host_address(context, name, r->inputs[i].data) != TN_OK)
            FAIL(r, "input: %s", last_message(r->diag));
    }
    for (int i = 0; i < num_outputs; i++) {
        (void)snprintf(name, sizeof name, "y%d", i);
        buffers[i] = tn_arena_alloc(r->arena, BUFFER_BYTES);
        if (tn_context_set_host_address(context, name, buffers[i]) != TN_OK) FAIL(r, "output: %s", last_message(r->diag));
    }
    if (tn_context_enqueue(context, NULL) != TN_OK) FAIL(r, "run: %s", last_message(r->diag));
    for (int i = 0; i < num_outputs; i++) {
        tn_dims dims;
        (void)snprintf(name, sizeof name, "y%d", i);
        assert_int_equal(tn_context_get_shape(context, name, &dims), TN_OK);
        compare(r, i, &outputs[i], &dims, buffers[i], tolerance);
    }
    tn_context_destroy(context);
}

static void run_case(run *r, const tn_json_value *c, tn_device *device) {
    tn_network_options network_options;
    tn_builder_options builder_options;
    tn_builder *builder;
    tn_builder_config *config;
    tn_plan *plan = NULL;
    tn_engine_options engine_options;
    tn_engine *engine = NULL;
    golden outputs[MAX_OUTPUTS];
    tn_network_options_init(&network_options);
    network_options.diag = r->diag;
    assert_int_equal(tn_network_create(&network_options, &r->network), TN_OK);
    tn_builder_options_init(&builder_options);
    builder_options.diag = r->diag;
    builder_options.device = device;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    tn_builder_config_set_optimization_level(config, 0);
    r->layer = string_of(c, "layer", "");
    r->params = tn_json_find(c, "params");
    add_inputs(r, c, config);
    tn_layer *layer = add_layer(r);
    if (layer == NULL) FAIL(r, "refused: %s", last_message(r->diag));
    const tn_json_value *expected = tn_json_find(c, "outputs");
    int num_outputs = (int)tn_json_count(expected);
    assert_int_equal(num_outputs, tn_layer_num_outputs(layer));
    for (int i = 0; i < num_outputs; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "y%d", i);
        outputs[i] = read_tensor(r, tn_json_at(expected, (size_t)i));
        if (tn_tensor_dtype(tn_layer_output(layer, i)) != outputs[i].dtype)
            FAIL(r, "output %d is %s", i, tn_dtype_name(tn_tensor_dtype(tn_layer_output(layer, i))));
        tn_network_mark_output(r->network, tn_layer_output(layer, i), name);
    }
    if (tn_builder_build(builder, r->network, config, &plan) != TN_OK) FAIL(r, "build: %s", last_message(r->diag));
    tn_engine_options_init(&engine_options);
    engine_options.device = device;
    engine_options.diag = r->diag;
    if (tn_engine_create(plan, &engine_options, &engine) != TN_OK) FAIL(r, "engine: %s", last_message(r->diag));
    const tn_json_value *tolerance = tn_json_find(c, "tolerance");
    run_context(r, engine, outputs, num_outputs, fmax(r->on->tolerance, tolerance != NULL ? number_of(tolerance) : 0.0));
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_network_destroy(r->network);
}

static bool case_passes(run *r, const tn_json_value *c, tn_device *device) {
    jmp_buf escape;
    r->escape = &escape;
    if (setjmp(escape) != 0) return false;
    run_case(r, c, device);
    return true;
}

static tn_device *make_device(const target *on) {
    tn_device_options options;
    tn_device *device = NULL;
    tn_device_options_init(&options);
    options.async = on->async;
    options.num_threads = 2;
    assert_int_equal(tn_device_create(on->backend, &options, &device), TN_OK);
    return device;
}

static void run_file(const char *file) {
    char path[512];
    tn_json *json;
    (void)snprintf(path, sizeof path, "%s/layers/%s.json", TN_TEST_DATA, file);
    assert_int_equal(tn_json_load(path, NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *cases = tn_json_find(tn_json_root(json), "cases");
    assert_true(tn_json_count(cases) > 0);
    const char *filter = getenv("TN_CASE"); /* part of a name: only those cases */
    int num_failed = 0;
    for (size_t t = 0; t < sizeof targets / sizeof targets[0]; t++) {
        tn_device *device = make_device(&targets[t]);
        for (size_t i = 0; i < tn_json_count(cases); i++) {
            const tn_json_value *c = tn_json_at(cases, i), *dynamic = tn_json_find(c, "dynamic");
            if (targets[t].dynamic && dynamic != NULL && number_of(dynamic) == 0.0) continue;
            tn_arena arena = {0};
            run r = {.on = &targets[t], .name = string_of(c, "name", ""), .arena = &arena};
            if (filter != NULL && strstr(r.name, filter) == NULL) continue;
            assert_int_equal(tn_diag_create(NULL, &r.diag), TN_OK);
            num_failed += !case_passes(&r, c, device);
            tn_diag_destroy(r.diag);
            tn_arena_deinit(&arena);
        }
        tn_device_destroy(device);
    }
    tn_json_destroy(json);
    assert_int_equal(num_failed, 0);
}

#define FILES(X) X(pointwise) X(axes) X(move) X(window) X(sample) X(product) X(quantize) X(model)
#define DEFINE_TEST(file)                                            \
    static void layers_of_##file##_have_their_values(void **state) { \
        (void)state;                                                 \
        run_file(#file);                                             \
    }
FILES(DEFINE_TEST)
#define LIST_TEST(file) cmocka_unit_test(layers_of_##file##_have_their_values),

/* x comes out if `holds`, else the run ends with the assertion's message. */
static void an_assertion_that_fails_stops_the_run(void **state) {
    (void)state;
    tn_device *device = make_device(&targets[0]);
    tn_diag *diag;
    tn_network_options network_options;
    tn_builder_options builder_options;
    tn_context_options context_options;
    tn_engine_options engine_options;
    tn_network *network;
    tn_builder *builder;
    tn_builder_config *config;
    tn_plan *plan;
    tn_engine *engine;
    tn_context *context;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_network_options_init(&network_options);
    network_options.diag = diag;
    assert_int_equal(tn_network_create(&network_options, &network), TN_OK);
    tn_tensor *input = tn_network_add_input(network, "x", TN_FLOAT32, TN_DIMS(2));
    assert_non_null(tn_network_add_assertion(network, tn_network_add_input(network, "holds", TN_BOOL, TN_SCALAR), "the input is sane"));
    tn_network_mark_output(network, tn_layer_output(tn_network_add_unary(network, input, TN_UNARY_NEG), 0), "y");
    tn_builder_options_init(&builder_options);
    builder_options.diag = diag, builder_options.device = device;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    assert_int_equal(tn_builder_build(builder, network, config, &plan), TN_OK);
    tn_engine_options_init(&engine_options);
    engine_options.diag = diag, engine_options.device = device;
    assert_int_equal(tn_engine_create(plan, &engine_options, &engine), TN_OK);
    tn_context_options_init(&context_options);
    context_options.diag = diag;
    assert_int_equal(tn_context_create(engine, &context_options, &context), TN_OK);
    float x[2] = {1.0f, -2.0f}, y[2] = {0};
    uint8_t holds = 1;
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(2)), TN_OK);
    assert_int_equal(tn_context_set_input_shape(context, "holds", TN_SCALAR), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "holds", &holds), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_true(y[0] == -1.0f && y[1] == 2.0f);
    holds = 0;
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_DATA);
    assert_non_null(strstr(last_message(diag), "assertion failed: the input is sane"));
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_network_destroy(network);
    tn_device_destroy(device);
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {FILES(LIST_TEST) cmocka_unit_test(an_assertion_that_fails_stops_the_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
