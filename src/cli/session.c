/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c: opening a model or engine the way every verb does.
 */
#include "cli/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/cache.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

/* --- progress on a terminal -------------------------------------------------------------------------------------------------- */

static bool report_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user;
    if (total == 0) return true;
    int width = (int)(done * 30 / total);
    fprintf(stderr, "\r\033[K%s [%.*s%*s] %d%%", phase, width, "##############################", 30 - width, "", (int)(done * 100 / total));
    if (done >= total) fputs("\r\033[K", stderr);
    return true;
}

/* --- building ------------------------------------------------------------------------------------------------------------------ */

/* The longest sequence whose cache fits beside the weights, if the model's own does not. */
static void fit_max_seq_len(const tn_session *session, const tn_model *model, tn_model_options *options) {
    if (options->max_seq_len != 0) return;
    int64_t wanted = tn_model_get_config(model)->max_positions;
    uint64_t available = tn_device_available_memory_bytes(session->device);
    if (session->args->memory_limit_bytes > 0 && session->args->memory_limit_bytes < available)
        available = session->args->memory_limit_bytes;
    uint64_t weights = tn_model_weight_bytes(model) * 2 + 300000000;
    uint64_t per_token = (uint64_t)tn_model_cache_token_bytes(model, options->cache_dtype);
    uint64_t fitting = available > weights ? (available - weights) * 9 / 10 / per_token : 0;
    options->max_seq_len = wanted;
    if (fitting >= (uint64_t)wanted || fitting < 256) return;
    options->max_seq_len = (int64_t)(fitting / 256 * 256);
    char cache[32], memory[32];
    fprintf(stderr, "tenon: the context is lowered from %lld to %lld tokens: its cache would take %s, %s are there\n", (long long)wanted,
            (long long)options->max_seq_len, tn_format_bytes((uint64_t)wanted * per_token, cache), tn_format_bytes(available, memory));
}

static void configure(tn_session *session, const tn_model *model, const tn_model_options *options, const char *plan_path, const char *info,
                      tn_timing_cache *timing_cache, tn_builder_config *config) {
    const tn_engine_args *args = session->args;
    tn_model_set_profile(model, options, config);
    tn_builder_config_set_activation_precision(config, options->activations);
    tn_builder_config_set_optimization_level(config, args->optimization_level);
    tn_builder_config_set_memory_limit(config, args->memory_limit_bytes);
    tn_builder_config_set_external_weights(config, args->external_weights);
    tn_builder_config_set_timing_cache(config, timing_cache);
    tn_builder_config_set_model_info(config, info);
    if (plan_path != NULL) tn_builder_config_set_output_path(config, plan_path);
    if (isatty(STDERR_FILENO)) tn_builder_config_set_progress(config, &(tn_progress){.report = report_progress});
}

static tn_status load_timing_cache(const tn_session *session, char **out_path, tn_timing_cache **out_cache) {
    *out_cache = NULL;
    *out_path = session->args->use_cache ? tn_timing_cache_path() : NULL;
    tn_status status = tn_timing_cache_create(NULL, out_cache);
    if (status == TN_OK && *out_path != NULL) status = tn_timing_cache_load(*out_cache, *out_path, NULL);
    return status;
}

bool tn_session_build(tn_session *session, const char *plan_path, tn_plan **out_plan) {
    *out_plan = NULL;
    int64_t begin = tn_now_ns();
    tn_model *model = NULL;
    tn_model_networks networks = {0};
    tn_builder *builder = NULL;
    tn_builder_config *config = NULL;
    tn_timing_cache *timing_cache = NULL;
    char *timing_path = NULL;
    tn_model_options options = session->args->model;
    tn_status status = session->args->is_dummy ? tn_model_open_dummy(session->args->path, NULL, NULL, &model)
                                               : tn_model_open(session->args->path, NULL, NULL, &model);
    if (status != TN_OK) goto cleanup;
    fit_max_seq_len(session, model, &options);
    status = tn_model_make_networks(model, &options, NULL, &networks);
    if (status != TN_OK) goto cleanup;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = session->device;
    status = tn_builder_create(&builder_options, &builder);
    if (status == TN_OK) status = tn_builder_config_create(builder, &config);
    if (status == TN_OK) status = load_timing_cache(session, &timing_path, &timing_cache);
    if (status == TN_OK) configure(session, model, &options, plan_path, networks.info, timing_cache, config);
    if (status == TN_OK)
        status = tn_builder_build_functions(builder, (tn_network *[]){networks.forward, networks.sample}, 2, config, out_plan);
    if (status != TN_OK) goto cleanup;
    if (timing_path != NULL && tn_timing_cache_num_measured(timing_cache) > 0 &&
        tn_timing_cache_save(timing_cache, timing_path, NULL) != TN_OK)
        fputs("tenon: measured times are not kept\n", stderr);
    if (session->tokenizer == NULL && tn_model_tokenizer_path(model) != NULL)
        status = tn_tokenizer_load(tn_model_tokenizer_path(model), NULL, &session->tokenizer);

cleanup:
    if (status != TN_OK) {
        tn_plan_destroy(*out_plan);
        *out_plan = NULL;
    }
    tn_timing_cache_destroy(timing_cache);
    tn_free(NULL, timing_path);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    if (model != NULL) tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
    session->build_ns = tn_now_ns() - begin;
    return status == TN_OK;
}

