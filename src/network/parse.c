/* SPDX-License-Identifier: Apache-2.0
 *
 * parse.c: reads back what print.c wrote, line by line, through the ordinary adders: types and shapes are derived again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "network/network_internal.h"
#include "weights/recipe_text.h"

enum { MAX_WORD = 64, MAX_LAYER_INPUTS = 4096 };

typedef struct pending_next {
    tn_layer *recurrence;
    uint32_t number;
} pending_next;

typedef struct parser {
    const char *at, *line_end;
    int line;
    tn_network *network;
    tn_weight_source *source;
    bool failed;
    TN_ARRAY(tn_tensor *) tensors; /* by number */
    TN_ARRAY(pending_next) pending;
    TN_ARRAY(tn_tensor *) inputs; /* of the present line */
} parser;

/* --- words -------------------------------------------------------------------------------------------------------------------- */

static bool fail(parser *p, const char *expected) {
    if (!p->failed)
        (void)tn_fail(p->network->diag, TN_INVALID_DATA, "cannot read the network: line %d: %s is expected at '%.*s'", p->line, expected,
                      p->line_end - p->at < 20 ? (int)(p->line_end - p->at) : 20, p->at);
    p->failed = true;
    return false;
}

static bool fail_memory(parser *p) {
    tn_network_fail_memory(p->network);
    p->failed = true;
    return false;
}

static void skip_spaces(parser *p) {
    while (p->at < p->line_end && *p->at == ' ') p->at++;
}

static bool accept_char(parser *p, char c) {
    skip_spaces(p);
    if (p->at == p->line_end || *p->at != c) return false;
    p->at++;
    return true;
}

static bool expect_char(parser *p, char c) {
    const char expected[] = {'\'', c, '\'', '\0'};
    return accept_char(p, c) || fail(p, expected);
}

static bool at_end(parser *p) {
    skip_spaces(p);
    return p->at == p->line_end || *p->at == ';';
}

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The next word without taking it; "" if there is none. */
static void peek_word(parser *p, char word[MAX_WORD]) {
    skip_spaces(p);
    size_t size = 0;
    while (p->at + size < p->line_end && is_word_char(p->at[size]) && size + 1 < MAX_WORD) size++;
    memcpy(word, p->at, size);
    word[size] = '\0';
}

static bool expect_word(parser *p, char word[MAX_WORD], const char *what) {
    peek_word(p, word);
    if (word[0] == '\0') return fail(p, what);
    p->at += strlen(word);
    return true;
}

static bool accept_word(parser *p, const char *wanted) {
    char word[MAX_WORD];
    peek_word(p, word);
    if (strcmp(word, wanted) != 0) return false;
    p->at += strlen(word);
    return true;
}

static bool expect_int(parser *p, int64_t *out) {
    skip_spaces(p);
    char *end;
    errno = 0;
    bool is_number = p->at < p->line_end && (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'));
    long long value = is_number ? strtoll(p->at, &end, 10) : 0;
    if (!is_number || end == p->at || errno != 0) return fail(p, "a number");
    p->at = end;
    *out = value;
    return true;
}

static bool expect_real(parser *p, double *out) {
    skip_spaces(p);
    char *end = (char *)(uintptr_t)p->at;
    if (p->at < p->line_end) *out = strtod(p->at, &end);
    if (end == p->at || end > p->line_end) return fail(p, "a number");
    p->at = end;
    return true;
}

static bool read_hex4(const char *at, const char *end, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = at + i < end ? at[i] : 'x';
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 99;
        if (digit > 15) return false;
        *out = *out << 4 | digit;
    }
    return true;
}

/* The character after a backslash, as tn_text_append_json_string writes it. */
static bool read_escape(parser *p, tn_text *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->line_end ? *p->at++ : '\0';
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    uint32_t code_point;
    char utf8[4];
    if (found != NULL) {
        tn_text_append_char(out, values[found - names]);
        return true;
    }
    if (c != 'u' || !read_hex4(p->at, p->line_end, &code_point)) return fail(p, "an escape");
    p->at += 4;
    tn_text_append(out, utf8, (size_t)tn_utf8_encode(code_point, utf8));
    return true;
}

/* A quoted string, in the network's arena. */
static bool expect_string(parser *p, const char **out) {
    if (!expect_char(p, '"')) return false;
    tn_text text = {.allocator = p->network->allocator};
    tn_text_append_string(&text, "");
    bool complete = true;
    while (complete && p->at < p->line_end && *p->at != '"') {
        if (*p->at == '\\') {
            p->at++;
            complete = read_escape(p, &text);
        } else {
            tn_text_append_char(&text, *p->at++);
        }
    }
    complete = complete && expect_char(p, '"');
    *out = complete && !text.failed ? tn_arena_string(&p->network->arena, text.data != NULL ? text.data : "") : NULL;
    tn_text_deinit(&text);
    return !complete ? false : *out != NULL ? true : fail_memory(p);
}

