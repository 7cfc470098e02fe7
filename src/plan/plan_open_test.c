/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_open_test.c: the plan reader accepts what is whole and refuses the rest, saying where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "plan/plan.h"
#include "support/fault_allocator.h"
#include "support/plan_maker.h"

/* y = relu(x) + w, by a loop that does nothing but count, and a host step; one cache and one slots state. */
static void make_plan(tn_plan_maker *maker) {
    static const float weight[4] = {1, 2, 3, 4};
    static const int64_t weight_dims[2] = {1, 4};
    tn_plan_maker_init(maker, "ref");
    (void)tn_maker_weight(maker, "w", "float32", "float32", 2, weight_dims, weight, sizeof weight, "load(\"w\" float32[1,4])");
    tn_plan_state kv = {.name = tn_maker_string(maker, "kv.0"),
                        .kind = tn_maker_string(maker, "kv"),
                        .dtype = tn_maker_string(maker, "float32"),
                        .num_layers = 2,
                        .num_kv_heads = 2,
                        .k_dim = 8,
                        .v_dim = 8,
                        .tokens_per_block = 16};
    tn_plan_state slots = {
        .name = tn_maker_string(maker, "slots"), .kind = tn_maker_string(maker, "slots"), .vocab_size = 10, .max_seq_len = 32};
    assert_true(tn_array_push(NULL, &maker->states, kv));
    assert_true(tn_array_push(NULL, &maker->states, slots));

    tn_maker_begin_function(maker, "forward");
    uint32_t n = tn_maker_input_dim(maker, 0, 0), four = tn_maker_const(maker, 4),
             host_value = tn_maker_symbol(maker, "host_value", 3, 0, 0, 0);
    assert_int_equal(n, 1);
    tn_maker_tensor(maker, "x", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){n, four});
    tn_maker_tensor(maker, "y", "float32", TN_SPACE_OUTPUT, 2, (uint32_t[]){n, four});
    tn_maker_tensor(maker, "a", "float32", TN_SPACE_ACTIVATION, 2, (uint32_t[]){n, four});
    tn_maker_tensor(maker, "count", "int64", TN_SPACE_HOST, 0, NULL);
    tn_maker_tensor(maker, "iteration", "int64", TN_SPACE_HOST, 0, NULL);
    tn_maker_tensor(maker, "d", "int64", TN_SPACE_ACTIVATION, 0, NULL);
    maker->tensors.data[4].flags = TN_TENSOR_ITERATION;
    maker->tensors.data[4].first_step = 4;
    tn_maker_profile(maker, 0, 0, 0, 1, 2, 8);
    tn_maker_launch(maker, "relu", "activation{type=relu} float32[s1,4] -> float32[s1,4]", "ref_activation", 1, 2,
                    (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}});
    tn_maker_launch(maker, "count", "identity int64[]@host -> int64[]@host", NULL, 0, 2,
                    (const uint32_t[][2]){{TN_SPACE_HOST, 3}, {TN_SPACE_HOST, 3}});
    tn_maker_transfer(maker, "copy", TN_STEP_COPY, (const uint32_t[]){TN_SPACE_HOST, 3}, (const uint32_t[]){TN_SPACE_ACTIVATION, 5});
    tn_maker_transfer(maker, "read", TN_STEP_READ_SYMBOL, (const uint32_t[]){TN_SPACE_ACTIVATION, 5}, (const uint32_t[]){TN_SPACE_HOST, 3});
    tn_maker_loop(maker, "loop", host_value, 0, 6);
    tn_maker_launch(maker, "add", "elementwise{op=prod} float32[s1,4] float32:plain[1,4] -> float32[s1,4]", "ref_elementwise", 1, 3,
                    (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_OUTPUT, 1}});
    tn_maker_end_function(maker);
}

static void *make_bytes(size_t *out_size) {
    tn_plan_maker maker;
    make_plan(&maker);
    void *bytes = tn_plan_maker_finish(&maker, out_size);
    tn_plan_maker_deinit(&maker);
    return bytes;
}

