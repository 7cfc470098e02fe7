/* SPDX-License-Identifier: Apache-2.0
 *
 * text_test.c: what is printed reads back as the same text, for every kind of layer; damaged text is refused with its line.
 */
#include "network/testing.h"
#include "support/fault_allocator.h"
#include "weights/weights.h"

static char *print(const tn_network *net) {
    tn_text text = {0};
    tn_network_print(net, &text);
    assert_false(text.failed);
    return text.data;
}

static tn_network *parse(fixture *f, const char *text) {
    tn_network_options options;
    tn_network_options_init(&options);
    options.diag = f->diag;
    return tn_network_parse(text, NULL, &options);
}

/* Fails with the first line that differs. */
static void assert_equal_texts(const char *a, const char *b) {
    while (*a != '\0' || *b != '\0') {
        size_t length = strcspn(a, "\n"), other = strcspn(b, "\n");
        if (length != other || memcmp(a, b, length) != 0) fail_msg("'%.*s' was read back as '%.*s'", (int)length, a, (int)other, b);
        a += length + (a[length] == '\n');
        b += other + (b[other] == '\n');
    }
}

static void assert_round_trip(fixture *f) {
    char *text = print(f->net);
    tn_network *again = parse(f, text);
    if (again == NULL) fail_msg("%s\nin\n%s", last_message(f), text);
    char *text_again = print(again);
    assert_equal_texts(text, text_again);
    assert_int_equal(tn_network_num_layers(again), tn_network_num_layers(f->net));
    tn_text_deinit(&(tn_text){.data = text});
    tn_text_deinit(&(tn_text){.data = text_again});
    tn_network_destroy(again);
}

/* --- every kind ------------------------------------------------------------------------------------------------------------- */

static tn_tensor *add_layer(fixture *f, tn_op_kind kind, tn_op_params params, tn_tensor *const *inputs, uint32_t num_inputs) {
    tn_layer *layer = tn_network_add_layer(f->net, kind, &params, inputs, num_inputs, NULL);
    if (layer == NULL) fail_msg("%s", last_message(f));
    return output(layer);
}
#define ADD(kind, params, ...)                                                     \
    add_layer(f, TN_OP_##kind, (tn_op_params)params, (tn_tensor *[]){__VA_ARGS__}, \
              (uint32_t)(sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *)))
#define PARAMS(...) \
    { __VA_ARGS__ }

static tn_tensor *add_ints(fixture *f, const char *name, tn_dims dims) {
    return tn_network_add_input(f->net, name, TN_INT32, dims);
}

