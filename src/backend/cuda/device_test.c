/* SPDX-License-Identifier: Apache-2.0
 *
 * device_test.c: the cuda device on a GPU: memory, queues, copies, events, launches and their times. Skipped where there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "backend/conformance/problem_builder.h"
#include "backend/cuda/device.h"

typedef struct fixture {
    tn_diag *diag;
    tn_device *device;
    tn_stream *stream;
} fixture;

static const tn_backend *const cuda = &tn_cuda_backend;

static void *allocate(fixture *f, size_t size_bytes) {
    void *memory;
    assert_int_equal(cuda->memory_allocate(f->device, TN_MEMORY_STATE, size_bytes, f->diag, &memory), TN_OK);
    return memory;
}

static void to_device(fixture *f, void *dst, const void *src, size_t size_bytes) {
    assert_int_equal(cuda->copy(f->stream, TN_COPY_TO_DEVICE, dst, src, size_bytes, f->diag), TN_OK);
}

static void to_host(fixture *f, void *dst, const void *src, size_t size_bytes) {
    assert_int_equal(cuda->copy(f->stream, TN_COPY_TO_HOST, dst, src, size_bytes, f->diag), TN_OK);
}

static void synchronize(fixture *f) {
    assert_int_equal(cuda->stream_synchronize(f->stream, f->diag), TN_OK);
}

static const char *last_message(fixture *f) {
    static tn_diag_entry entry;
    assert_true(tn_diag_num_entries(f->diag) > 0);
    assert_int_equal(tn_diag_get(f->diag, tn_diag_num_entries(f->diag) - 1, &entry), TN_OK);
    return entry.message;
}

static void device_says_what_it_is(void **state) {
    fixture *f = *state;
    const tn_device_info *info = &f->device->info;
    printf("%s\n", tn_device_description(f->device));
    assert_string_equal(info->backend, "cuda");
    assert_true(info->isa >= 80);
    assert_true(info->num_workers > 0 && info->memory_bytes > (size_t)1 << 30 && info->l2_bytes > 0);
    assert_true(info->read_bytes_per_us > 1e5 && info->read_bytes_per_us < 2e7);
    assert_true(strlen(info->fingerprint) > 0);
}

static void memory_starts_with_zeros(void **state) {
    fixture *f = *state;
    static char bytes[100001];
    for (int round = 0; round < 2; round++) { /* the second may get what the first left */
        void *memory = allocate(f, sizeof bytes);
        assert_int_equal((uintptr_t)memory % 256, 0);
        memset(bytes, 1, sizeof bytes);
        to_host(f, bytes, memory, sizeof bytes);
        synchronize(f);
        for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], 0);
        memset(bytes, 7, sizeof bytes);
        to_device(f, memory, bytes, sizeof bytes);
        synchronize(f);
        cuda->memory_free(f->device, memory, sizeof bytes);
    }
}

static void copies_keep_their_order(void **state) {
    fixture *f = *state;
    enum { COUNT = 300 };
    static int values[COUNT], back[COUNT];
    int *a = allocate(f, sizeof values), *b = allocate(f, sizeof values);
    for (int i = 0; i < COUNT; i++) {
        values[i] = 3 * i + 1;
        to_device(f, a + i, &values[i], sizeof *values);
        assert_int_equal(cuda->copy(f->stream, TN_COPY_ON_DEVICE, b + i, a + i, sizeof *values, f->diag), TN_OK);
        to_host(f, &back[i], b + i, sizeof *values);
    }
    synchronize(f);
    assert_memory_equal(values, back, sizeof values);
    cuda->memory_free(f->device, a, sizeof values);
    cuda->memory_free(f->device, b, sizeof values);
}

