/* SPDX-License-Identifier: Apache-2.0
 *
 * decoder.c: model → networks → builder → engine → executor, with every status asserted.
 */
#include "support/decoder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

bool tn_test_has_device(const char *backend) {
    tn_device *device;
    if (tn_device_create(backend, NULL, &device) != TN_OK) {
        printf("SKIP: this machine has no %s device\n", backend);
        return false;
    }
    tn_device_destroy(device);
    return true;
}

static void open_decoder(tn_test_decoder *decoder, const char *model_path, const char *backend, const tn_device_options *device_options,
                         const tn_model_options *model_options, tn_timing_cache *cache) {
    *decoder = (tn_test_decoder){0};
    tn_model_options defaults;
    tn_model_options_init(&defaults);
    if (model_options == NULL) model_options = &defaults;
    tn_model *model;
    tn_model_networks networks;
    assert_int_equal(tn_device_create(backend, device_options, &decoder->device), TN_OK);
    assert_int_equal(tn_model_open(model_path, NULL, NULL, &model), TN_OK);
    assert_int_equal(tn_model_make_networks(model, model_options, NULL, &networks), TN_OK);

    tn_builder *builder;
    tn_builder_config *config;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = decoder->device;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    tn_model_set_profile(model, model_options, config);
    tn_builder_config_set_activation_precision(config, model_options->activations);
    tn_builder_config_set_optimization_level(config, cache != NULL ? 1 : 0);
    tn_builder_config_set_timing_budget_ms(config, 0);
    tn_builder_config_set_timing_cache(config, cache);
    tn_builder_config_set_model_info(config, networks.info);
    tn_network *functions[] = {networks.forward, networks.sample};
    assert_int_equal(tn_builder_build_functions(builder, functions, 2, config, &decoder->plan), TN_OK);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);

    tn_engine_options engine_options;
    tn_engine_options_init(&engine_options);
    engine_options.device = decoder->device;
    assert_int_equal(tn_engine_create(decoder->plan, &engine_options, &decoder->engine), TN_OK);
}

void tn_test_decoder_open(tn_test_decoder *decoder, const char *model_path, const char *backend, const tn_device_options *device_options,
                          const tn_model_options *model_options) {
    open_decoder(decoder, model_path, backend, device_options, model_options, NULL);
}

void tn_test_decoder_open_timed(tn_test_decoder *decoder, const char *model_path, const char *backend,
                                const tn_device_options *device_options, const tn_model_options *model_options, tn_timing_cache *cache) {
    open_decoder(decoder, model_path, backend, device_options, model_options, cache);
}

void tn_test_decoder_start(tn_test_decoder *decoder, const tn_executor_options *options) {
    tn_executor_destroy(decoder->executor);
    decoder->executor = NULL;
    assert_int_equal(tn_executor_create_from_engine(decoder->engine, options, &decoder->executor), TN_OK);
}

void tn_test_decoder_close(tn_test_decoder *decoder) {
    tn_executor_destroy(decoder->executor);
    tn_engine_destroy(decoder->engine);
    tn_plan_destroy(decoder->plan);
    tn_device_destroy(decoder->device);
    *decoder = (tn_test_decoder){0};
}

tn_response *tn_test_answer(tn_test_decoder *decoder, const tn_request *request) {
    uint64_t id;
    tn_response *response = NULL;
    assert_int_equal(tn_executor_enqueue(decoder->executor, request, &id), TN_OK);
    assert_int_equal(tn_executor_await(decoder->executor, id, TN_FOREVER, &response), TN_OK);
    assert_true(tn_response_is_final(response));
    assert_null(tn_response_error(response));
    return response;
}