static bool expect_dtype(parser *p, tn_dtype *out) {
    char word[MAX_WORD];
    if (!expect_word(p, word, "a type")) return false;
    *out = tn_dtype_find(word);
    return *out != TN_DTYPE_NONE || fail(p, "a type");
}

static bool expect_dims(parser *p, tn_dims *out) {
    *out = (tn_dims){0};
    if (!expect_char(p, '[')) return false;
    if (accept_char(p, ']')) return true;
    do {
        if (out->rank == TN_MAX_RANK) return fail(p, "at most 8 dimensions");
        if (!expect_int(p, &out->d[out->rank++])) return false;
    } while (accept_char(p, ','));
    return expect_char(p, ']');
}

/* --- references --------------------------------------------------------------------------------------------------------------- */

static bool expect_number(parser *p, uint32_t *out) {
    int64_t number;
    if (!expect_char(p, '%') || !expect_int(p, &number)) return false;
    if (number < 0 || number > UINT32_MAX) return fail(p, "a tensor");
    *out = (uint32_t)number;
    return true;
}

static tn_tensor *tensor_of(const parser *p, uint32_t number) {
    return number < p->tensors.count ? p->tensors.data[number] : NULL;
}

static bool expect_tensor(parser *p, tn_tensor **out) {
    uint32_t number;
    if (!expect_number(p, &number)) return false;
    *out = tensor_of(p, number);
    return *out != NULL || fail(p, "a tensor of a line before");
}

/* Numbers count up by one. */
static bool define(parser *p, uint32_t number, tn_tensor *tensor) {
    if (tensor == NULL) {
        p->failed = true; /* recorded by the adder */
        return false;
    }
    if (number != p->tensors.count) return fail(p, "the next tensor's number");
    return tn_array_push(p->network->allocator, &p->tensors, tensor) || fail_memory(p);
}

/* --- lines -------------------------------------------------------------------------------------------------------------------- */

static bool parse_region(parser *p) {
    int64_t id, parent;
    if (!expect_int(p, &id)) return false;
    if (!accept_word(p, "in")) return fail(p, "'in'");
    if (!expect_int(p, &parent)) return false;
    if (id != (int64_t)p->network->regions.count || parent < 0 || parent >= id) return fail(p, "the next region, in one before it");
    tn_region region = {.id = (uint32_t)id, .parent = (uint32_t)parent};
    region.is_loop = accept_word(p, "loop");
    region.is_else = !region.is_loop && accept_word(p, "else");
    return tn_array_push(p->network->allocator, &p->network->regions, region) || fail_memory(p);
}

static bool parse_role(parser *p, tn_tensor *tensor) {
    const char *role;
    if (!accept_word(p, "role")) return true;
    if (!expect_string(p, &role)) return false;
    tn_tensor_set_role(tensor, role);
    return true;
}

static bool parse_input(parser *p, uint32_t number) {
    const char *name, *dim_names[TN_MAX_RANK] = {NULL};
    tn_dtype dtype;
    tn_dims dims = {0};
    if (!expect_string(p, &name) || !expect_dtype(p, &dtype) || !expect_char(p, '[')) return false;
    while (!accept_char(p, ']')) {
        if (dims.rank > 0 && !expect_char(p, ',')) return false;
        if (dims.rank == TN_MAX_RANK) return fail(p, "at most 8 dimensions");
        int64_t *dim = &dims.d[dims.rank];
        *dim = -1;
        skip_spaces(p);
        if (p->at < p->line_end && *p->at == '"') {
            if (!expect_string(p, &dim_names[dims.rank])) return false;
            if (accept_char(p, '=') && !expect_int(p, dim)) return false;
        } else if (!accept_char(p, '?') && !expect_int(p, dim)) {
            return false;
        }
        dims.rank++;
    }
    tn_tensor *input = tn_network_add_input(p->network, name, dtype, dims);
    for (int axis = 0; axis < dims.rank; axis++)
        if (dim_names[axis] != NULL) tn_tensor_set_dim_name(input, axis, dim_names[axis]);
    return define(p, number, input) && parse_role(p, input);
}

static bool expect_property(parser *p, const char *name, int64_t *out) {
    if (!accept_word(p, name)) return fail(p, name);
    return expect_char(p, '=') && expect_int(p, out);
}