static void large_copies_arrive_whole(void **state) {
    fixture *f = *state;
    size_t size_bytes = ((size_t)37 << 20) + 12345;
    uint8_t *bytes = test_malloc(size_bytes), *back = test_malloc(size_bytes);
    for (size_t i = 0; i < size_bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    void *memory = allocate(f, size_bytes);
    to_device(f, memory, bytes, size_bytes);
    to_host(f, back, memory, size_bytes);
    synchronize(f);
    assert_memory_equal(bytes, back, size_bytes);
    cuda->memory_free(f->device, memory, size_bytes);
    test_free(bytes);
    test_free(back);
}

/* Sizes and places of all alignments, some over others, more than the pinned rings hold. */
static void small_copies_arrive_in_order_wherever_they_go(void **state) {
    fixture *f = *state;
    enum { ROOM = 40000, COUNT = 3000 };
    static uint8_t expected[ROOM], source[COUNT][64], got[ROOM];
    uint8_t *memory = allocate(f, ROOM);
    uint32_t random = 1;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1664525u + 1013904223u;
        size_t size_bytes = 1 + (random >> 8) % sizeof source[i], at = (random >> 16) % (ROOM - sizeof source[i]);
        if (i % 3 == 0) at &= ~(size_t)15;
        for (size_t k = 0; k < size_bytes; k++) source[i][k] = expected[at + k] = (uint8_t)(random >> (k % 24));
        to_device(f, memory + at, source[i], size_bytes);
    }
    to_host(f, got, memory, ROOM);
    synchronize(f);
    assert_memory_equal(expected, got, ROOM);
    static uint8_t block[3 << 10], whole[ROOM], long_source[300000], long_got[300000];
    for (int i = 0; i < 1500; i++) { /* 4.5 MB through the rings, both ways */
        memset(block, i, sizeof block);
        to_device(f, memory, block, sizeof block);
        to_host(f, whole + i % 16, memory, sizeof block);
    }
    synchronize(f);
    void *long_memory = allocate(f, sizeof long_source);
    for (int i = 0; i < 12; i++) {
        memset(long_source, i, sizeof long_source);
        to_device(f, long_memory, long_source, sizeof long_source);
    }
    to_host(f, long_got, long_memory, sizeof long_got);
    synchronize(f);
    assert_memory_equal(long_source, long_got, sizeof long_got);
    cuda->memory_free(f->device, long_memory, sizeof long_source);
    assert_int_equal(whole[1499 % 16], (uint8_t)1499);
    assert_int_equal(whole[1499 % 16 + sizeof block - 1], (uint8_t)1499);
    cuda->memory_free(f->device, memory, ROOM);
}

static void results_are_there_when_their_event_has_passed(void **state) {
    fixture *f = *state;
    tn_event *event;
    static int source[100], got[100];
    void *memory = allocate(f, sizeof source);
    assert_int_equal(cuda->event_create(f->device, f->diag, &event), TN_OK);
    for (int round = 1; round < 50; round++) {
        for (int i = 0; i < 100; i++) source[i] = round * i;
        to_device(f, memory, source, sizeof source);
        to_host(f, got, memory, sizeof got);
        assert_int_equal(cuda->event_record(f->stream, event), TN_OK);
        if (round % 2 == 0)
            assert_int_equal(cuda->event_wait(event, f->diag), TN_OK);
        else
            while (!cuda->event_is_done(event)) continue;
        assert_memory_equal(got, source, sizeof got);
    }
    cuda->event_destroy(event);
    cuda->memory_free(f->device, memory, sizeof source);
}

static void too_large_a_request_is_told_with_what_is_free(void **state) {
    fixture *f = *state;
    void *memory;
    size_t too_large = 2 * f->device->info.memory_bytes;
    assert_int_equal(cuda->memory_allocate(f->device, TN_MEMORY_WEIGHTS, too_large, f->diag, &memory), TN_OUT_OF_MEMORY);
    assert_null(memory);
    assert_non_null(strstr(last_message(f), "are free"));
    cuda->memory_free(f->device, allocate(f, 64), 64); /* usable afterwards */
}