static void add_plain_layers(fixture *f) {
    static const int64_t reshape[] = {0, 8, 8};
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 64));
    tn_tensor_set_dim_name(x, 0, "num tokens \"quoted\"");
    tn_tensor *condition = ADD(ELEMENTWISE, PARAMS(.elementwise = {.op = TN_ELEMENTWISE_LESS}), x, x);
    tn_tensor *y = ADD(SELECT, {0}, condition, x, x);
    y = ADD(UNARY, PARAMS(.unary = {.op = TN_UNARY_EXP}), y);
    y = ADD(ACTIVATION, PARAMS(.activation = {.type = TN_ACTIVATION_GELU_TANH}), y);
    y = ADD(SOFTMAX, PARAMS(.softmax = {.axis = 1}), y);
    y = ADD(IDENTITY, {0}, ADD(CAST, PARAMS(.cast = {.to = TN_FLOAT32}), y));
    (void)ADD(REDUCE, PARAMS(.reduce = {.op = TN_REDUCE_MAX, .axes = 2, .keep_dims = true}), y);
    (void)ADD(NORMALIZATION, PARAMS(.normalization = {.type = TN_NORMALIZATION_RMS, .epsilon = 1e-6, .scale_offset = 1.0}), y,
              add_floats(f, TN_DIMS(64), "scale"), NULL, x);
    tn_tensor *dims = ADD(SHAPE, {0}, x);
    (void)ADD(FILL, {0}, dims, add_floats(f, TN_SCALAR, NULL), add_floats(f, TN_SCALAR, NULL));
    (void)ADD(SHUFFLE, PARAMS(.shuffle = {.first = TN_DIMS(1, 0), .reshape = TN_DIMS(8, -1), .has_reshape = true, .second = TN_DIMS(1, 0)}),
              y);
    (void)ADD(SHUFFLE, {0}, y, add_int64s(f, reshape, 3));
    (void)ADD(SLICE, PARAMS(.slice = {.start = TN_DIMS(0, 8), .size = TN_DIMS(-1, 4), .stride = TN_DIMS(1, 2)}), y);
    (void)ADD(CONCATENATION, PARAMS(.concatenation = {.axis = 1}), y, x, y);
    (void)ADD(GATHER, PARAMS(.gather = {.mode = TN_GATHER_DEFAULT, .axis = 0}), y, add_ints(f, "rows", TN_DIMS(3)));
    (void)ADD(NON_ZERO, {0}, y);
    tn_tensor *scale = add_floats(f, TN_DIMS(64), "quantize_scale");
    tn_tensor *quantized = ADD(QUANTIZE, PARAMS(.quantize = {.to = TN_INT8, .axis = 1}), y, scale);
    (void)ADD(DEQUANTIZE, PARAMS(.dequantize = {.to = TN_FLOAT32, .axis = 1}), quantized, scale);
    (void)ADD(QUANTIZE_ROWS, PARAMS(.quantize_rows = {.to = TN_Q8_32}), y);
    (void)ADD(COLLECTIVE, PARAMS(.collective = {.group = 2}), y);
    tn_layer_set_name(y->producer, "a name with \"quotes\", \\ and \n");
    y->producer->metadata = "anything\t";
    tn_network_mark_output(f->net, y, "y");
    tn_tensor_set_role(y, "hidden");
    tn_network_mark_debug(f->net, condition);
}

static void add_epilogues(fixture *f) {
    tn_tensor *x = add_input(f, "rows_in", TN_DIMS(-1, 32)), *w = add_floats(f, TN_DIMS(64, 32), "w");
    tn_tensor *inputs[4] = {x, w, add_floats(f, TN_DIMS(64), "bias"), NULL};
    tn_op_params params = {.matrix_multiply = {.op_b = TN_MATRIX_TRANSPOSE}};
    const tn_epilogue first[4] = {{.kind = TN_EPILOGUE_BIAS, .operand = 2},
                                  {.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_SILU, .operand = -1},
                                  {.kind = TN_EPILOGUE_SCALE, .operand = -1, .value = 0.1},
                                  {.kind = TN_EPILOGUE_QUANTIZE, .operand = -1, .dtype = TN_Q15_32}};
    tn_layer *gated = tn_network_add_fused_layer(f->net, TN_OP_MATRIX_MULTIPLY, &params, inputs, 3, first, 4, "gated");
    assert_non_null(gated);
    gated->precision = TN_ACTIVATIONS_Q15;
    inputs[2] = add_input(f, "residual", TN_DIMS(-1, 64));
    const tn_epilogue second[3] = {{.kind = TN_EPILOGUE_ACTIVATION, .activation = TN_ACTIVATION_RELU, .operand = -1},
                                   {.kind = TN_EPILOGUE_ADD, .operand = 2},
                                   {.kind = TN_EPILOGUE_SOFT_CAP, .operand = -1, .value = 30.0}};
    assert_non_null(tn_network_add_fused_layer(f->net, TN_OP_MATRIX_MULTIPLY, &params, inputs, 3, second, 3, "capped"));
}