static tn_status open_bytes(const void *bytes, size_t size, tn_diag *diag, tn_plan **out_plan) {
    return tn_plan_open_memory(bytes, size, NULL, NULL, NULL, diag, out_plan);
}

static const char *first_message(const tn_diag *diag) {
    tn_diag_entry entry;
    return tn_diag_get(diag, 0, &entry) == TN_OK ? entry.message : "";
}

static void assert_refused(const void *bytes, size_t size, tn_status expected, const char *words) {
    tn_diag *diag;
    tn_plan *plan;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_status status = open_bytes(bytes, size, diag, &plan);
    bool found = false;
    for (size_t i = 0; i < tn_diag_num_entries(diag); i++) {
        tn_diag_entry entry;
        assert_int_equal(tn_diag_get(diag, i, &entry), TN_OK);
        found = found || (strstr(entry.message, words) != NULL && entry.hint[0] != '\0');
    }
    if (status != expected || !found) print_error("wanted '%s', got %s: %s\n", words, tn_status_name(status), first_message(diag));
    assert_int_equal(status, expected);
    assert_true(found);
    assert_null(plan);
    tn_diag_destroy(diag);
}

static void small_plan_opens(void **state) {
    (void)state;
    size_t size;
    void *bytes = make_bytes(&size);
    tn_plan *plan;
    assert_int_equal(open_bytes(bytes, size, NULL, &plan), TN_OK);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_functions, 1);
    assert_int_equal(view->num_steps, 6);
    assert_string_equal(tn_plan_string(view, view->functions[0].name), "forward");
    assert_string_equal(view->meta, "{}");
    assert_int_equal(tn_plan_verify_weights(plan, NULL), TN_OK);
    assert_int_equal(tn_plan_size_bytes(plan), size);
    const tn_file *file;
    assert_ptr_equal(tn_plan_bytes(plan, &file), bytes);
    assert_null(file);
    tn_plan_destroy(tn_plan_retain(plan));
    assert_string_equal(tn_plan_path(plan), "");
    tn_plan_destroy(plan);
    free(bytes);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size);
    tn_diag *diag;
    assert_true(size <= 16384);
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t length = 0; length < size; length++) {
        void *cut = aligned_alloc(64, (length + 64) / 64 * 64); /* so that a sanitizer sees reads behind the end */
        assert_non_null(cut);
        memcpy(cut, bytes, length);
        tn_plan *plan;
        assert_int_equal(open_bytes(cut, length, diag, &plan), TN_INVALID_DATA);
        assert_null(plan);
        assert_non_null(strstr(first_message(diag), "cannot read plan"));
        tn_diag_clear(diag);
        ((tn_plan_header *)cut)->file_bytes = length; /* and with a header that says so */
        if (length >= sizeof(tn_plan_header)) {
            tn_plan_seal(cut, length);
            assert_int_not_equal(open_bytes(cut, length, diag, &plan), TN_OK);
        }
        tn_diag_clear(diag);
        free(cut);
    }
    tn_diag_destroy(diag);
    free(bytes);
}

/* The bytes that sections hold; padding between them carries nothing. */
static bool sections_equal(const uint8_t *a, const uint8_t *b) {
    const tn_plan_header *header = (const tn_plan_header *)(const void *)a;
    const tn_plan_section *sections = (const tn_plan_section *)(const void *)(header + 1);
    size_t head = sizeof *header + header->num_sections * sizeof *sections;
    if (memcmp(a, b, head) != 0) return false;
    for (uint32_t i = 0; i < header->num_sections; i++)
        if (memcmp(a + sections[i].offset, b + sections[i].offset, (size_t)sections[i].size) != 0) return false;
    return true;
}