/* --- loading -------------------------------------------------------------------------------------------------------------------- */

static void fill_engine_options(const tn_session *session, tn_engine_options *options) {
    tn_engine_options_init(options);
    options->device = session->device;
    options->memory_limit_bytes = session->args->memory_limit_bytes;
}

static char *join(const char *directory, const char *name) {
    return tn_path_join(NULL, directory, name);
}

bool tn_session_retune(tn_session *session, const char *plan_path) {
    tn_plan *plan = NULL, *retuned = NULL;
    tn_builder *builder = NULL;
    tn_builder_config *config = NULL;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = session->device;
    tn_status status = tn_plan_load(plan_path, NULL, &plan);
    if (status == TN_OK) {
        const char *device = tn_plan_get_view(plan)->header->backend;
        if (strcmp(device, session->args->device) != 0) {
            tn_cli_fail("%s was built for the device '%s', this is '%s'\n  add --device %s, or build it again from its model", plan_path,
                        device, session->args->device, device);
            tn_plan_destroy(plan);
            return false;
        }
        fprintf(stderr, "tenon: choosing the kernels of %s again for this machine\n", plan_path);
    }
    if (status == TN_OK) status = tn_builder_create(&builder_options, &builder);
    if (status == TN_OK) status = tn_builder_config_create(builder, &config);
    if (status == TN_OK) {
        tn_builder_config_set_optimization_level(config, session->args->optimization_level);
        status = tn_builder_retune(builder, plan, config, &retuned);
    }
    tn_engine_options options;
    fill_engine_options(session, &options);
    if (status == TN_OK) status = tn_engine_create(retuned, &options, &session->engine);
    if (status == TN_OK) {
        tn_diag *quiet;
        if (tn_diag_create(NULL, &quiet) == TN_OK) {
            if (tn_plan_save(retuned, plan_path, quiet) != TN_OK) fputs("tenon: the retuned plan is used but cannot be kept\n", stderr);
            tn_diag_destroy(quiet);
        }
    }
    tn_plan_destroy(retuned);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_plan_destroy(plan);
    return status == TN_OK;
}

/* diag collects, so that a cached engine that does not fit is replaced without noise. */
static tn_status load_plan(tn_session *session, const char *plan_path, tn_diag *diag) {
    tn_engine_options options;
    fill_engine_options(session, &options);
    options.diag = diag;
    return tn_engine_load(plan_path, &options, &session->engine);
}

static void print_diag(const tn_diag *diag) {
    tn_diag_entry entry;
    for (size_t i = 0; tn_diag_get(diag, i, &entry) == TN_OK; i++) {
        if (entry.severity == TN_SEVERITY_INFO) continue;
        fprintf(stderr, "tenon: %s%s\n", entry.severity == TN_SEVERITY_WARNING ? "warning: " : "", entry.message);
        if (entry.hint[0] != '\0') fprintf(stderr, "  %s\n", entry.hint);
    }
}

/* What cannot be added to an engine that is there. */
static bool gives_what_is_asked(const tn_session *session, const char *directory) {
    tn_io_info io;
    if (!session->args->model.hidden_states) return true;
    for (int i = 0; i < tn_engine_num_io(session->engine, "forward"); i++)
        if (tn_engine_get_io(session->engine, "forward", i, &io) == TN_OK && strcmp(io.name, TN_OUTPUT_HIDDEN_STATES) == 0) return true;
    tn_cli_fail("%s gives no embeddings\n  build it again from its model with --embeddings", directory);
    return false;
}

static bool open_engine_directory(tn_session *session, const char *directory) {
    char *plan_path = join(directory, "rank0.plan"), *tokenizer_path = join(directory, "tokenizer.bin");
    bool is_open = false;
    tn_diag *diag = NULL;
    if (plan_path == NULL || tokenizer_path == NULL || tn_diag_create(NULL, &diag) != TN_OK) goto cleanup;
    tn_status status = load_plan(session, plan_path, diag);
    if (status == TN_INCOMPATIBLE) { /* why is of no use to somebody who only wants an answer */
        is_open = tn_session_retune(session, plan_path);
    } else {
        print_diag(diag);
        is_open = status == TN_OK;
    }
    is_open = is_open && gives_what_is_asked(session, directory);
    if (is_open && tn_path_exists(tokenizer_path)) is_open = tn_tokenizer_load(tokenizer_path, NULL, &session->tokenizer) == TN_OK;

cleanup:
    tn_diag_destroy(diag);
    tn_free(NULL, plan_path);
    tn_free(NULL, tokenizer_path);
    return is_open;
}