static void add_decoder_layers(fixture *f) {
    tn_tensor *ids = add_ints(f, "ids", TN_DIMS(-1)), *starts = add_ints(f, "starts", TN_DIMS(-1)),
              *slot = add_ints(f, "slot", TN_DIMS(-1));
    tn_tensor *lengths = add_ints(f, "lengths", TN_DIMS(-1)), *table = add_ints(f, "table", TN_DIMS(-1, -1));
    tn_tensor *slots = tn_network_add_slots_state(f->net, 64, 32);
    const tn_kv_geometry kv = {.num_layers = 2, .num_kv_heads = 1, .k_dim = 8, .v_dim = 8, .tokens_per_block = 16, .dtype = TN_FLOAT16};
    tn_tensor *cache = tn_network_add_kv_state(f->net, "kv.0", &kv, 128, 4);
#define KV .num_layers = 2, .num_kv_heads = 1, .k_dim = 8, .v_dim = 8, .tokens_per_block = 16, .cache_dtype = TN_FLOAT16
    tn_tensor *tokens = ADD(TOKEN_IDS, PARAMS(.token_ids = {.vocab_size = 64, .max_seq_len = 32}), ids, starts, slot, slots);
    tn_tensor *rotary = ADD(ROTARY_TABLE, PARAMS(.rotary_table = {.scale = 1.5}), tokens, add_floats(f, TN_DIMS(4), "frequencies"));
    tn_tensor *kv_rows = add_input(f, "kv_rows", TN_DIMS(-1, 8)), *qkv = add_input(f, "qkv", TN_DIMS(-1, 32));
    tn_tensor *k = ADD(ROTARY, PARAMS(.rotary = {.type = TN_ROTARY_INTERLEAVED, .head_dim = 8}), kv_rows, rotary);
    cache = ADD(KV_CACHE_UPDATE, PARAMS(.kv_cache_update = {KV}), k, kv_rows, cache, starts, lengths, table);
    tn_layer *fused = tn_network_add_layer(f->net, TN_OP_QKV_CACHE, &(tn_op_params){.qkv_cache = {.layer = 1, .num_heads = 2, KV}},
                                           (tn_tensor *[]){qkv, rotary, NULL, NULL, cache, starts, lengths, table}, 8, NULL);
    (void)ADD(ATTENTION, PARAMS(.attention = {.num_heads = 2, .scale = 0.25, .window = 128, .sink_tokens = 4, KV}), output(fused),
              tn_layer_output(fused, 1), starts, lengths, table, NULL, add_floats(f, TN_DIMS(2), "slopes"));
    tn_tensor *logits = add_input(f, "router", TN_DIMS(-1, 4));
    tn_layer *route = tn_network_add_layer(
        f->net, TN_OP_ROUTE, &(tn_op_params){.route = {.type = TN_ROUTE_TOPK_SOFTMAX, .top_k = 2, .scale = 1.0}}, &logits, 1, NULL);
    tn_tensor *grouped = ADD(GROUPED_MATMUL, PARAMS(.grouped_matmul = {.top_k = 2}), kv_rows, add_floats(f, TN_DIMS(4, 16, 8), "experts"),
                             tn_layer_output(route, 0), tn_layer_output(route, 1));
    (void)ADD(COMBINE, {0}, grouped, tn_layer_output(route, 1), tn_layer_output(route, 2));
    (void)ADD(SAMPLE, PARAMS(.sample = {.max_log_probs = 3, .vocab_size = 64, .max_seq_len = 32}), add_input(f, "logits", TN_DIMS(-1, 64)),
              add_ints(f, "sample_slot", TN_DIMS(-1)), add_ints(f, "sample_position", TN_DIMS(-1)), slots);
}

