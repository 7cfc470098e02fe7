/* SPDX-License-Identifier: Apache-2.0
 *
 * step_bench.c: a whole step of SmolLM2-135M (30 layers, q4_1 weights, q8_0 head, q15_32 or q8_32 activations, float16 cache) with
 * random weights, as the compiler fuses it: what decode and prefill cost without executor and sampling.
 * `backend_step_bench [q15|int8 [isa [threads]]]`. Minimum and median of the runs.
 */
#include "backend/cpu/test_problem.h"
#include "base/thread.h"

enum {
    LAYERS = 30,
    HIDDEN = 576,
    HEADS = 9,
    KV_HEADS = 3,
    DIM = 64,
    FFN = 1536,
    VOCAB = 49152,
    BLOCK = 32,
    MAX_LEN = 1024,
    QKV = (HEADS + 2 * KV_HEADS) * DIM,
    STEPS_PER_LAYER = 8,
    MAX_RUNS = 15
};

typedef struct bench {
    tn_device *device;
    tn_dtype activations;
    char *weights[5]; /* qkv, o, gate and up, down: LAYERS copies; head */
    size_t weight_bytes[5];
    char *cache, *normed, *mixed, *gated;
    float *x, *qkv, *q, *table, *logits, *ones;
    int32_t query_start[2], kv_length[1], blocks[MAX_LEN / BLOCK];
    test_problem problems[LAYERS * STEPS_PER_LAYER + 2];
    tn_bound_step steps[LAYERS * STEPS_PER_LAYER + 2];
    size_t num_steps;
} bench;

static test_problem *begin(bench *b, tn_op_kind op) {
    test_problem_init(&b->problems[b->num_steps], op);
    return &b->problems[b->num_steps];
}

static void end(bench *b, const tn_tactic *tactic) {
    test_problem *t = &b->problems[b->num_steps];
    const char *why_not = test_prepare(t, b->device, tactic);
    if (why_not != NULL) {
        fprintf(stderr, "%s refuses: %s\n", tactic->name, why_not);
        exit(1);
    }
    b->steps[b->num_steps++] = t->step;
}

static void add_norm(bench *b, int64_t rows) {
    test_problem *t = begin(b, TN_OP_NORMALIZATION);
    t->params.normalization = (tn_normalization_params){.type = TN_NORMALIZATION_RMS, .epsilon = 1e-5};
    test_add_input(t, TN_FLOAT32, TN_DIMS(rows, HIDDEN), b->x);
    test_add_input(t, TN_FLOAT32, TN_DIMS(HIDDEN), b->ones);
    test_add_output(t, b->activations, TN_DIMS(rows, HIDDEN), b->normed);
    test_add_epilogue(t, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .operand = -1, .dtype = b->activations});
    end(b, &tn_cpu_tactic_normalization);
}

static void add_matmul(bench *b, int which, int layer, int64_t rows, int64_t n, int64_t k, void *x, void *y) {
    tn_encoding encoding;
    if (tn_encoding_from_gguf(which == 4 ? TN_GGUF_Q8_0 : TN_GGUF_Q4_1, &encoding) != TN_OK) exit(1);
    test_problem *t = begin(b, TN_OP_MATRIX_MULTIPLY);
    bool is_gated = which == 2, adds = which == 1 || which == 3;
    t->params.matrix_multiply.op_b = TN_MATRIX_TRANSPOSE;
    test_add_input(t, b->activations, TN_DIMS(rows, k), x);
    test_add_weight(t, &encoding, which == 4 ? "strip16_q8_0" : "strip16_q4_1", TN_DIMS(n, k),
                    b->weights[which] + b->weight_bytes[which] * (size_t)layer);
    if (adds) {
        test_add_input(t, TN_FLOAT32, TN_DIMS(rows, n), b->x);
        test_add_epilogue(t, (tn_epilogue){.kind = TN_EPILOGUE_ADD, .operand = 2});
    }
    if (is_gated) {
        test_add_epilogue(t, (tn_epilogue){.kind = TN_EPILOGUE_GATED_ACTIVATION, .operand = -1, .activation = TN_ACTIVATION_SILU});
        test_add_epilogue(t, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .operand = -1, .dtype = b->activations});
    }
    test_add_output(t, is_gated ? b->activations : TN_FLOAT32, TN_DIMS(rows, is_gated ? n / 2 : n), y);
    if (rows <= 32) /* as the builder mostly chooses */
        end(b, b->activations == TN_Q15_32 ? &tn_cpu_tactic_matmul_stream_q15 : &tn_cpu_tactic_matmul_stream_q8);
    else
        end(b, b->activations == TN_Q15_32 ? &tn_cpu_tactic_matmul_q15 : &tn_cpu_tactic_matmul_q8);
}