static void every_flipped_byte_is_refused_or_changes_nothing(void **state) {
    (void)state;
    size_t size, num_refused = 0;
    uint8_t *bytes = make_bytes(&size), *copy = aligned_alloc(64, (size + 63) / 64 * 64);
    tn_diag *diag;
    assert_non_null(copy);
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t i = 0; i < size * 2; i++) {
        memcpy(copy, bytes, size);
        copy[i / 2] ^= i % 2 == 0 ? 0xff : 0x01;
        tn_plan *plan;
        tn_status status = open_bytes(copy, size, diag, &plan);
        if (status == TN_OK) status = tn_plan_verify_weights(plan, diag);
        assert_true(status != TN_OK || sections_equal(bytes, copy));
        num_refused += status != TN_OK;
        tn_plan_destroy(plan);
        tn_diag_clear(diag);
    }
    assert_true(num_refused > size);
    tn_diag_destroy(diag);
    free(copy);
    free(bytes);
}

/* With right checksums only the checks of the tables stand between a damaged plan and its users. */
static void no_memory_safety_rests_on_checksums(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size), *copy = aligned_alloc(64, (size + 63) / 64 * 64);
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x10};
    tn_diag *diag;
    assert_non_null(copy);
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t i = 0; i < size * sizeof masks; i++) {
        memcpy(copy, bytes, size);
        copy[i / sizeof masks] ^= masks[i % sizeof masks];
        tn_plan_seal(copy, size);
        tn_plan *plan;
        tn_status status = open_bytes(copy, size, diag, &plan);
        if (status == TN_OK) status = tn_plan_verify_weights(plan, diag);
        if (status != TN_OK) assert_true(tn_diag_num_entries(diag) > 0);
        tn_plan_destroy(plan);
        tn_diag_clear(diag);
    }
    tn_diag_destroy(diag);
    free(copy);
    free(bytes);
}

/* --- each table's damage, named -------------------------------------------------------------------------------------- */

typedef struct damage {
    const char *what;
    size_t table;  /* offset of the TN_ARRAY in the maker */
    size_t member; /* offset of the 32-bit member in the record's table, index included */
    uint32_t value;
    tn_status status;
    const char *words;
} damage;

#define AT(array, type, index, member_name) offsetof(tn_plan_maker, array), (index) * sizeof(type) + offsetof(type, member_name)
#define TENSOR(index, member)               AT(tensors, tn_plan_tensor, index, member)
#define STEP(index, member)                 AT(steps, tn_plan_step, index, member)
#define REF(index, member)                  AT(refs, tn_plan_ref, index, member)
#define SYMBOL(index, member)               AT(symbols, tn_plan_symbol, index, member)
#define FUNCTION(index, member)             AT(functions, tn_plan_function, index, member)
#define PROFILE(index, member)              AT(profiles, tn_plan_profile, index, member)
#define VARIANT(index, member)              AT(variants, tn_plan_variant, index, member)
#define STATE(index, member)                AT(states, tn_plan_state, index, member)
#define WEIGHT(index, member)               AT(weights, tn_plan_weight, index, member)