static void add_constructs(fixture *f) {
    tn_tensor *x = add_input(f, "carried", TN_DIMS(6, 3));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "trips", TN_INT64, TN_SCALAR));
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_tensor *row = output(tn_loop_add_iterator(loop, x, 0, true));
    tn_if *conditional = tn_network_begin_if(f->net, tn_network_add_input(f->net, "condition", TN_BOOL, TN_SCALAR));
    tn_tensor *inside = ADD(CONDITION_INPUT, PARAMS(.condition_input = {.construct = 2}), output(sum));
    tn_tensor *a = add(f, inside, x);
    tn_if_else(conditional);
    tn_tensor *b = output(tn_network_add_activation(f->net, output(sum), TN_ACTIVATION_RELU));
    tn_if_end(conditional);
    tn_recurrence_set_next(sum, output(tn_if_add_output(conditional, a, b)));
    tn_loop_end(loop);
    tn_network_mark_output(f->net, output(tn_loop_add_output(loop, output(sum), false, 0)), "carried_out");
    tn_network_mark_output(f->net, output(tn_loop_add_output(loop, row, true, 0)), "rows_out");
}

/* Layers of images and of ordering, with lists, labels and options among their parameters. */
static void add_image_layers(fixture *f) {
    static const int64_t two = 2;
    tn_tensor *x = add_input(f, "image", TN_DIMS(-1, 4, 8, 8)), *vector = add_floats(f, TN_DIMS(1, 4, 1, 1), "vector");
    tn_window_options window;
    tn_resize_options resize;
    tn_slice_options slice;
    tn_window_options_init(&window);
    tn_resize_options_init(&resize);
    tn_slice_options_init(&slice);
    window.stride = TN_DIMS(2, 1), window.pre_padding = TN_DIMS(1, 0), window.groups = 2;
    tn_tensor *y = output(tn_network_add_convolution(f->net, x, add_floats(f, TN_DIMS(6, 2, 3, 3), "kernel"), NULL, &window));
    y = output(tn_network_add_deconvolution(f->net, y, add_floats(f, TN_DIMS(6, 2, 1, 1), "back"), NULL, &window));
    window.padding_mode = TN_PADDING_SAME_UPPER, window.blend_factor = 0.25, window.average_counts_padding = true;
    y = output(tn_network_add_pooling(f->net, y, TN_POOLING_MAX_AVERAGE_BLEND, TN_DIMS(2, 2), &window));
    y = output(tn_network_add_lrn(f->net, x, 5, 1e-4, 0.75, 2.0));
    y = output(tn_network_add_normalization_nd(f->net, y, vector, vector, TN_NORMALIZATION_LAYER, 12, 2, 1e-5));
    y = output(tn_network_add_parametric_relu(f->net, y, vector));
    y = output(tn_network_add_scale(f->net, y, TN_SCALE_CHANNEL, add_floats(f, TN_DIMS(4), "shift"), NULL, NULL, 1));
    resize.scales[0] = resize.scales[1] = 1.0, resize.scales[2] = 0.6, resize.scales[3] = 2.0, resize.num_scales = 4;
    resize.mode = TN_INTERPOLATION_CUBIC, resize.transform = TN_RESIZE_HALF_PIXEL;
    tn_tensor *resized = output(tn_network_add_resize(f->net, y, &resize));
    assert_dims(resized, TN_DIMS(-1, 4, 4, 16));
    slice.axes = TN_DIMS(3), slice.start = TN_DIMS(-2), slice.size = TN_DIMS(2), slice.stride = TN_DIMS(1), slice.mode = TN_SAMPLE_REFLECT;
    tn_tensor *grid = output(tn_network_add_shuffle(f->net, output(tn_network_add_slice_with(f->net, y, &slice))));
    (void)tn_network_add_grid_sample(f->net, y, grid, TN_INTERPOLATION_LINEAR, true, TN_SAMPLE_CLAMP);
    tn_layer *largest = tn_network_add_topk(f->net, y, TN_TOPK_MIN, 3, 3);
    tn_topk_set_indices_type(largest, TN_INT64);
    (void)tn_network_add_scatter(f->net, y, tn_layer_output(largest, 1), output(largest), TN_SCATTER_ELEMENT, 3);
    (void)tn_network_add_one_hot(f->net, tn_layer_output(largest, 1), add_floats(f, TN_DIMS(2), "values"), 8, -1);
    (void)tn_network_add_cumulative(f->net, y, 2, TN_CUMULATIVE_SUM, true, true);
    (void)tn_network_add_einsum(f->net, (tn_tensor *[]){y, y}, 2, "n...,n... -> ...");
    (void)tn_network_add_dynamic_quantize(f->net, y, NULL, TN_INT8, TN_FLOAT32, TN_DIMS(1, 1, 1, 8));
    (void)tn_network_add_reverse_sequence(f->net, y, tn_network_add_input(f->net, "reversed", TN_INT32, TN_DIMS(8)), 2, 3);
    tn_tensor *rows = output(tn_network_add_unsqueeze(f->net, add_input(f, "ragged", TN_DIMS(3, 5)), (const int[]){0}, 1));
    (void)tn_network_add_ragged_softmax(f->net, rows, tn_network_add_input(f->net, "bounds", TN_INT32, TN_DIMS(1, 3, 1)));
    (void)tn_network_add_squeeze(f->net, rows, (const int[]){-3}, 1);
    (void)tn_network_add_nms(f->net, add_input(f, "boxes", TN_DIMS(1, 6, 4)), add_input(f, "scores", TN_DIMS(1, 6, 3)),
                             add_int64s(f, &two, 1), NULL);
    (void)tn_network_add_assertion(f->net, tn_network_add_input(f->net, "holds", TN_BOOL, TN_SCALAR), "a message, with {signs} -> and =");
    tn_fill_set_operation(tn_network_add_fill_constant(f->net, TN_DIMS(2, 3), TN_FILL_LINSPACE, TN_FLOAT32, 1.0, 2.0),
                          TN_FILL_RANDOM_NORMAL, 7);
}

