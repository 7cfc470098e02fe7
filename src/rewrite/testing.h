/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of the public side share: patterns in a line, running them, and the network's text before and after.
 */
#ifndef TN_REWRITE_TESTING_H_
#define TN_REWRITE_TESTING_H_

#include "network/testing.h"
#include "tenon/rewrite.h"

#define KINDS(...) \
    .root_kinds = (const char *const[]){__VA_ARGS__}, .num_root_kinds = sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)
#define REWRITER(...) (&(tn_pattern_rewriter){.struct_size = sizeof(tn_pattern_rewriter), __VA_ARGS__})
#define ANALYZER(...) (&(tn_pattern_analyzer){.struct_size = sizeof(tn_pattern_analyzer), __VA_ARGS__})

static inline tn_tensor *binary(tn_network *net, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return output(tn_network_add_elementwise(net, a, b, op));
}

static inline tn_pattern_manager *make_manager(const fixture *f) {
    tn_pattern_manager_options options;
    tn_pattern_manager_options_init(&options);
    options.diag = f->diag;
    tn_pattern_manager *manager;
    assert_int_equal(tn_pattern_manager_create(&options, &manager), TN_OK);
    return manager;
}

/* Runs up to three rewriters. */
static inline tn_status run(const fixture *f, void *args, size_t *out_count, const tn_pattern_rewriter *first,
                            const tn_pattern_rewriter *second, const tn_pattern_rewriter *third) {
    tn_pattern_manager *manager = make_manager(f);
    const tn_pattern_rewriter *patterns[] = {first, second, third};
    for (size_t i = 0; i < 3; i++)
        if (patterns[i] != NULL) assert_int_equal(tn_pattern_manager_add_rewriter(manager, NULL, patterns[i]), TN_OK);
    tn_status status = tn_pattern_manager_rewrite(manager, f->net, args, out_count);
    tn_pattern_manager_destroy(manager);
    return status;
}

/* What a pattern's rewrite does in most tests: the same elementwise layer with another operation. */
static inline bool replace_op(tn_layer *layer, tn_elementwise_op from, tn_elementwise_op to) {
    if (!tn_layer_has(layer, "op", from)) return false;
    tn_tensor *made = binary(tn_layer_network(layer), tn_layer_input(layer, 0), tn_layer_input(layer, 1), to);
    return tn_tensor_replace_all_uses_with(output(layer), made) == TN_OK;
}
static inline bool sum_becomes_sub(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return replace_op(layer, TN_ELEMENTWISE_SUM, TN_ELEMENTWISE_SUB);
}
static inline bool sum_becomes_max(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return replace_op(layer, TN_ELEMENTWISE_SUM, TN_ELEMENTWISE_MAX);
}
static inline bool max_becomes_min(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return replace_op(layer, TN_ELEMENTWISE_MAX, TN_ELEMENTWISE_MIN);
}
static inline bool min_becomes_max(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return replace_op(layer, TN_ELEMENTWISE_MIN, TN_ELEMENTWISE_MAX);
}

static inline int count_ops(const tn_network *net, tn_elementwise_op op) {
    int count = 0;
    for (tn_layer *layer = tn_network_next_layer(net, NULL); layer != NULL; layer = tn_network_next_layer(net, layer))
        count += strcmp(tn_layer_kind(layer), "elementwise") == 0 && tn_layer_has(layer, "op", op);
    return count;
}

/* The network as text, and its use-lists; free with tn_text_deinit. */
static inline tn_text picture(const tn_network *net) {
    tn_text text = {0};
    tn_network_print(net, &text);
    for (size_t i = 0; i < net->tensors.count; i++) {
        const tn_tensor *tensor = net->tensors.data[i];
        tn_text_append_format(&text, "%s %d%d%d:", tensor->name, tensor->is_input, tensor->is_output, tensor->is_debug);
        for (int j = 0; j < tn_tensor_num_users(tensor); j++)
            tn_text_append_format(&text, " %s.%d", tn_layer_name(tn_tensor_user(tensor, j)), tn_tensor_user_input(tensor, j));
        tn_text_append_char(&text, '\n');
    }
    assert_false(text.failed);
    return text;
}

#define assert_unchanged(net, before)                          \
    do {                                                       \
        tn_text now_ = picture(net);                           \
        assert_string_equal(now_.data, (before).data);         \
        tn_text_deinit(&now_);                                 \
        tn_text_deinit(&(before));                             \
        assert_false((net)->failed);                           \
        assert_int_equal(tn_network_verify(net, NULL), TN_OK); \
    } while (0)

#endif