static const damage damages[] = {
    {"function name", FUNCTION(0, name), 1u << 30, TN_INVALID_DATA, "functions[0]: it has no name"},
    {"function tensors", FUNCTION(0, num_tensors), 7, TN_INVALID_DATA, "functions[0]: its tensors"},
    {"function symbols", FUNCTION(0, first_symbol), 9, TN_INVALID_DATA, "functions[0]: its tensors"},
    {"function's reserved member", FUNCTION(0, reserved), 4, TN_INVALID_DATA, "reserved member"},
    {"tensor name", TENSOR(0, name), 1u << 20, TN_INVALID_DATA, "tensors[0]: it has no name"},
    {"tensor dtype", TENSOR(0, dtype), 1, TN_INVALID_DATA, "unknown element type 'w'"},
    {"tensor role", TENSOR(0, role), 1u << 20, TN_INVALID_DATA, "its role"},
    {"tensor space", TENSOR(1, space), 9, TN_INVALID_DATA, "tensors[1]: unknown space 9"},
    {"tensor place", TENSOR(1, place), 2, TN_INVALID_DATA, "unknown place 2"},
    {"tensor rank", TENSOR(1, rank), 9, TN_INVALID_DATA, "9 dimensions, at most 8"},
    {"tensor flags", TENSOR(1, flags), 4, TN_INVALID_DATA, "unknown flags 0x4"},
    {"tensor dim", TENSOR(1, dims[1]), 4, TN_INVALID_DATA, "dimension 1 is symbol 4"},
    {"tensor bound", TENSOR(1, max_dims[0]), 3, TN_INVALID_DATA, "known only when the function runs"},
    {"tensor dim name", TENSOR(1, dim_names[1]), 1u << 20, TN_INVALID_DATA, "name of dimension 1"},
    {"tensor liveness", TENSOR(2, last_step), 6, TN_INVALID_DATA, "lives from step 0 to 6"},
    {"dead tensor", TENSOR(2, last_step), 3, TN_INVALID_DATA, "step 5 uses tensor 'a'"},
    {"iteration of no loop", TENSOR(4, first_step), 0, TN_INVALID_DATA, "number of an iteration"},
    {"tensor without name", TENSOR(1, name), 0, TN_INVALID_DATA, "tensors[1]: it has no name"},
    {"symbol operator", SYMBOL(1, op), 1, TN_INVALID_DATA, "unknown operator 'w'"},
    {"symbol 0", SYMBOL(0, value), 2, TN_INVALID_DATA, "symbol 0 must be"},
    {"symbol of an output", SYMBOL(1, a), 1, TN_INVALID_DATA, "tensor 1 is no input"},
    {"symbol axis", SYMBOL(1, b), 2, TN_INVALID_DATA, "axis 2"},
    {"symbol tensor", SYMBOL(3, a), 6, TN_INVALID_DATA, "tensor 6 of 6"},
    {"symbol of device memory", SYMBOL(3, a), 2, TN_INVALID_DATA, "holds no integers on the host"},
    {"profile tensor", PROFILE(0, tensor), 6, TN_INVALID_DATA, "profiles[0]: tensor 6 of 6"},
    {"profile axis", PROFILE(0, axis), 2, TN_INVALID_DATA, "axis 2"},
    {"profile number", PROFILE(0, profile), 1, TN_INVALID_DATA, "profile 1 follows profile 0"},
    {"profile range", PROFILE(0, min), 3, TN_INVALID_DATA, "is none"},
    {"step kind", STEP(0, kind), 7, TN_INVALID_DATA, "steps[0]: unknown kind 7"},
    {"collective step", STEP(0, kind), TN_STEP_COLLECTIVE, TN_UNSUPPORTED, "a collective step"},
    {"plugin step", STEP(0, kind), TN_STEP_PLUGIN, TN_UNSUPPORTED, "a plugin step"},
    {"step device", STEP(0, device), 2, TN_INVALID_DATA, "unknown device 2"},
    {"step name", STEP(0, name), 1u << 20, TN_INVALID_DATA, "its name or problem"},
    {"step problem", STEP(0, problem), 1, TN_INVALID_DATA, "the problem of 'relu' is damaged"},
    {"step refs", STEP(0, first_ref), 12, TN_INVALID_DATA, "end beyond their tables"},
    {"step refs count", STEP(0, num_refs), 3, TN_INVALID_DATA, "3 operands, the problem has 2"},
    {"step variants", STEP(0, num_variants), 3, TN_INVALID_DATA, "end beyond their tables"},
    {"step without variant", STEP(0, num_variants), 0, TN_INVALID_DATA, "has 0 variants on device 1"},
    {"step guard", STEP(0, guard), 4, TN_INVALID_DATA, "a symbol beyond the 4"},
    {"step size", STEP(2, size_symbol), 4, TN_INVALID_DATA, "a symbol beyond the 4"},
    {"step with another's member", STEP(0, count), 1, TN_INVALID_DATA, "a member that its kind does not have"},
    {"loop end", STEP(4, body_end), 7, TN_INVALID_DATA, "its body ends before step 7"},
    {"loop without end", STEP(4, body_end), 4, TN_INVALID_DATA, "its body ends before step 4"},
    {"loop count", STEP(4, count), 4, TN_INVALID_DATA, "a symbol beyond the 4"},
    {"loop condition", STEP(4, condition), 4, TN_INVALID_DATA, "a symbol beyond the 4"},
    {"ref space", REF(0, space), TN_NUM_SPACES, TN_INVALID_DATA, "unknown space 7"},
    {"ref of another space", REF(0, space), TN_SPACE_HOST, TN_INVALID_DATA, "no tensor 0 in space 6"},
    {"ref id", REF(0, id), 6, TN_INVALID_DATA, "no tensor 6"},
    {"ref to no weight", REF(9, id), 1, TN_INVALID_DATA, "number 1 of 1"},
    {"ref inside a weight", REF(9, offset), 16, TN_INVALID_DATA, "or a part of it"},
    {"ref index", REF(0, index_symbol), 4, TN_INVALID_DATA, "symbol 4 or 0 of 4"},
    {"ref stride", REF(0, stride_symbol), 4, TN_INVALID_DATA, "symbol 0 or 4 of 4"},
    {"operand of another type", REF(0, id), 5, TN_INVALID_DATA, "no tensor 5"},
    {"read to a device", REF(7, space), TN_SPACE_ACTIVATION, TN_INVALID_DATA, "no tensor 3"},
    {"variant tactic", VARIANT(0, tactic), 0, TN_INVALID_DATA, "variants[0]: it has no tactic"},
    {"variant profile", VARIANT(0, profile), 1, TN_INVALID_DATA, "no variant for profile 0"},
    {"state kind", STATE(0, kind), 1, TN_INVALID_DATA, "unknown kind 'w'"},
    {"state name", STATE(0, name), 0, TN_INVALID_DATA, "no name or no kind"},
    {"state dtype", STATE(0, dtype), 1, TN_INVALID_DATA, "a cache of 'w'"},
    {"state block", STATE(0, tokens_per_block), 17, TN_INVALID_DATA, "17 tokens a block"},
    {"state heads", STATE(0, num_kv_heads), 0, TN_INVALID_DATA, "0 heads"},
    {"slots vocabulary", STATE(1, vocab_size), 0, TN_INVALID_DATA, "a vocabulary of 0"},
    {"weight name", WEIGHT(0, name), 0, TN_INVALID_DATA, "weights[0]: it has no name"},
    {"weight dtype", WEIGHT(0, dtype), 1, TN_INVALID_DATA, "unknown element type"},
    {"weight encoding", WEIGHT(0, encoding), 1, TN_INVALID_DATA, "unknown encoding"},
    {"weight layout", WEIGHT(0, layout), 0, TN_INVALID_DATA, "no layout"},
    {"weight file", WEIGHT(0, file), 1u << 20, TN_INVALID_DATA, "file or recipe"},
    {"weight recipe", WEIGHT(0, recipe), 1u << 20, TN_INVALID_DATA, "file or recipe"},
    {"weight rank", WEIGHT(0, rank), 9, TN_INVALID_DATA, "9 dimensions"},
    {"weight rank of its reader", WEIGHT(0, rank), 1, TN_INVALID_DATA, "operand 1 of 'add'"},
    {"weight offset", WEIGHT(0, offset), 64, TN_INVALID_DATA, "has offset 64 and 64 bytes, the plan has 64"},
    {"weight alignment", WEIGHT(0, offset), 8, TN_INVALID_DATA, "has offset 8"},
    {"weight size", WEIGHT(0, size), 65, TN_INVALID_DATA, "65 bytes"},
    {"weight storage", WEIGHT(0, storage), 4, TN_INVALID_DATA, "unknown storage 4"},
    {"external weight without file", WEIGHT(0, storage), TN_WEIGHT_EXTERNAL, TN_INVALID_DATA, "has no file"},
    {"weight left out of a whole plan", WEIGHT(0, storage), TN_WEIGHT_STRIPPED, TN_INVALID_DATA, "not stripped"},
};