static void every_kind_of_layer_reads_back_as_printed(void **state) {
    fixture *f = *state;
    add_plain_layers(f);
    add_image_layers(f);
    add_epilogues(f);
    add_decoder_layers(f);
    add_constructs(f);
    if (tn_diag_num_entries(f->diag) != 0) fail_msg("%s", last_message(f));
    bool seen[TN_NUM_OP_KINDS] = {false};
    for (const tn_layer *layer = f->net->first_layer; layer != NULL; layer = layer->next) seen[layer->kind] = true;
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++) {
        bool is_refused = kind == TN_OP_PLUGIN || kind == TN_OP_LORA_LINEAR; /* plugins: plugin_test.c */
        if (seen[kind] == is_refused) fail_msg("%s is %s", tn_op_get_info((tn_op_kind)kind)->name, seen[kind] ? "here" : "missing");
    }
    assert_round_trip(f);
}

static void weights_read_back_from_their_recipes(void **state) {
    fixture *f = *state;
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(8, 32)};
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q4_1, &desc.encoding), TN_OK);
    tn_arena *arena = &f->net->arena;
    const tn_weights *parts[2] = {tn_weights_declare(arena, NULL, "a", &desc, f->diag),
                                  tn_weights_declare(arena, NULL, "b", &desc, f->diag)};
    tn_tensor *w = tn_network_add_weights(f->net, tn_weights_concat(arena, parts, 2, 0, f->diag), "joined");
    tn_tensor *y =
        output(tn_network_add_matrix_multiply(f->net, add_input(f, "x", TN_DIMS(-1, 32)), TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE));
    tn_network_mark_output(f->net, y, "y");
    assert_round_trip(f);
    char *text = print(f->net);
    assert_non_null(strstr(text, "weights concat(0, load(\"a\" q4_1[8,32]), load(\"b\" q4_1[8,32]))"));
    tn_text_deinit(&(tn_text){.data = text});
}

static void empty_networks_and_flags_read_back(void **state) {
    fixture *f = *state;
    f->net->flags = TN_NETWORK_STRONGLY_TYPED;
    assert_round_trip(f);
}

