/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_parse.c: a problem from its one-line text; the inverse of tn_problem_print (op/problem.c).
 *
 *     problem   = op [ "{" field { "," field } "}" ] { " " operand } [ " ->" { " " operand } ]
 *                 [ " |" epilogue { "," epilogue } ] [ " accumulator=" dtype ] [ " tf32" ] [ " strict_nans" ] [ " batch_invariant" ]
 *     operand   = "-" | ( dtype | encoding ":" layout [ ">" dtype ] ) "[" dims "]" [ "@state" ] [ "@host" ]
 *     dims      = "s" number | integer, separated by ","
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/report.h"
#include "plan/plan.h"

enum { MAX_OPERANDS = 4096, MAX_WORD = 128, MAX_SHOWN = 160 };

typedef struct parser {
    const char *text, *at;
    tn_sym (*sym_const)(void *user, int64_t value);
    void *user;
    uint32_t num_symbols;
    tn_arena *arena;
    tn_diag *diag;
    tn_status status; /* the first error */
} parser;

static bool fail(parser *p, const char *what, const char *value) {
    if (p->status == TN_OK)
        p->status = tn_fail(p->diag, TN_INVALID_DATA, "cannot read problem '%.*s': %s%s%s%s at column %zu", MAX_SHOWN, p->text, what,
                            value != NULL ? " '" : "", value != NULL ? value : "", value != NULL ? "'" : "", (size_t)(p->at - p->text) + 1);
    return false;
}

static bool fail_memory(parser *p, size_t size_bytes) {
    if (p->status == TN_OK) p->status = tn_fail_memory(p->diag, "a problem", size_bytes);
    return false;
}

static bool accept(parser *p, const char *literal) {
    size_t length = strlen(literal);
    if (strncmp(p->at, literal, length) != 0) return false;
    p->at += length;
    return true;
}

static bool expect(parser *p, const char *literal) {
    return accept(p, literal) || fail(p, "missing", literal);
}

/* Everything up to one of `stops` (or the end) into word; not empty. */
static bool take_word(parser *p, const char *stops, char word[MAX_WORD]) {
    size_t length = strcspn(p->at, stops);
    if (length == 0) return fail(p, "missing a name", NULL);
    if (length >= MAX_WORD) return fail(p, "a name is too long", NULL);
    memcpy(word, p->at, length);
    word[length] = '\0';
    p->at += length;
    return true;
}

static bool parse_integer(parser *p, int64_t *out_value) {
    char *end;
    if (*p->at != '-' && (*p->at < '0' || *p->at > '9')) return fail(p, "missing an integer", NULL);
    errno = 0;
    long long value = strtoll(p->at, &end, 10);
    if (end == p->at || errno != 0) return fail(p, "an integer is out of range", NULL);
    p->at = end;
    *out_value = value;
    return true;
}

static bool parse_real(parser *p, double *out_value) {
    char *end;
    if (*p->at == ' ') return fail(p, "missing a number", NULL);
    *out_value = strtod(p->at, &end); /* overflow gives the infinity that was printed */
    if (end == p->at) return fail(p, "missing a number", NULL);
    p->at = end;
    return true;
}

/* By its one name; NONE if unknown. Other spellings would make two texts of one problem. */
static tn_dtype find_dtype(const char *name) {
    tn_dtype dtype = tn_dtype_find(name);
    return strcmp(tn_dtype_get_info(dtype)->name, name) == 0 ? dtype : TN_DTYPE_NONE;
}

static bool parse_dtype(parser *p, const char *stops, tn_dtype *out_dtype) {
    char word[MAX_WORD];
    if (!take_word(p, stops, word)) return false;
    *out_dtype = find_dtype(word);
    return *out_dtype != TN_DTYPE_NONE || fail(p, "unknown element type", word);
}

static bool parse_enum(parser *p, tn_enum_id id, const char *stops, int *out_value) {
    char word[MAX_WORD];
    if (!take_word(p, stops, word)) return false;
    *out_value = tn_enum_find(id, word);
    return *out_value >= 0 || fail(p, "unknown value", word);
}

static bool parse_fixed_dims(parser *p, tn_dims *out_dims) {
    *out_dims = TN_SCALAR;
    if (!expect(p, "[")) return false;
    if (accept(p, "]")) return true;
    do {
        if (out_dims->rank == TN_MAX_RANK) return fail(p, "more than 8 dimensions", NULL);
        if (!parse_integer(p, &out_dims->d[out_dims->rank++])) return false;
    } while (accept(p, ","));
    return expect(p, "]");
}

/* Labels hold neither quotes nor escapes. */
static bool parse_label(parser *p, tn_label *out_label) {
    if (!expect(p, "\"")) return false;
    size_t length = strcspn(p->at, "\"");
    if (!tn_label_set(out_label, p->at, length)) return fail(p, "a text that is too long or has characters that none may have", NULL);
    p->at += length;
    return expect(p, "\"");
}