static void each_bad_record_is_refused_with_its_place(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const damage *d = &damages[i];
        tn_plan_maker maker;
        make_plan(&maker);
        uint8_t *table = *(uint8_t **)(void *)((uint8_t *)&maker + d->table);
        memcpy(table + d->member, &d->value, sizeof d->value);
        size_t size;
        void *bytes = tn_plan_maker_finish(&maker, &size);
        print_message("%s\n", d->what);
        assert_refused(bytes, size, d->status, d->words);
        free(bytes);
        tn_plan_maker_deinit(&maker);
    }
}

static void names_of_inputs_and_outputs_and_functions_must_differ(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        tn_plan_maker maker;
        make_plan(&maker);
        if (i == 0) maker.tensors.data[1].name = maker.tensors.data[0].name;
        if (i == 1) maker.states.data[1].name = maker.states.data[0].name;
        if (i == 2) {
            tn_maker_begin_function(&maker, "forward");
            tn_maker_end_function(&maker);
        }
        size_t size;
        void *bytes = tn_plan_maker_finish(&maker, &size);
        static const char *const words[] = {"two inputs or outputs are called 'x'", "two states are called 'kv.0'",
                                            "two functions are called 'forward'"};
        assert_refused(bytes, size, TN_INVALID_DATA, words[i]);
        free(bytes);
        tn_plan_maker_deinit(&maker);
    }
}