static void damaged_text_is_refused_with_its_line(void **state) {
    fixture *f = *state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 0: 'network' and its name is expected"},
        {"network\n", "line 1: '\"' is expected"},
        {"network \"n\"\n%0 = input \"x\" nothing [3]\n", "line 2: a type is expected at"},
        {"network \"n\"\n%1 = input \"x\" float32 [3]\n", "line 2: the next tensor's number"},
        {"network \"n\"\n%0 = input \"x\" float32 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n", "at most 8 dimensions"},
        {"network \"n\"\n%0 = input \"x\" float32 [99999999999999999999]\n", "a number is expected"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = identity \"y\" (%7)\n", "line 3: a tensor of a line before"},
        {"network \"n\"\n%0 = wonder \"y\"\n", "a kind of layer"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = softmax \"y\" (%0) {axes=1}\n", "a field of this layer"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = unary \"y\" (%0) {op=wonder}\n", "line 3: unary"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1, %2 = identity \"y\" (%0)\n", "another number of outputs"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = identity \"y\" (%0) more\n", "the end of the line is expected at 'more'"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n@1 %1 = identity \"y\" (%0)\n", "a region is expected"},
        {"network \"n\"\nregion 2 in 0\n", "the next region"},
        {"network \"n\"\n%0 = constant \"c\" {dtype=float32, dims=[2]} weights ?\n", "the values were not printed"},
        {"network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = identity \"y\" (%0) |bias(1),bias(1),bias(1),bias(1),bias(1)\n",
         "at most 4 epilogues"},
        {"network \"n\"\n%0 = input \"x\n", "is expected"},
        {"network \"n\"\n%0 = input \"\\q\" float32 [3]\n", "an escape is expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(parse(f, cases[i].text));
        assert_message(f, cases[i].message);
    }
    assert_null(parse(f, "network \"n\"\n%0 = input \"x\" float32 [3]\n%1 = softmax \"y\" (%0) {axis=3}\n"));
    assert_message(f, "cannot add softmax 'y': axis 3 is outside float32 [3]");
}

/* Cut after every byte: refused, or a network of the lines before. Never a crash. */
static void text_cut_at_every_byte_is_safe(void **state) {
    fixture *f = *state;
    add_plain_layers(f);
    add_constructs(f);
    char *text = print(f->net);
    size_t size = strlen(text);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = tn_copy_bytes(NULL, text, cut);
        tn_diag_clear(f->diag);
        tn_network_destroy(parse(f, part));
        tn_free(NULL, part);
    }
    tn_text_deinit(&(tn_text){.data = text});
}

static void dot_text_names_layers_and_regions(void **state) {
    fixture *f = *state;
    add_plain_layers(f);
    add_constructs(f);
    tn_text text = {0};
    tn_network_print_dot(f->net, &text);
    assert_non_null(strstr(text.data, "digraph \"forward\" {"));
    assert_non_null(strstr(text.data, "subgraph cluster_1"));
    assert_non_null(strstr(text.data, "label=\"softmax\\nsoftmax_"));
    assert_non_null(strstr(text.data, "region 3 (else)"));
    tn_text_deinit(&text);
}

static void each_failing_allocation_refuses_the_text(void **state) {
    fixture *f = *state;
    add_constructs(f);
    char *text = print(f->net);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_network_options options;
        tn_network_options_init(&options);
        options.diag = f->diag;
        options.allocator = &fault.allocator;
        tn_network *net = tn_network_parse(text, NULL, &options);
        assert_int_equal(net != NULL, !tn_fault_has_failed(&fault));
        tn_network_destroy(net);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) break;
    }
    tn_text_deinit(&(tn_text){.data = text});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_layer_reads_back_as_printed),
        TEST(weights_read_back_from_their_recipes),
        TEST(empty_networks_and_flags_read_back),
        TEST(damaged_text_is_refused_with_its_line),
        TEST(text_cut_at_every_byte_is_safe),
        TEST(dot_text_names_layers_and_regions),
        TEST(each_failing_allocation_refuses_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
