/* SPDX-License-Identifier: Apache-2.0
 *
 * args.c: numbers and choices from the command line, and the options that say which engine to use.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int tn_cli_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("tenon: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return TN_EXIT_FAILED;
}

int64_t tn_cli_integer(struct argp_state *state, const char *option, const char *text, int64_t min, int64_t max) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        argp_error(state, "%s is '%s', must be a whole number from %lld to %lld", option, text, (long long)min, (long long)max);
    return value;
}

double tn_cli_number(struct argp_state *state, const char *option, const char *text, double min, double max) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max))
        argp_error(state, "%s is '%s', must be a number from %g to %g", option, text, min, max);
    return value;
}

size_t tn_cli_bytes(struct argp_state *state, const char *option, const char *text) {
    char *end;
    double value = strtod(text, &end), unit = 1.0;
    if (*end == 'K' || *end == 'k') unit = 1e3;
    if (*end == 'M' || *end == 'm') unit = 1e6;
    if (*end == 'G' || *end == 'g') unit = 1e9;
    if (unit != 1.0) end++;
    if (end == text || *end != '\0' || !(value * unit >= 1.0 && value * unit < 1e18))
        argp_error(state, "%s is '%s', must be a size such as 512M or 2G", option, text);
    return (size_t)(value * unit);
}

int tn_cli_choice(struct argp_state *state, const char *option, const char *text, const char *const *choices) {
    for (int i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], text) == 0) return i;
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; choices[i] != NULL && used + 32 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", choices[i]);
    argp_error(state, "%s is '%s', must be one of: %s", option, text, list);
    return 0;
}

char *tn_cli_read_stdin(size_t *out_size) {
    size_t size = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    while (text != NULL) {
        size += fread(text + size, 1, capacity - size - 1, stdin);
        if (size < capacity - 1) break;
        capacity *= 2;
        char *larger = capacity <= (size_t)1 << 30 ? realloc(text, capacity) : NULL;
        if (larger == NULL) free(text);
        text = larger;
    }
    if (text == NULL) {
        tn_cli_fail("cannot read standard input: more than 512 MB, or no memory");
        return NULL;
    }
    text[size] = '\0';
    *out_size = size;
    return text;
}

/* --- engine options ------------------------------------------------------------------------------------------------------------- */

void tn_engine_args_init(tn_engine_args *args) {
    *args = (tn_engine_args){.device = "cpu", .use_cache = true, .optimization_level = 1, .cache_limit_bytes = (size_t)20e9};
    tn_model_options_init(&args->model);
}

enum {
    OPTION_DEVICE = 256,
    OPTION_ISA,
    OPTION_ACTIVATIONS,
    OPTION_CACHE_TYPE,
    OPTION_DTYPE,
    OPTION_MAX_SEQ_LEN,
    OPTION_MAX_BATCH_SIZE,
    OPTION_MAX_NUM_TOKENS,
    OPTION_TOKENS_PER_BLOCK,
    OPTION_EMBEDDINGS,
    OPTION_MEM_LIMIT,
    OPTION_CACHE_LIMIT,
    OPTION_NO_CACHE,
    OPTION_LEVEL,
    OPTION_DUMMY,
};

static const struct argp_option engine_options[] = {
    {0, 0, 0, 0, "The engine:", 2},
    {"device", OPTION_DEVICE, "NAME", 0, "cpu (default), cuda, auto (cuda if there is a GPU, else cpu), or ref: slow, exact", 2},
    {"isa", OPTION_ISA, "LEVEL", 0, "at most c, avx2 or avx512_vnni; default: what the CPU has", 2},
    {"threads", 't', "N", 0, "default: the CPUs this process may use", 2},
    {"activations", OPTION_ACTIVATIONS, "TYPE", 0, "auto (default: q15 for integer weights), float32, q15 or int8", 2},
    {"kv-cache-type", OPTION_CACHE_TYPE, "TYPE", 0, "auto (default: f32), f32, f16, bf16, int16, int8 or fp8", 2},
    {"dtype", OPTION_DTYPE, "TYPE", 0, "how float weights are kept: float32, float16 or bfloat16; default: as stored", 2},
    {"max-seq-len", OPTION_MAX_SEQ_LEN, "N", 0, "tokens of prompt and answer; default: the model's, or what memory holds", 2},
    {"max-batch-size", OPTION_MAX_BATCH_SIZE, "N", 0, "sequences in a step; default 16", 2},
    {"max-num-tokens", OPTION_MAX_NUM_TOKENS, "N", 0, "tokens in a step; default 2048", 2},
    {"tokens-per-block", OPTION_TOKENS_PER_BLOCK, "N", 0, "of the paged cache: 16, 32 (default), 64, 128 or 256", 2},
    {"embeddings", OPTION_EMBEDDINGS, 0, 0, "the engine gives hidden states too, which /v1/embeddings is made of", 2},
    {"mem-limit", OPTION_MEM_LIMIT, "SIZE", 0, "stop before building if more is needed, e.g. 2G", 2},
    {"level", OPTION_LEVEL, "0-5", 0, "0: choose tactics by estimate; 1 (default): measure the best few; 5: all", 2},
    {"dummy", OPTION_DUMMY, "SHAPE", 0, "in place of MODEL: random weights in the shape of llama-3.1-8b, llama-3.2-1b …", 2},
    {"cache-limit", OPTION_CACHE_LIMIT, "SIZE", 0, "of built engines in the cache folder; default 20G", 2},
    {"no-cache", OPTION_NO_CACHE, 0, 0, "neither read nor write the cache folder", 2},
    {"verbose", 'v', 0, 0, "say what is done and how long it takes", 2},
    {0},
};