static bool parse_state(parser *p, uint32_t number) {
    const char *name;
    if (!expect_string(p, &name)) return false;
    if (accept_word(p, "slots")) {
        int64_t vocab_size, max_seq_len;
        if (!expect_property(p, "vocab_size", &vocab_size) || !expect_property(p, "max_seq_len", &max_seq_len)) return false;
        return define(p, number, tn_network_add_slots_state(p->network, vocab_size, max_seq_len));
    }
    tn_kv_geometry kv;
    int64_t window, sink_tokens;
    if (!accept_word(p, "kv")) return fail(p, "'kv' or 'slots'");
    if (!expect_property(p, "num_layers", &kv.num_layers) || !expect_property(p, "num_kv_heads", &kv.num_kv_heads) ||
        !expect_property(p, "k_dim", &kv.k_dim) || !expect_property(p, "v_dim", &kv.v_dim) ||
        !expect_property(p, "tokens_per_block", &kv.tokens_per_block))
        return false;
    if (!accept_word(p, "dtype")) return fail(p, "dtype");
    if (!expect_char(p, '=') || !expect_dtype(p, &kv.dtype) || !expect_property(p, "window", &window) ||
        !expect_property(p, "sink_tokens", &sink_tokens))
        return false;
    return define(p, number, tn_network_add_kv_state(p->network, name, &kv, window, sink_tokens));
}

static bool parse_enum(parser *p, tn_enum_id id, int *out) {
    char word[MAX_WORD];
    if (!expect_word(p, word, "a value")) return false;
    *out = tn_enum_find(id, word);
    return *out >= 0 || fail(p, tn_enum_get_info(id)->name);
}

static bool parse_label(parser *p, tn_label *out) {
    const char *text;
    if (!expect_string(p, &text)) return false;
    return tn_label_set(out, text, strlen(text)) || fail(p, "a text of at most 127 bytes without quotes and control characters");
}

static bool parse_field(parser *p, const tn_op_info *info, tn_op_params *params) {
    char name[MAX_WORD];
    if (!expect_word(p, name, "a field")) return false;
    const tn_op_field *field = NULL;
    for (int i = 0; i < info->num_fields; i++)
        if (strcmp(info->fields[i].name, name) == 0) field = &info->fields[i];
    if (field == NULL) return fail(p, "a field of this layer");
    void *value = (char *)params + field->offset;
    if (!expect_char(p, '=')) return false;
    switch (field->type) {
    case TN_TYPE_BOOL: *(bool *)value = true; return accept_word(p, "true") || fail(p, "'true'");
    case TN_TYPE_INT: return expect_int(p, value);
    case TN_TYPE_REAL: return expect_real(p, value);
    case TN_TYPE_DTYPE: return expect_dtype(p, value);
    case TN_TYPE_DIMS: return expect_dims(p, value);
    case TN_TYPE_ENUM: return parse_enum(p, field->enum_id, value);
    case TN_TYPE_TEXT: return parse_label(p, value);
    }
    return false;
}

static bool parse_epilogue(parser *p, tn_epilogue *out) {
    char name[MAX_WORD];
    int64_t operand = -1;
    int activation = 0;
    *out = (tn_epilogue){0};
    if (!expect_word(p, name, "an epilogue") || !expect_char(p, '(')) return false;
    for (int kind = 1; kind < TN_NUM_EPILOGUE_KINDS; kind++)
        if (strcmp(tn_epilogue_kind_name((tn_epilogue_kind)kind), name) == 0) out->kind = (tn_epilogue_kind)kind;
    bool complete = true;
    switch (out->kind) {
    case TN_EPILOGUE_BIAS:
    case TN_EPILOGUE_ADD: complete = expect_int(p, &operand); break;
    case TN_EPILOGUE_ACTIVATION:
    case TN_EPILOGUE_GATED_ACTIVATION: complete = parse_enum(p, TN_ENUM_ID_ACTIVATION, &activation); break;
    case TN_EPILOGUE_SCALE:
    case TN_EPILOGUE_SOFT_CAP: complete = expect_real(p, &out->value); break;
    case TN_EPILOGUE_QUANTIZE: complete = expect_dtype(p, &out->dtype); break;
    default: return fail(p, "an epilogue");
    }
    if (complete && (operand < -1 || operand > INT32_MAX)) return fail(p, "an input's index");
    out->operand = (int32_t)operand;
    out->activation = (tn_activation_type)activation;
    return complete && expect_char(p, ')');
}