static void memory_limit_holds(void **state) {
    fixture *f = *state;
    tn_device_options options;
    tn_device *limited;
    void *first, *second;
    tn_device_options_init(&options);
    options.diag = f->diag, options.memory_limit_bytes = 1 << 20;
    assert_int_equal(tn_device_create("cuda", &options, &limited), TN_OK);
    assert_int_equal(cuda->memory_allocate(limited, TN_MEMORY_STATE, 600000, f->diag, &first), TN_OK);
    assert_int_equal(cuda->memory_allocate(limited, TN_MEMORY_STATE, 600000, f->diag, &second), TN_OUT_OF_MEMORY);
    assert_non_null(strstr(last_message(f), "limit"));
    cuda->memory_free(limited, first, 600000);
    assert_int_equal(cuda->memory_allocate(limited, TN_MEMORY_STATE, 600000, f->diag, &second), TN_OK);
    cuda->memory_free(limited, second, 600000);
    tn_device_destroy(limited);
}

static void events_pass_after_the_work_before_them(void **state) {
    fixture *f = *state;
    size_t size_bytes = (size_t)256 << 20;
    tn_event *event;
    char *a = allocate(f, size_bytes), *b = allocate(f, size_bytes);
    assert_int_equal(cuda->event_create(f->device, f->diag, &event), TN_OK);
    assert_true(cuda->event_is_done(event)); /* nothing recorded */
    for (int i = 0; i < 20; i++) assert_int_equal(cuda->copy(f->stream, TN_COPY_ON_DEVICE, b, a, size_bytes, f->diag), TN_OK);
    assert_int_equal(cuda->event_record(f->stream, event), TN_OK);
    assert_int_equal(cuda->event_wait(event, f->diag), TN_OK);
    assert_true(cuda->event_is_done(event));
    cuda->event_destroy(event);
    cuda->memory_free(f->device, a, size_bytes);
    cuda->memory_free(f->device, b, size_bytes);
}

/* Two layers, three heads, other sizes of keys and values: the first five tokens move, all else stays. */
static void block_copies_move_the_first_tokens_of_all_heads(void **state) {
    fixture *f = *state;
    tn_kv_geometry geometry = {.num_layers = 2, .num_kv_heads = 3, .k_dim = 24, .v_dim = 16, .tokens_per_block = 16, .dtype = TN_FLOAT16};
    enum { HEAD = 16 * (24 + 16), BLOCK = 6 * HEAD };
    static uint16_t before[4 * BLOCK], after[4 * BLOCK];
    assert_int_equal(cuda->kv_block_bytes(f->device, &geometry), BLOCK * sizeof *before);
    for (int i = 0; i < 4 * BLOCK; i++) before[i] = (uint16_t)(i + 1);
    void *cache = allocate(f, sizeof before);
    to_device(f, cache, before, sizeof before);
    tn_block_copy copies[] = {{.src = 1, .dst = 3, .num_tokens = 5}, {.src = 3, .dst = 0, .num_tokens = 2}};
    assert_int_equal(cuda->copy_blocks(f->stream, &geometry, cache, copies, 2, f->diag), TN_OK);
    to_host(f, after, cache, sizeof after);
    synchronize(f);
    for (int head = 0; head < 6; head++)
        for (int i = 0; i < HEAD; i++) {
            int at = head * HEAD + i, token = i < 16 * 24 ? i / 24 : (i - 16 * 24) / 16;
            before[3 * BLOCK + at] = token < 5 ? before[BLOCK + at] : before[3 * BLOCK + at];
            before[at] = token < 2 ? before[3 * BLOCK + at] : before[at];
        }
    assert_memory_equal(before, after, sizeof before);
    copies[0].num_tokens = 17;
    assert_int_equal(cuda->copy_blocks(f->stream, &geometry, cache, copies, 1, f->diag), TN_INTERNAL);
    cuda->memory_free(f->device, cache, sizeof before);
}

/* A segment of block copies, each reading what the one before wrote, again and again: order, replay, and times. */
typedef struct chain {
    tn_operand operand;
    tn_problem problem;
    tn_launch launches[40];
    tn_bound_step steps[40];
    void *buffers[40][1];
} chain;

enum { CHAIN = 40, CHAIN_BYTES = 1024 };