/* An engine that was built before; anything wrong with it means: build again. */
static bool open_cached(tn_session *session) {
    bool is_open = false;
    char *plan_path = join(session->engine_directory, "rank0.plan"), *tokenizer_path = join(session->engine_directory, "tokenizer.bin");
    tn_diag *quiet = NULL;
    if (plan_path == NULL || tokenizer_path == NULL || tn_diag_create(NULL, &quiet) != TN_OK) goto cleanup;
    if (!tn_path_exists(plan_path)) goto cleanup;
    is_open = load_plan(session, plan_path, quiet) == TN_OK;
    tn_tokenizer_options options;
    tn_tokenizer_options_init(&options);
    options.diag = quiet;
    if (is_open && tn_path_exists(tokenizer_path)) is_open = tn_tokenizer_load(tokenizer_path, &options, &session->tokenizer) == TN_OK;
    if (!is_open) {
        tn_engine_destroy(session->engine);
        session->engine = NULL;
    }

cleanup:
    tn_diag_destroy(quiet);
    tn_free(NULL, plan_path);
    tn_free(NULL, tokenizer_path);
    return is_open;
}

static bool is_engine_directory(const char *path) {
    if (!tn_path_is_directory(path)) return false;
    char *plan_path = join(path, "rank0.plan");
    bool is_engine = plan_path != NULL && tn_path_exists(plan_path);
    tn_free(NULL, plan_path);
    return is_engine;
}

static bool open_model(tn_session *session) {
    const tn_engine_args *args = session->args;
    if (args->use_cache && !args->is_dummy) session->engine_directory = tn_engine_cache_path(args, tn_device_description(session->device));
    if (session->engine_directory != NULL && open_cached(session)) return true;
    if (!tn_session_build(session, NULL, &session->plan)) return false;
    session->is_unsaved = session->engine_directory != NULL;
    tn_engine_options options;
    fill_engine_options(session, &options);
    return tn_engine_create(session->plan, &options, &session->engine) == TN_OK;
}

bool tn_session_open_device(tn_session *session, const tn_engine_args *args) {
    *session = (tn_session){.args = args, .start_ns = tn_now_ns()};
    tn_device_options options;
    tn_device_options_init(&options);
    options.num_threads = args->num_threads;
    options.isa = args->isa;
    return tn_device_create(args->device, &options, &session->device) == TN_OK;
}

bool tn_session_open(tn_session *session, const tn_engine_args *args) {
    *session = (tn_session){.args = args};
    if (!args->is_dummy && !tn_path_exists(args->path)) {
        tn_cli_fail("there is no '%s'\n  give a GGUF file, a Hugging Face directory, or an engine directory", args->path);
        return false;
    }
    if (!tn_session_open_device(session, args)) return false;
    bool is_open = !args->is_dummy && is_engine_directory(args->path) ? open_engine_directory(session, args->path) : open_model(session);
    session->load_ns = tn_now_ns() - session->start_ns - session->build_ns;
    if (is_open && args->verbose)
        fprintf(stderr, "device %s; build %.2f s, load %.2f s\n", tn_device_description(session->device), (double)session->build_ns * 1e-9,
                (double)session->load_ns * 1e-9);
    return is_open;
}

bool tn_session_start_executor(tn_session *session, const tn_executor_options *options) {
    return tn_executor_create_from_engine(session->engine, options, &session->executor) == TN_OK;
}

void tn_session_save(tn_session *session) {
    if (!session->is_unsaved) return;
    session->is_unsaved = false;
    char *plan_path = join(session->engine_directory, "rank0.plan"), *tokenizer_path = join(session->engine_directory, "tokenizer.bin");
    tn_diag *quiet = NULL;
    bool is_saved = plan_path != NULL && tokenizer_path != NULL && tn_diag_create(NULL, &quiet) == TN_OK &&
                    tn_make_directories(session->engine_directory, quiet) == TN_OK;
    /* The plan comes last: a folder with a plan is complete. */
    if (is_saved && session->tokenizer != NULL) is_saved = tn_tokenizer_save(session->tokenizer, tokenizer_path, quiet) == TN_OK;
    if (is_saved) is_saved = tn_plan_save(session->plan, plan_path, quiet) == TN_OK;
    if (is_saved)
        tn_engine_cache_trim(session->engine_directory, session->args->cache_limit_bytes);
    else if (session->args->verbose)
        fputs("tenon: the built engine cannot be kept in the cache folder\n", stderr);
    tn_diag_destroy(quiet);
    tn_free(NULL, plan_path);
    tn_free(NULL, tokenizer_path);
}

void tn_session_close(tn_session *session) {
    tn_executor_destroy(session->executor);
    tn_engine_destroy(session->engine);
    tn_plan_destroy(session->plan);
    tn_tokenizer_destroy(session->tokenizer);
    tn_device_destroy(session->device);
    tn_free(NULL, session->engine_directory);
    *session = (tn_session){0};
}