/* Inputs into p->inputs; a recurrence's next may come later. */
static bool parse_inputs(parser *p, tn_op_kind kind, uint32_t *out_pending) {
    *out_pending = UINT32_MAX;
    p->inputs.count = 0;
    if (!accept_char(p, '(')) return true;
    do {
        tn_tensor *input = NULL;
        uint32_t number;
        if (p->inputs.count == MAX_LAYER_INPUTS) return fail(p, "fewer inputs");
        if (!accept_char(p, '-')) {
            if (!expect_number(p, &number)) return false;
            input = tensor_of(p, number);
            if (kind == TN_OP_RECURRENCE && p->inputs.count == 1) {
                *out_pending = number;
                input = NULL;
            } else if (input == NULL) {
                return fail(p, "a tensor of a line before");
            }
        }
        if (!tn_array_push(p->network->allocator, &p->inputs, input)) return fail_memory(p);
    } while (accept_char(p, ','));
    return expect_char(p, ')');
}

static void own_regions(tn_network *network, tn_layer *layer) {
    if (layer->kind == TN_OP_CONDITION) {
        uint32_t construct = (uint32_t)layer->params.condition.construct;
        network->regions.data[construct].owner = layer;
        if (construct + 1 < network->regions.count && network->regions.data[construct + 1].is_else)
            network->regions.data[construct + 1].owner = layer;
    } else if (layer->kind == TN_OP_TRIP_LIMIT) {
        tn_region *region = &network->regions.data[layer->params.trip_limit.construct];
        if (region->owner == NULL || !layer->params.trip_limit.is_while) region->owner = layer;
    }
}

static bool parse_precision(parser *p, tn_layer *layer) {
    static const char *const names[] = {
#define NAME(value, name) name,
        TN_ENUM_ACTIVATION_PRECISION(NAME)
#undef NAME
    };
    if (!accept_word(p, "precision")) return true;
    if (!expect_char(p, '=')) return false;
    for (int i = 0; i < TN_NUM_ACTIVATION_PRECISIONS; i++) {
        if (!accept_word(p, names[i])) continue;
        layer->precision = (tn_activation_precision)i;
        return true;
    }
    return fail(p, "a precision");
}

/* The recipe ends with the line. */
static tn_layer *parse_constant(parser *p, const char *name) {
    if (!accept_word(p, "weights")) {
        (void)fail(p, "'weights'");
        return NULL;
    }
    skip_spaces(p);
    if (p->at < p->line_end && *p->at == '?') {
        (void)fail(p, "a recipe (the values were not printed)");
        return NULL;
    }
    char *recipe = tn_arena_bytes(&p->network->arena, p->at, (size_t)(p->line_end - p->at));
    const tn_weights *weights = NULL;
    if (recipe == NULL) (void)fail_memory(p);
    p->at = p->line_end;
    if (recipe == NULL || tn_weights_parse(recipe, p->source, &p->network->arena, p->network->diag, &weights) != TN_OK) return NULL;
    tn_tensor *constant = tn_network_add_weights(p->network, weights, name);
    return constant != NULL ? constant->producer : NULL;
}

static tn_layer *parse_plain_layer(parser *p, tn_op_kind kind, const tn_op_params *params, const char *name) {
    tn_epilogue epilogues[TN_MAX_EPILOGUES];
    uint32_t num_epilogues = 0;
    if (accept_char(p, '|')) {
        do {
            if (num_epilogues == TN_MAX_EPILOGUES) (void)fail(p, "at most 4 epilogues");
            if (p->failed || !parse_epilogue(p, &epilogues[num_epilogues++])) return NULL;
        } while (accept_char(p, ','));
    }
    tn_layer *layer =
        tn_network_add_fused_layer(p->network, kind, params, p->inputs.data, (uint32_t)p->inputs.count, epilogues, num_epilogues, name);
    if (layer == NULL) return NULL;
    own_regions(p->network, layer);
    if (!parse_precision(p, layer)) return NULL;
    if (accept_word(p, "metadata") && !expect_string(p, &layer->metadata)) return NULL;
    return layer;
}