static void make_chain(chain *c, void *memory) {
    memset(c, 0, sizeof *c);
    c->operand.role = TN_ROLE_STATE;
    c->problem = (tn_problem){.op = TN_OP_KV_CACHE_UPDATE, .operands = &c->operand, .num_operands = 1, .num_inputs = 1};
    for (int i = 0; i < CHAIN; i++) { /* run of bytes i → i + 1 */
        c->launches[i].constants[0] = i * CHAIN_BYTES, c->launches[i].constants[1] = (i + 1) * CHAIN_BYTES;
        c->launches[i].constants[4] = CHAIN_BYTES;
        tn_cuda_launch_add(&c->launches[i], TN_CUDA_KERNEL_copy_kv_block, 1, 1, 1, 128, 0);
        c->buffers[i][0] = memory;
        c->steps[i] = (tn_bound_step){.launch = &c->launches[i], .problem = &c->problem, .buffers = c->buffers[i]};
    }
}

static void check_chain(fixture *f, void *memory, int value) {
    static uint8_t bytes[(CHAIN + 1) * CHAIN_BYTES];
    to_host(f, bytes, memory, sizeof bytes);
    synchronize(f);
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], value);
}

static void segments_run_in_order_however_often(void **state) {
    fixture *f = *state;
    static chain c, other;
    static uint8_t start[CHAIN_BYTES];
    void *memory = allocate(f, (CHAIN + 1) * CHAIN_BYTES), *second = allocate(f, (CHAIN + 1) * CHAIN_BYTES);
    make_chain(&c, memory);
    make_chain(&other, second);
    for (int round = 1; round < 9; round++) {
        memset(start, round, sizeof start);
        bool is_other = round % 3 == 0;
        void *target = is_other ? second : memory;
        if (round == 6) { /* the same steps with other contents */
            for (int i = 0; i < CHAIN; i++) c.buffers[i][0] = second;
            target = second, is_other = false;
        }
        if (round == 7) target = second;
        if (round == 8) {
            for (int i = 0; i < CHAIN; i++) c.buffers[i][0] = memory;
            target = memory;
        }
        to_device(f, target, start, sizeof start);
        synchronize(f);
        assert_int_equal(cuda->run_segment(f->stream, is_other ? other.steps : c.steps, CHAIN, NULL, f->diag), TN_OK);
        check_chain(f, target, round);
    }
    cuda->memory_free(f->device, memory, (CHAIN + 1) * CHAIN_BYTES);
    cuda->memory_free(f->device, second, (CHAIN + 1) * CHAIN_BYTES);
}

typedef struct times {
    int count;
    int64_t end_ns;
} times;

static void record(void *user, size_t index, int64_t begin_ns, int64_t end_ns) {
    times *t = user;
    assert_int_equal(index, t->count);
    assert_true(begin_ns >= t->end_ns && end_ns >= begin_ns);
    t->count++;
    t->end_ns = end_ns;
}

static void profiles_get_a_time_for_each_step(void **state) {
    fixture *f = *state;
    static chain c;
    times t = {0, 0};
    void *memory = allocate(f, (CHAIN + 1) * CHAIN_BYTES);
    make_chain(&c, memory);
    tn_profile_sink sink = {.user = &t, .record = record};
    assert_int_equal(cuda->run_segment(f->stream, c.steps, CHAIN, &sink, f->diag), TN_OK);
    assert_int_equal(t.count, CHAIN);
    assert_true(t.end_ns > 0);
    cuda->memory_free(f->device, memory, (CHAIN + 1) * CHAIN_BYTES);
}

static void every_kernel_loads(void **state) {
    fixture *f = *state;
    tn_cuda_device *device = (tn_cuda_device *)f->device;
    tn_cu_function function;
    tn_cuda_enter(device);
    for (int i = 0; i < TN_NUM_CUDA_KERNELS; i++)
        if (tn_cuda_find_function(device, (tn_cuda_kernel)i, f->diag, &function) != TN_OK)
            fail_msg("%s: %s", tn_cuda_kernel_name((tn_cuda_kernel)i), last_message(f));
    tn_cuda_leave(device);
}