static bool parse_field(parser *p, const tn_op_info *info, void *params) {
    char name[MAX_WORD];
    if (!take_word(p, "=,} ", name)) return false;
    const tn_op_field *field = NULL;
    for (int i = 0; i < info->num_fields; i++)
        if (strcmp(info->fields[i].name, name) == 0) field = &info->fields[i];
    if (field == NULL) return fail(p, "unknown field", name);
    void *at = (char *)params + field->offset;
    if (field->type == TN_TYPE_BOOL) {
        *(bool *)at = true;
        return true;
    }
    if (!expect(p, "=")) return false;
    switch (field->type) {
    case TN_TYPE_INT: return parse_integer(p, at);
    case TN_TYPE_REAL: return parse_real(p, at);
    case TN_TYPE_DTYPE: return parse_dtype(p, ",} ", at);
    case TN_TYPE_DIMS: return parse_fixed_dims(p, at);
    case TN_TYPE_TEXT: return parse_label(p, at);
    default: return parse_enum(p, field->enum_id, ",} ", at);
    }
}

static bool parse_params(parser *p, tn_problem *problem) {
    const tn_op_info *info = tn_op_get_info(problem->op);
    void *params = tn_arena_alloc(p->arena, info->params_size);
    if (params == NULL) return fail_memory(p, info->params_size);
    problem->params = params;
    if (!accept(p, "{")) return true;
    do {
        if (!parse_field(p, info, params)) return false;
    } while (accept(p, ","));
    return expect(p, "}");
}

static bool parse_dim(parser *p, tn_sym *out_sym) {
    int64_t value;
    if (accept(p, "s")) {
        if (*p->at == '-' || !parse_integer(p, &value)) return fail(p, "missing a symbol's number", NULL);
        if (value < 0 || value >= (int64_t)p->num_symbols) return fail(p, "a symbol that the function does not have", NULL);
        *out_sym = (tn_sym)value;
        return true;
    }
    if (!parse_integer(p, &value)) return false;
    *out_sym = p->sym_const(p->user, value);
    return *out_sym != TN_SYM_INVALID || fail_memory(p, sizeof(tn_sym_node));
}

static bool parse_weight(parser *p, const char *encoding, tn_operand *operand) {
    char layout[MAX_WORD];
    operand->role = TN_ROLE_WEIGHT;
    if (!tn_encoding_parse(encoding, &operand->encoding)) return fail(p, "unknown encoding", encoding);
    if (!take_word(p, ">[ ", layout)) return false;
    if (strcmp(layout, "?") != 0) {
        operand->layout = tn_arena_string(p->arena, layout);
        if (operand->layout == NULL) return fail_memory(p, strlen(layout) + 1);
    }
    operand->dtype = operand->encoding.kind == TN_ENCODING_PLAIN ? operand->encoding.storage : TN_FLOAT32;
    return !accept(p, ">") || parse_dtype(p, "[ ", &operand->dtype);
}

static bool parse_operand(parser *p, bool is_output, tn_operand *operand) {
    char word[MAX_WORD];
    operand->role = is_output ? TN_ROLE_OUTPUT : TN_ROLE_INPUT;
    if (*p->at == '-' && (p->at[1] == ' ' || p->at[1] == '\0')) {
        p->at++;
        operand->absent = true;
        return true;
    }
    if (!take_word(p, ":[ ", word)) return false;
    if (accept(p, ":")) {
        if (is_output) return fail(p, "a weight among the outputs", NULL);
        if (!parse_weight(p, word, operand)) return false;
    } else {
        operand->dtype = find_dtype(word);
        if (operand->dtype == TN_DTYPE_NONE) return fail(p, "unknown element type", word);
    }
    if (!expect(p, "[")) return false;
    if (!accept(p, "]")) {
        do {
            if (operand->rank == TN_MAX_RANK) return fail(p, "more than 8 dimensions", NULL);
            if (!parse_dim(p, &operand->dims[operand->rank++])) return false;
        } while (accept(p, ","));
        if (!expect(p, "]")) return false;
    }
    if (accept(p, "@state")) {
        if (operand->role == TN_ROLE_WEIGHT) return fail(p, "a weight that is a state", NULL);
        operand->role = TN_ROLE_STATE;
    }
    if (accept(p, "@host")) operand->place = TN_PLACE_HOST;
    return true;
}

/* An upper bound, so that the array is allocated once: operands stand behind blanks. */
static size_t count_blanks(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) count += *text == ' ';
    return count;
}

static bool at_operand(const parser *p) {
    return p->at[0] == ' ' && p->at[1] != '|' && strncmp(p->at, " ->", 3) != 0 && strncmp(p->at, " accumulator=", 13) != 0 &&
           strcmp(p->at, " tf32") != 0 && strncmp(p->at, " tf32 ", 6) != 0 && strcmp(p->at, " strict_nans") != 0 &&
           strncmp(p->at, " strict_nans ", 13) != 0 && strcmp(p->at, " batch_invariant") != 0;
}