static void reserved_states_and_operations_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *kind, *problem, *words;
    } cases[] = {{"lora", NULL, "a state of kind 'lora'"},
                 {"recurrent", NULL, "a state of kind 'recurrent'"},
                 {NULL, "collective float32[s1,4] -> float32[s1,4]", "operation collective"},
                 {NULL, "lora_linear{max_rank=8} float32[s1,4] - - - -> float32[s1,4]", "operation lora_linear"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_plan_maker maker;
        make_plan(&maker);
        if (cases[i].kind != NULL) maker.states.data[0].kind = tn_maker_string(&maker, cases[i].kind);
        if (cases[i].problem != NULL) maker.steps.data[0].problem = tn_maker_string(&maker, cases[i].problem);
        size_t size;
        void *bytes = tn_plan_maker_finish(&maker, &size);
        assert_refused(bytes, size, TN_UNSUPPORTED, cases[i].words);
        free(bytes);
        tn_plan_maker_deinit(&maker);
    }
}

static void variants_must_cover_the_profile_without_gaps(void **state) {
    (void)state;
    static const struct {
        int64_t ranges[3][2]; /* of the first step, profile 0 */
        const char *words;    /* NULL: accepted */
    } cases[] = {{{{1, 8}}, NULL},
                 {{{1, 4}, {5, 8}}, NULL},
                 {{{0, 0}, {1, 4}, {5, 100}}, NULL},
                 {{{2, 8}}, "leaves a gap"},
                 {{{1, 7}}, "end at 7, the profile allows 8"},
                 {{{1, 4}, {6, 8}}, "leaves a gap"},
                 {{{1, 4}, {4, 8}}, "leaves a gap"},
                 {{{1, INT64_MAX}, {INT64_MIN, 8}}, "behind the last number"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_plan_maker maker;
        make_plan(&maker);
        maker.steps.data[0].bucket_symbol = 1;
        maker.steps.data[0].first_variant = (uint32_t)maker.variants.count;
        maker.steps.data[0].num_variants = 0;
        for (int k = 0; k < 3 && (cases[i].ranges[k][1] != 0 || k == 0 || (k == 1 && cases[i].ranges[1][0] != 0)); k++) {
            tn_plan_variant variant = maker.variants.data[0];
            variant.bucket_min = cases[i].ranges[k][0];
            variant.bucket_max = cases[i].ranges[k][1];
            assert_true(tn_array_push(NULL, &maker.variants, variant));
            maker.steps.data[0].num_variants++;
        }
        size_t size;
        void *bytes = tn_plan_maker_finish(&maker, &size);
        if (cases[i].words != NULL) {
            assert_refused(bytes, size, TN_INVALID_DATA, cases[i].words);
        } else {
            tn_plan *plan;
            assert_int_equal(open_bytes(bytes, size, NULL, &plan), TN_OK);
            tn_plan_destroy(plan);
        }
        free(bytes);
        tn_plan_maker_deinit(&maker);
    }
}

/* --- header and sections ---------------------------------------------------------------------------------------------- */

static void header_damage_is_named(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size);
    tn_plan_header *header = (tn_plan_header *)(void *)bytes;
    tn_plan_section *sections = (tn_plan_section *)(void *)(header + 1);

    header->magic[0] = 'X';
    assert_refused(bytes, size, TN_INVALID_DATA, "not a plan");
    header->magic[0] = 'T';
    header->format_version = 2;
    assert_refused(bytes, size, TN_INCOMPATIBLE, "it has format 2, this version reads format 1");
    header->format_version = 1;
    header->num_sections = 33;
    assert_refused(bytes, size, TN_INVALID_DATA, "33 sections, at most 32");
    header->num_sections = 12;
    header->flags = 8;
    assert_refused(bytes, size, TN_INVALID_DATA, "checksum of header");
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "unknown flags 0x8");
    header->flags = 0;
    memset(header->backend, 'x', sizeof header->backend);
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "backend's name");
    memset(header->backend, 0, sizeof header->backend);
    memcpy(header->backend, "ref", 3);

    sections[3].id = 3;
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "stands twice or out of order");
    sections[3].id = 77;
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "unknown section 77");
    sections[3].id = 4;
    sections[3].size--;
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "records have");
    sections[3].size = UINT64_MAX - 100;
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "section 'tensors' has offset");
    free(bytes);
}