static void add_lengths(bench *b, test_problem *t) {
    test_add_input(t, TN_INT32, TN_DIMS(2), b->query_start);
    test_add_input(t, TN_INT32, TN_DIMS(1), b->kv_length);
    test_add_input(t, TN_INT32, TN_DIMS(1, MAX_LEN / BLOCK), b->blocks);
}

static void add_attention(bench *b, int layer, int64_t rows) {
    test_problem *t = begin(b, TN_OP_QKV_CACHE);
    t->params.qkv_cache = (tn_qkv_cache_params){layer, HEADS, TN_ROTARY_HALVES, 0, 0, LAYERS, KV_HEADS, DIM, DIM, BLOCK, TN_FLOAT16};
    test_add_input(t, TN_FLOAT32, TN_DIMS(rows, QKV), b->qkv);
    test_add_input(t, TN_FLOAT32, TN_DIMS(rows, DIM), b->table);
    test_add_absent(t);
    test_add_absent(t);
    test_add_state(t, TN_DTYPE_NONE, TN_SCALAR, b->cache);
    add_lengths(b, t);
    test_add_output(t, TN_FLOAT32, TN_DIMS(rows, HEADS * DIM), b->q);
    test_add(t, TN_DTYPE_NONE, TN_ROLE_STATE, TN_SCALAR, b->cache);
    end(b, &tn_cpu_tactic_qkv_cache);
    t = begin(b, TN_OP_ATTENTION);
    t->params.attention = (tn_attention_params){.layer = layer,
                                                .num_heads = HEADS,
                                                .scale = 0.125,
                                                .num_layers = LAYERS,
                                                .num_kv_heads = KV_HEADS,
                                                .k_dim = DIM,
                                                .v_dim = DIM,
                                                .tokens_per_block = BLOCK,
                                                .cache_dtype = TN_FLOAT16};
    test_add_input(t, TN_FLOAT32, TN_DIMS(rows, HEADS * DIM), b->q);
    test_add_state(t, TN_DTYPE_NONE, TN_SCALAR, b->cache);
    add_lengths(b, t);
    test_add_output(t, b->activations, TN_DIMS(rows, HEADS * DIM), b->mixed);
    test_add_epilogue(t, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .operand = -1, .dtype = b->activations});
    end(b, &tn_cpu_tactic_attention);
}