static bool parse_operands(parser *p, tn_problem *problem) {
    size_t capacity = count_blanks(p->at);
    if (capacity > MAX_OPERANDS) return fail(p, "too many operands", NULL);
    tn_operand *operands = tn_arena_alloc_array(p->arena, capacity, sizeof *operands);
    if (operands == NULL) return fail_memory(p, capacity * sizeof *operands);
    problem->operands = operands;
    for (bool is_output = false;;) {
        if (at_operand(p)) {
            p->at++;
            if (!parse_operand(p, is_output, &operands[problem->num_operands])) return false;
            problem->num_operands++;
            if (!is_output) problem->num_inputs = problem->num_operands;
        } else if (!is_output && accept(p, " ->")) {
            is_output = true;
        } else {
            return true;
        }
    }
}

static bool parse_epilogue(parser *p, uint32_t num_inputs, tn_epilogue *epilogue) {
    char word[MAX_WORD];
    if (!take_word(p, "(, ", word)) return false;
    int kind = TN_EPILOGUE_BIAS;
    while (kind < TN_NUM_EPILOGUE_KINDS && strcmp(word, tn_epilogue_kind_name((tn_epilogue_kind)kind)) != 0) kind++;
    if (kind == TN_NUM_EPILOGUE_KINDS) return fail(p, "unknown epilogue", word);
    *epilogue = (tn_epilogue){.kind = (tn_epilogue_kind)kind, .operand = -1};
    int activation;
    int64_t operand;
    if (!expect(p, "(")) return false;
    switch (epilogue->kind) {
    case TN_EPILOGUE_BIAS:
    case TN_EPILOGUE_ADD:
        if (!parse_integer(p, &operand)) return false;
        if (operand < 0 || operand >= (int64_t)num_inputs) return fail(p, "an epilogue's operand is not among the inputs", NULL);
        epilogue->operand = (int32_t)operand;
        break;
    case TN_EPILOGUE_ACTIVATION:
    case TN_EPILOGUE_GATED_ACTIVATION:
        if (!parse_enum(p, TN_ENUM_ID_ACTIVATION, ") ", &activation)) return false;
        epilogue->activation = (tn_activation_type)activation;
        break;
    case TN_EPILOGUE_QUANTIZE:
        if (!parse_dtype(p, ") ", &epilogue->dtype)) return false;
        break;
    default:
        if (!parse_real(p, &epilogue->value)) return false;
        break;
    }
    return expect(p, ")");
}

static bool parse_tail(parser *p, tn_problem *problem) {
    if (accept(p, " |")) {
        tn_epilogue *epilogues = tn_arena_alloc_array(p->arena, TN_MAX_EPILOGUES, sizeof *epilogues);
        if (epilogues == NULL) return fail_memory(p, TN_MAX_EPILOGUES * sizeof *epilogues);
        problem->epilogues = epilogues;
        do {
            if (problem->num_epilogues == TN_MAX_EPILOGUES) return fail(p, "more than 4 epilogues", NULL);
            if (!parse_epilogue(p, problem->num_inputs, &epilogues[problem->num_epilogues++])) return false;
        } while (accept(p, ","));
    }
    if (accept(p, " accumulator=") && !parse_dtype(p, " ", &problem->compute.accumulator)) return false;
    problem->compute.tf32 = accept(p, " tf32");
    problem->compute.strict_nans = accept(p, " strict_nans");
    problem->compute.batch_invariant = accept(p, " batch_invariant");
    return *p->at == '\0' || fail(p, "something unknown", NULL);
}

/* Operands that epilogues added stand among the inputs. */
static bool check_arity(parser *p, const tn_problem *problem) {
    const tn_op_info *info = tn_op_get_info(problem->op);
    int64_t num_inputs = problem->num_inputs, num_outputs = (int64_t)problem->num_operands - num_inputs;
    if (num_inputs < info->min_inputs || (info->max_inputs >= 0 && num_inputs > info->max_inputs + TN_MAX_EPILOGUES))
        return fail(p, "a number of inputs that the operation does not have", NULL);
    if (info->num_outputs >= 0 && num_outputs != info->num_outputs)
        return fail(p, "a number of outputs that the operation does not have", NULL);
    return true;
}

tn_status tn_problem_parse(const char *text, tn_sym (*sym_const)(void *user, int64_t value), void *user, uint32_t num_symbols,
                           tn_arena *arena, tn_diag *diag, tn_problem *out_problem) {
    *out_problem = (tn_problem){0};
    parser p = {text, text, sym_const, user, num_symbols, arena, diag, TN_OK};
    tn_problem problem = {0};
    char name[MAX_WORD];
    if (!take_word(&p, "{ ", name)) return p.status;
    if (!tn_op_find(name, &problem.op)) {
        (void)fail(&p, "unknown operation", name);
        return p.status;
    }
    if (parse_params(&p, &problem) && parse_operands(&p, &problem) && parse_tail(&p, &problem) && check_arity(&p, &problem))
        *out_problem = problem;
    return p.status;
}