static void impossible_launches_are_told_with_the_kernel(void **state) {
    fixture *f = *state;
    static chain c;
    void *memory = allocate(f, (CHAIN + 1) * CHAIN_BYTES);
    make_chain(&c, memory);
    c.launches[0].cuda.phases[0].num_threads = 4096;
    assert_int_equal(cuda->run_segment(f->stream, c.steps, 1, NULL, f->diag), TN_INTERNAL);
    assert_non_null(strstr(last_message(f), "copy_kv_block"));
    cuda->memory_free(f->device, memory, (CHAIN + 1) * CHAIN_BYTES);
}

/* --- a norm, a gated product and another product, each for the next one alone -------------------------------------------------- */

enum { LINKED_ROWS = 100, LINKED_K = 192, LINKED_N = 320, LINKED_STEPS = 3 };

typedef struct linked {
    tn_problem_builder builders[LINKED_STEPS];
    tn_launch launches[LINKED_STEPS];
    tn_bound_step steps[LINKED_STEPS];
    void *memory[8]; /* x, scale, normed, gates, gated, weight, sums, workspace */
} linked;

static const size_t linked_bytes[8] = {
    LINKED_ROWS * LINKED_K * 4, LINKED_K * 4,           LINKED_ROWS *LINKED_K * 4, 2 * LINKED_N *LINKED_K * 2,
    LINKED_ROWS *LINKED_N * 4,  LINKED_K *LINKED_N * 2, LINKED_ROWS *LINKED_K * 4, 2 * 64 * LINKED_N * 2,
};

static void prepare_linked(fixture *f, linked *l, int step, const char *tactic) {
    tn_problem_builder *b = &l->builders[step];
    const tn_problem *problem = tn_build_problem(b);
    assert_int_equal(tn_backend_find_tactic(cuda, tactic)->prepare(&f->device->info, problem, b->symbols, &l->launches[step]), TN_OK);
    assert_true(l->launches[step].workspace_bytes <= linked_bytes[7]);
    b->buffers[b->num_buffers] = l->memory[7];
    l->steps[step] = (tn_bound_step){.launch = &l->launches[step], .problem = problem, .buffers = b->buffers, .symbols = b->symbols};
}

static void make_linked(fixture *f, linked *l) {
    static const tn_normalization_params norm = {.type = TN_NORMALIZATION_RMS, .epsilon = 1e-5};
    static const tn_matrix_multiply_params params = {.op_b = TN_MATRIX_TRANSPOSE};
    tn_encoding bf16 = tn_encoding_plain(TN_BFLOAT16);
    void **m = l->memory;
    tn_problem_builder *b = &l->builders[0];
    tn_build_begin(b, TN_OP_NORMALIZATION, &norm);
    tn_build_input(b, TN_FLOAT32, m[0], TN_DIMS(LINKED_ROWS, LINKED_K));
    tn_build_input(b, TN_FLOAT32, m[1], TN_DIMS(LINKED_K));
    tn_build_output(b, TN_FLOAT32, m[2], TN_DIMS(LINKED_ROWS, LINKED_K));
    tn_build_begin_behind(++b, &l->builders[0], TN_OP_MATRIX_MULTIPLY, &params);
    tn_build_input(b, TN_FLOAT32, m[2], TN_DIMS(LINKED_ROWS, LINKED_K));
    tn_build_weight(b, &bf16, &(tn_weight_parts){.part = {m[3]}}, TN_DIMS(2 * LINKED_N, LINKED_K));
    tn_build_epilogue(b, (tn_epilogue){.kind = TN_EPILOGUE_GATED_ACTIVATION, .operand = -1, .activation = TN_ACTIVATION_SILU});
    tn_build_output(b, TN_FLOAT32, m[4], TN_DIMS(LINKED_ROWS, LINKED_N));
    tn_build_begin_behind(++b, &l->builders[1], TN_OP_MATRIX_MULTIPLY, &params);
    tn_build_input(b, TN_FLOAT32, m[4], TN_DIMS(LINKED_ROWS, LINKED_N));
    tn_build_weight(b, &bf16, &(tn_weight_parts){.part = {m[5]}}, TN_DIMS(LINKED_K, LINKED_N));
    tn_build_output(b, TN_FLOAT32, m[6], TN_DIMS(LINKED_ROWS, LINKED_K));
    prepare_linked(f, l, 0, "normalize_rows");
    prepare_linked(f, l, 1, "matmul_wgmma");
    prepare_linked(f, l, 2, "matmul_wgmma");
}