static void make_weights(bench *b) {
    static const int64_t shapes[5][2] = {{QKV, HIDDEN}, {HIDDEN, HEADS * DIM}, {2 * FFN, HIDDEN}, {HIDDEN, FFN}, {VOCAB, HIDDEN}};
    for (int i = 0; i < 5; i++) {
        tn_encoding encoding;
        if (tn_encoding_from_gguf(i == 4 ? TN_GGUF_Q8_0 : TN_GGUF_Q4_1, &encoding) != TN_OK) exit(1);
        void *packed = test_pack_weight(&encoding, 0, shapes[i][0], shapes[i][1], (uint64_t)i, NULL), *memory = NULL;
        b->weight_bytes[i] = (size_t)(shapes[i][0] / 16 * tn_strip_bytes(i == 4 ? TN_STRIP_Q8_0 : TN_STRIP_Q4_1, shapes[i][1]));
        size_t copies = i == 4 ? 1 : LAYERS;
        if (tn_cpu_backend.memory_allocate(b->device, TN_MEMORY_WEIGHTS, copies * b->weight_bytes[i], NULL, &memory) != TN_OK) exit(1);
        for (size_t c = 0; c < copies; c++) memcpy((char *)memory + c * b->weight_bytes[i], packed, b->weight_bytes[i]);
        b->weights[i] = memory;
        free(packed);
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct op_times {
    const bench *b;
    double us[TN_NUM_OP_KINDS];
} op_times;

static void record(void *user, size_t index, int64_t begin_ns, int64_t end_ns) {
    op_times *times = user;
    times->us[times->b->problems[index].problem.op] += (double)(end_ns - begin_ns) * 1e-3;
}

static void measure(bench *b, int64_t rows, int64_t length, int runs) {
    double times[MAX_RUNS];
    b->query_start[1] = (int32_t)rows;
    b->kv_length[0] = (int32_t)length;
    b->num_steps = 0;
    for (int layer = 0; layer < LAYERS; layer++) {
        add_norm(b, rows);
        add_matmul(b, 0, layer, rows, QKV, HIDDEN, b->normed, b->qkv);
        add_attention(b, layer, rows);
        add_matmul(b, 1, layer, rows, HIDDEN, HEADS * DIM, b->mixed, b->x);
        add_norm(b, rows);
        add_matmul(b, 2, layer, rows, 2 * FFN, HIDDEN, b->normed, b->gated);
        add_matmul(b, 3, layer, rows, HIDDEN, FFN, b->gated, b->x);
    }
    add_norm(b, 1);
    add_matmul(b, 4, 0, 1, VOCAB, HIDDEN, b->normed, b->logits);
    test_fill(5, b->x, rows * HIDDEN);
    tn_cpu_pool *pool = ((tn_cpu_device *)b->device)->pool;
    for (int i = 0; i < runs; i++) {
        int64_t start = tn_now_ns();
        tn_cpu_pool_run(pool, b->steps, b->num_steps, NULL);
        times[i] = (double)(tn_now_ns() - start) * 1e-6;
    }
    op_times by_op = {.b = b};
    tn_profile_sink sink = {&by_op, record};
    tn_cpu_pool_run(pool, b->steps, b->num_steps, &sink);
    qsort(times, (size_t)runs, sizeof times[0], compare);
    double tokens = 1e3 * (double)rows;
    printf("rows %3d at length %3d: least %.2f ms (%.0f tokens/s), median %.2f ms (%.0f tokens/s)\n", (int)rows, (int)length, times[0],
           tokens / times[0], times[runs / 2], tokens / times[runs / 2]);
    for (int op = 0; op < TN_NUM_OP_KINDS; op++)
        if (by_op.us[op] > 0) printf("    %-16s %8.1f us\n", tn_op_get_info((tn_op_kind)op)->name, by_op.us[op]);
}

int main(int argc, char **argv) {
    bench *b = calloc(1, sizeof *b);
    if (b == NULL) return 1;
    b->activations = argc > 1 && strcmp(argv[1], "int8") == 0 ? TN_Q8_32 : TN_Q15_32;
    b->device = test_device_create(argc > 2 ? argv[2] : NULL, argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0);
    if (b->device == NULL) return 1;
    printf("%s, %s\n", b->device->description, tn_dtype_name(b->activations));
    make_weights(b);
    tn_kv_geometry geometry = {LAYERS, KV_HEADS, DIM, DIM, BLOCK, TN_FLOAT16};
    b->cache = test_alloc(tn_cpu_backend.kv_block_bytes(b->device, &geometry) * (MAX_LEN / BLOCK));
    size_t row_bytes = tn_quantized_row_bytes(TN_Q15_32, FFN);
    b->normed = test_alloc(512 * row_bytes);
    b->mixed = test_alloc(512 * row_bytes);
    b->gated = test_alloc(512 * row_bytes);
    b->x = test_alloc(sizeof(float) * 512 * HIDDEN);
    b->qkv = test_alloc(sizeof(float) * 512 * QKV);
    b->q = test_alloc(sizeof(float) * 512 * HEADS * DIM);
    b->table = test_alloc(sizeof(float) * 512 * DIM);
    b->logits = test_alloc(sizeof(float) * VOCAB);
    b->ones = test_alloc(sizeof(float) * HIDDEN);
    for (int i = 0; i < HIDDEN; i++) b->ones[i] = 1.0f;
    for (int i = 0; i < 512 * DIM; i++) b->table[i] = 0.7f;
    for (int i = 0; i < MAX_LEN / BLOCK; i++) b->blocks[i] = i;
    measure(b, 512, 512, 5);
    measure(b, 1, 128, MAX_RUNS);
    measure(b, 1, 513, MAX_RUNS);
    measure(b, 16, 512, 5);
    tn_cpu_backend.device_destroy(b->device);
    free(b);
    return 0;
}