static void damaged_section_is_named(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size);
    const tn_plan_section *sections = (const tn_plan_section *)(const void *)(bytes + sizeof(tn_plan_header));
    bytes[sections[6].offset + 3] ^= 1;
    assert_refused(bytes, size, TN_INVALID_DATA, "the checksum of section 'steps' differs");
    bytes[sections[6].offset + 3] ^= 1;
    bytes[sections[0].offset] = 'x';
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "section 'strings' does not begin or end");
    bytes[sections[0].offset] = 0;
    bytes[sections[0].offset + 1] = 0xff;
    tn_plan_seal(bytes, size);
    assert_refused(bytes, size, TN_INVALID_DATA, "section 'strings' is not UTF-8");
    free(bytes);
}

static void unaligned_memory_is_refused(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size), *moved = aligned_alloc(64, (size + 128) / 64 * 64);
    assert_non_null(moved);
    memcpy(moved + 8, bytes, size);
    tn_diag *diag;
    tn_plan *plan;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(open_bytes(moved + 8, size, diag, &plan), TN_INVALID_ARGUMENT);
    tn_diag_destroy(diag);
    free(moved);
    free(bytes);
}

/* --- files, weights, memory ------------------------------------------------------------------------------------------------ */

static void temporary_path(char path[64]) {
    (void)snprintf(path, 64, "/tmp/tenon_plan_open_XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
}

static void tables_of_a_file_survive_its_truncation(void **state) {
    (void)state;
    char path[64];
    tn_plan_maker maker;
    tn_plan *plan;
    temporary_path(path);
    make_plan(&maker);
    tn_plan_maker_save(&maker, path);
    assert_int_equal(tn_plan_open_file(path, NULL, NULL, &plan), TN_OK);
    assert_int_equal(truncate(path, 0), 0);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_string_equal(tn_plan_string(view, view->steps[5].name), "add");
    assert_string_equal(tn_plan_path(plan), path);
    const tn_file *file;
    assert_non_null(tn_plan_bytes(plan, &file));
    assert_non_null(file);
    tn_plan_destroy(plan);
    tn_plan_maker_deinit(&maker);
    (void)unlink(path);
}

static void every_truncation_of_a_file_is_refused(void **state) {
    (void)state;
    char path[64];
    size_t size;
    uint8_t *bytes = make_bytes(&size);
    tn_diag *diag;
    temporary_path(path);
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    for (size_t length = size; length-- > 0;) {
        tn_plan *plan;
        assert_int_equal(truncate(path, (off_t)length), 0);
        assert_int_equal(tn_plan_open_file(path, NULL, diag, &plan), TN_INVALID_DATA);
        assert_non_null(strstr(first_message(diag), path));
        tn_diag_clear(diag);
    }
    assert_int_equal(unlink(path), 0);
    tn_plan *plan;
    assert_int_equal(tn_plan_open_file(path, NULL, diag, &plan), TN_NOT_FOUND);
    tn_diag_destroy(diag);
    free(bytes);
}

static void changed_weight_is_named_by_verification(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = make_bytes(&size);
    bytes[size - 1] ^= 1;
    tn_diag *diag;
    tn_plan *plan;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(open_bytes(bytes, size, diag, &plan), TN_OK);
    assert_int_equal(tn_plan_verify_weights(plan, diag), TN_INVALID_DATA);
    assert_non_null(strstr(first_message(diag), "the checksum of weight 'w' differs"));
    tn_plan_destroy(plan);
    tn_diag_destroy(diag);
    free(bytes);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    char path[64];
    tn_plan_maker maker;
    temporary_path(path);
    make_plan(&maker);
    tn_plan_maker_save(&maker, path);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_diag *diag;
        tn_plan *plan;
        tn_fault_allocator_init(&fault, n);
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_status status = tn_plan_open_file(path, &fault.allocator, diag, &plan);
        tn_plan_destroy(plan);
        tn_diag_destroy(diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
    }
    tn_plan_maker_deinit(&maker);
    (void)unlink(path);
}

static size_t num_freed;
static void free_counted(void *user, void *bytes) {
    (void)user;
    num_freed++;
    free(bytes);
}

static void bytes_given_away_are_freed_once_and_kept_on_failure(void **state) {
    (void)state;
    size_t size;
    void *bytes = make_bytes(&size);
    tn_plan *plan;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    num_freed = 0;
    assert_int_equal(tn_plan_open_memory(bytes, size - 1, free_counted, NULL, NULL, diag, &plan), TN_INVALID_DATA);
    assert_int_equal(num_freed, 0);
    assert_int_equal(tn_plan_open_memory(bytes, size, free_counted, NULL, NULL, diag, &plan), TN_OK);
    tn_plan_destroy(plan);
    assert_int_equal(num_freed, 1);
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_plan_opens),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_byte_is_refused_or_changes_nothing),
        cmocka_unit_test(no_memory_safety_rests_on_checksums),
        cmocka_unit_test(each_bad_record_is_refused_with_its_place),
        cmocka_unit_test(names_of_inputs_and_outputs_and_functions_must_differ),
        cmocka_unit_test(reserved_states_and_operations_are_refused_by_name),
        cmocka_unit_test(variants_must_cover_the_profile_without_gaps),
        cmocka_unit_test(header_damage_is_named),
        cmocka_unit_test(damaged_section_is_named),
        cmocka_unit_test(unaligned_memory_is_refused),
        cmocka_unit_test(tables_of_a_file_survive_its_truncation),
        cmocka_unit_test(every_truncation_of_a_file_is_refused),
        cmocka_unit_test(changed_weight_is_named_by_verification),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(bytes_given_away_are_freed_once_and_kept_on_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