static bool parse_layer(parser *p, const uint32_t *numbers, uint32_t num_numbers) {
    char word[MAX_WORD];
    const char *name;
    tn_op_kind kind;
    tn_op_params params = {0};
    uint32_t pending;
    if (!expect_word(p, word, "a layer")) return false;
    if (!tn_op_find(word, &kind)) return fail(p, "a kind of layer before this");
    if (!expect_string(p, &name) || !parse_inputs(p, kind, &pending)) return false;
    if (accept_char(p, '{')) {
        do {
            if (!parse_field(p, tn_op_get_info(kind), &params)) return false;
        } while (accept_char(p, ','));
        if (!expect_char(p, '}')) return false;
    }
    tn_layer *layer = kind == TN_OP_CONSTANT ? parse_constant(p, name) : parse_plain_layer(p, kind, &params, name);
    if (layer == NULL || !at_end(p)) {
        if (layer != NULL) return fail(p, "the end of the line");
        p->failed = true;
        return false;
    }
    if (layer->outputs.count != num_numbers) return fail(p, "another number of outputs");
    for (uint32_t i = 0; i < num_numbers; i++)
        if (!define(p, numbers[i], layer->outputs.data[i])) return false;
    if (pending == UINT32_MAX) return true;
    return tn_array_push(p->network->allocator, &p->pending, ((pending_next){layer, pending})) || fail_memory(p);
}

static bool parse_output(parser *p) {
    tn_tensor *tensor;
    const char *name;
    if (!expect_tensor(p, &tensor) || !expect_string(p, &name)) return false;
    tn_network_mark_output(p->network, tensor, name);
    return parse_role(p, tensor);
}

static bool parse_definition(parser *p) {
    uint32_t numbers[TN_MAX_OUTPUTS], num_numbers = 0;
    int64_t region = 0;
    if (accept_char(p, '@') && !expect_int(p, &region)) return false;
    if (region < 0 || region >= (int64_t)p->network->regions.count) return fail(p, "a region");
    p->network->current_region = (uint32_t)region;
    skip_spaces(p);
    if (p->at < p->line_end && *p->at == '%') {
        do {
            if (num_numbers == TN_MAX_OUTPUTS) return fail(p, "at most 4 outputs");
            if (!expect_number(p, &numbers[num_numbers++])) return false;
        } while (accept_char(p, ','));
        if (!expect_char(p, '=')) return false;
    }
    if (num_numbers == 1 && accept_word(p, "input")) return parse_input(p, numbers[0]);
    if (num_numbers == 1 && accept_word(p, "state")) return parse_state(p, numbers[0]);
    return parse_layer(p, numbers, num_numbers);
}

static bool parse_line(parser *p) {
    if (at_end(p)) return true;
    if (accept_word(p, "region")) return parse_region(p) && (at_end(p) || fail(p, "the end of the line"));
    if (accept_word(p, "output")) return parse_output(p) && (at_end(p) || fail(p, "the end of the line"));
    if (accept_word(p, "debug")) {
        tn_tensor *tensor;
        if (!expect_tensor(p, &tensor)) return false;
        tn_network_mark_debug(p->network, tensor);
        return at_end(p) || fail(p, "the end of the line");
    }
    return parse_definition(p);
}

static bool next_line(parser *p) {
    if (p->line > 0) p->at = *p->line_end == '\n' ? p->line_end + 1 : p->line_end;
    if (*p->at == '\0') return false;
    p->line_end = p->at + strcspn(p->at, "\n");
    p->line++;
    return true;
}

static void parse_lines(parser *p) {
    while (!p->failed && !p->network->failed && next_line(p)) (void)parse_line(p);
    p->network->current_region = 0;
    for (size_t i = 0; i < p->pending.count && !p->failed; i++) {
        tn_tensor *next = tensor_of(p, p->pending.data[i].number);
        if (next == NULL) (void)fail(p, "a recurrence's next value");
        tn_recurrence_set_next(p->pending.data[i].recurrence, next);
    }
}

/* network "name" [strongly_typed] */
static bool parse_head(parser *p) {
    const char *name;
    if (!next_line(p) || !accept_word(p, "network") || !expect_string(p, &name)) return fail(p, "'network' and its name");
    p->network->name = name;
    if (accept_word(p, "strongly_typed")) p->network->flags |= TN_NETWORK_STRONGLY_TYPED;
    return at_end(p) || fail(p, "the end of the line");
}

tn_network *tn_network_parse(const char *text, tn_weight_source *source, const tn_network_options *options) {
    parser p = {.at = text, .line_end = text, .source = source};
    if (tn_network_create(options, &p.network) != TN_OK) return NULL;
    if (parse_head(&p)) parse_lines(&p);
    const tn_allocator *allocator = p.network->allocator;
    tn_array_deinit(allocator, &p.tensors);
    tn_array_deinit(allocator, &p.pending);
    tn_array_deinit(allocator, &p.inputs);
    if (!p.failed && !p.network->failed) return p.network;
    tn_network_destroy(p.network);
    return NULL;
}