static void linked_launches_give_the_same_bits(void **state) {
    fixture *f = *state;
    static linked l;
    static float sums[2][LINKED_ROWS * LINKED_K];
    if (f->device->info.isa != 90) skip(); /* matmul_wgmma is of compute capability 9.0 */
    uint32_t random = 1;
    for (int i = 0; i < 8; i++) {
        uint32_t *words = test_malloc(linked_bytes[i]); /* floats, and pairs of bfloat16, of magnitudes 2^-8 to 1 */
        for (size_t w = 0; w < linked_bytes[i] / 4; w++) {
            random = random * 1664525u + 1013904223u;
            words[w] = 0x3b803b80u + (random >> 8 & 0x03ff03ffu) + (random & 0x80008000u);
        }
        l.memory[i] = allocate(f, linked_bytes[i]);
        to_device(f, l.memory[i], words, linked_bytes[i]);
        synchronize(f);
        test_free(words);
    }
    make_linked(f, &l);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(cuda->run_segment(f->stream, l.steps, LINKED_STEPS, NULL, f->diag), TN_OK);
        to_host(f, sums[run], l.memory[6], sizeof sums[run]);
        synchronize(f);
        for (int i = 1; i < LINKED_STEPS; i++) {
            assert_int_equal(l.launches[i].cuda.num_phases, run == 0 ? 2 : 1); /* linked, nothing is left to pack */
            if (run == 0)
                cuda->link(l.steps[i - 1].problem, &l.launches[i - 1], l.steps[i].problem, &l.launches[i],
                           l.builders[LINKED_STEPS - 1].symbols);
        }
    }
    assert_true(sums[0][0] != 0.0f);
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
    for (int i = 0; i < 8; i++) cuda->memory_free(f->device, l.memory[i], linked_bytes[i]);
}

int main(void) {
    static fixture f;
    tn_device_options options;
    tn_diag_entry entry;
    if (tn_diag_create(NULL, &f.diag) != TN_OK) return 1;
    tn_device_options_init(&options);
    options.diag = f.diag;
    if (tn_device_create("cuda", &options, &f.device) != TN_OK) {
        (void)tn_diag_get(f.diag, 0, &entry);
        printf("SKIP: %s\n", entry.message);
        return 77;
    }
    if (tn_stream_create(f.device, f.diag, &f.stream) != TN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(device_says_what_it_is, &f),
        cmocka_unit_test_prestate(memory_starts_with_zeros, &f),
        cmocka_unit_test_prestate(copies_keep_their_order, &f),
        cmocka_unit_test_prestate(large_copies_arrive_whole, &f),
        cmocka_unit_test_prestate(small_copies_arrive_in_order_wherever_they_go, &f),
        cmocka_unit_test_prestate(results_are_there_when_their_event_has_passed, &f),
        cmocka_unit_test_prestate(too_large_a_request_is_told_with_what_is_free, &f),
        cmocka_unit_test_prestate(memory_limit_holds, &f),
        cmocka_unit_test_prestate(events_pass_after_the_work_before_them, &f),
        cmocka_unit_test_prestate(block_copies_move_the_first_tokens_of_all_heads, &f),
        cmocka_unit_test_prestate(segments_run_in_order_however_often, &f),
        cmocka_unit_test_prestate(profiles_get_a_time_for_each_step, &f),
        cmocka_unit_test_prestate(linked_launches_give_the_same_bits, &f),
        cmocka_unit_test_prestate(every_kernel_loads, &f),
        cmocka_unit_test_prestate(impossible_launches_are_told_with_the_kernel, &f),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tn_stream_destroy(f.stream);
    tn_device_destroy(f.device);
    tn_diag_destroy(f.diag);
    return failed;
}
