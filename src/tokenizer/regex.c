/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.c: PCRE2 behind regex.h.
 */
#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "format/quote.h"

/* Steps for one match, and further ones for each byte of its piece: a long run of spaces is walked over more than once.
 * The JIT counts otherwise than the interpreter, by about as much. A word of real text needs some dozens. */
#define MATCH_LIMIT    2000000u
#define STEPS_PER_BYTE 16u
#define HEAP_LIMIT_KIB 65536u

/* What PCRE2 allocates through. */
typedef struct pcre2_memory {
    const tn_allocator *allocator;
    bool has_failed;
} pcre2_memory;

struct tn_regex {
    pcre2_memory memory;
    pcre2_general_context *general;
    pcre2_code *code;
};

struct tn_regex_scratch {
    pcre2_memory memory;
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *match; /* one pair: groups are never asked for */
};

static void *pcre2_alloc(PCRE2_SIZE size, void *user) {
    pcre2_memory *memory = user;
    void *block = tn_alloc(memory->allocator, size);
    memory->has_failed |= block == NULL;
    return block;
}

static void pcre2_release(void *block, void *user) {
    tn_free(((pcre2_memory *)user)->allocator, block);
}

static pcre2_general_context *create_general(pcre2_memory *memory) {
    return pcre2_general_context_create(pcre2_alloc, pcre2_release, memory);
}

static tn_status compile(tn_regex *regex, tn_bytes pattern, bool is_literal, tn_bytes shown, tn_diag *diag) {
    pcre2_compile_context *context = pcre2_compile_context_create(regex->general);
    if (!context) return tn_fail_memory(diag, "a pattern", pattern.size);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 100);
    uint32_t options = PCRE2_UTF | (is_literal ? PCRE2_LITERAL : PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    int error;
    PCRE2_SIZE at;
    regex->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.size, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (regex->code) {
        /* Where the system denies memory that can be executed, the interpreter does the same, slower. */
        (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
        return regex->memory.has_failed ? tn_fail_memory(diag, "a pattern", pattern.size) : TN_OK;
    }
    if (error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED) return tn_fail_memory(diag, "a pattern", pattern.size);
    char quoted[TN_QUOTE_SIZE];
    PCRE2_UCHAR reason[128] = "";
    (void)pcre2_get_error_message(error, reason, sizeof reason);
    return tn_fail(diag, TN_INVALID_DATA, "cannot use the pattern '%s': %s", tn_quote(shown.data, shown.size, quoted),
                   (const char *)reason);
}

tn_status tn_regex_create(tn_bytes pattern, bool is_literal, const tn_allocator *allocator, tn_diag *diag, tn_regex **out_regex) {
    *out_regex = NULL;
    tn_status status = TN_OK;
    tn_text translated = {.allocator = allocator};
    tn_regex *regex = tn_alloc_zero(allocator, sizeof *regex);
    if (!regex) return tn_fail_memory(diag, "a pattern", sizeof *regex);
    regex->memory.allocator = allocator;
    if (pattern.size == 0) {
        status = tn_fail(diag, TN_INVALID_DATA, "cannot use an empty pattern");
        goto cleanup;
    }
    if (!tn_utf8_is_valid(pattern.data, pattern.size)) {
        status = tn_fail(diag, TN_INVALID_DATA, "cannot use a pattern that is not UTF-8");
        goto cleanup;
    }
    regex->general = create_general(&regex->memory);
    if (!regex->general) {
        status = tn_fail_memory(diag, "a pattern", pattern.size);
        goto cleanup;
    }
    tn_bytes source = pattern;
    if (!is_literal) {
        if ((status = tn_regex_translate(pattern, diag, &translated)) != TN_OK) goto cleanup;
        if (translated.failed) {
            status = tn_fail_memory(diag, "a pattern", pattern.size);
            goto cleanup;
        }
        source = (tn_bytes){translated.data, translated.size};
    }
    status = compile(regex, source, is_literal, pattern, diag);
cleanup:
    tn_text_deinit(&translated);
    if (status != TN_OK) {
        tn_regex_destroy(regex);
        return status;
    }
    *out_regex = regex;
    return TN_OK;
}

void tn_regex_destroy(tn_regex *regex) {
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->general);
    tn_free(regex->memory.allocator, regex);
}

tn_status tn_regex_scratch_create(const tn_allocator *allocator, tn_diag *diag, tn_regex_scratch **out_scratch) {
    *out_scratch = NULL;
    tn_regex_scratch *scratch = tn_alloc_zero(allocator, sizeof *scratch);
    if (!scratch) return tn_fail_memory(diag, "matching", sizeof *scratch);
    scratch->memory.allocator = allocator;
    scratch->general = create_general(&scratch->memory);
    if (scratch->general) {
        scratch->context = pcre2_match_context_create(scratch->general);
        scratch->match = pcre2_match_data_create(1, scratch->general);
    }
    if (!scratch->context || !scratch->match) {
        tn_regex_scratch_destroy(scratch);
        return tn_fail_memory(diag, "matching", sizeof *scratch);
    }
    pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    *out_scratch = scratch;
    return TN_OK;
}

void tn_regex_scratch_destroy(tn_regex_scratch *scratch) {
    if (!scratch) return;
    pcre2_match_data_free(scratch->match);
    pcre2_match_context_free(scratch->context);
    pcre2_general_context_free(scratch->general);
    tn_free(scratch->memory.allocator, scratch);
}

tn_status tn_regex_find(const tn_regex *regex, tn_regex_scratch *scratch, tn_bytes subject, size_t start, tn_diag *diag, bool *out_found,
                        size_t *out_from, size_t *out_to) {
    *out_found = false;
    uint64_t limit = MATCH_LIMIT + (uint64_t)subject.size * STEPS_PER_BYTE;
    uint32_t match_limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    pcre2_set_match_limit(scratch->context, match_limit);
    int result =
        pcre2_match(regex->code, (PCRE2_SPTR)subject.data, subject.size, start, PCRE2_NO_UTF_CHECK, scratch->match, scratch->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter's stack is on the heap and larger */
        result = pcre2_match(regex->code, (PCRE2_SPTR)subject.data, subject.size, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->match,
                             scratch->context);
    if (result == PCRE2_ERROR_NOMATCH) return TN_OK;
    if (result >= 0) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(scratch->match);
        *out_found = ends[0] <= ends[1];
        *out_from = ends[0];
        *out_to = ends[1];
        return TN_OK;
    }
    if (result == PCRE2_ERROR_NOMEMORY) return tn_fail_memory(diag, "matching", subject.size);
    if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_HEAPLIMIT || result == PCRE2_ERROR_DEPTHLIMIT)
        return tn_fail(diag, TN_INVALID_DATA,
                       "cannot encode the text: a pattern of the tokenizer needs more than %u steps at byte %zu of a piece of %zu bytes",
                       match_limit, start, subject.size);
    return tn_fail(diag, TN_INTERNAL, "cannot encode the text: matching failed with PCRE2's error %d", result);
}