/* "cuda" where a GPU can be used. */
static const char *best_device(void) {
    tn_device_options options;
    tn_device *device = NULL;
    tn_diag *quiet;
    if (tn_diag_create(NULL, &quiet) != TN_OK) return "cpu";
    tn_device_options_init(&options);
    options.diag = quiet;
    tn_status status = tn_device_create("cuda", &options, &device);
    tn_device_destroy(device);
    tn_diag_destroy(quiet);
    return status == TN_OK ? "cuda" : "cpu";
}

static error_t parse_engine_option(int key, char *value, struct argp_state *state) {
    static const char *const devices[] = {"cpu", "cuda", "ref", "null", "auto", NULL};
    static const char *const isas[] = {"c", "avx2", "avx512_vnni", NULL};
    static const char *const activations[] = {"auto", "float32", "q15", "int8", NULL};
    static const tn_activation_precision precisions[] = {TN_ACTIVATIONS_AUTO, TN_ACTIVATIONS_FLOAT32, TN_ACTIVATIONS_Q15,
                                                         TN_ACTIVATIONS_INT8};
    static const char *const cache_types[] = {"auto", "f32", "f16", "bf16", "int16", "int8", "fp8", NULL};
    static const tn_dtype cache_dtypes[] = {TN_DTYPE_NONE, TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT16, TN_INT8, TN_FLOAT8_E4M3FN};
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", NULL};
    static const tn_dtype float_dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16};
    tn_engine_args *args = state->input;
    switch (key) {
    case OPTION_DEVICE:
        args->device = devices[tn_cli_choice(state, "--device", value, devices)];
        if (strcmp(args->device, "auto") == 0) args->device = best_device();
        return 0;
    case OPTION_ISA: args->isa = isas[tn_cli_choice(state, "--isa", value, isas)]; return 0;
    case 't': args->num_threads = (int)tn_cli_integer(state, "--threads", value, 1, 1024); return 0;
    case OPTION_ACTIVATIONS: args->model.activations = precisions[tn_cli_choice(state, "--activations", value, activations)]; return 0;
    case OPTION_CACHE_TYPE: args->model.cache_dtype = cache_dtypes[tn_cli_choice(state, "--kv-cache-type", value, cache_types)]; return 0;
    case OPTION_DTYPE: args->model.float_dtype = float_dtypes[tn_cli_choice(state, "--dtype", value, dtypes)]; return 0;
    case OPTION_MAX_SEQ_LEN: args->model.max_seq_len = tn_cli_integer(state, "--max-seq-len", value, 1, 1 << 24); return 0;
    case OPTION_MAX_BATCH_SIZE: args->model.max_batch_size = tn_cli_integer(state, "--max-batch-size", value, 1, 1 << 16); return 0;
    case OPTION_MAX_NUM_TOKENS: args->model.max_num_tokens = tn_cli_integer(state, "--max-num-tokens", value, 1, 1 << 20); return 0;
    case OPTION_TOKENS_PER_BLOCK: args->model.tokens_per_block = tn_cli_integer(state, "--tokens-per-block", value, 16, 256); return 0;
    case OPTION_EMBEDDINGS: args->model.hidden_states = true; return 0;
    case OPTION_MEM_LIMIT: args->memory_limit_bytes = tn_cli_bytes(state, "--mem-limit", value); return 0;
    case OPTION_CACHE_LIMIT: args->cache_limit_bytes = tn_cli_bytes(state, "--cache-limit", value); return 0;
    case OPTION_DUMMY:
        args->path = value;
        args->is_dummy = true;
        return 0;
    case OPTION_NO_CACHE: args->use_cache = false; return 0;
    case OPTION_LEVEL: args->optimization_level = (int)tn_cli_integer(state, "--level", value, 0, 5); return 0;
    case 'v': args->verbose = true; return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp tn_engine_argp = {.options = engine_options, .parser = parse_engine_option};
