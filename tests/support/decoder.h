/* SPDX-License-Identifier: Apache-2.0
 *
 * decoder.h: a model on disk as a running engine, all in memory, for tests of whole decoders. Failures fail the test.
 */
#ifndef TN_TESTS_SUPPORT_DECODER_H_
#define TN_TESTS_SUPPORT_DECODER_H_

#include "model/model.h"
#include "tenon/builder.h"
#include "tenon/executor.h"

typedef struct tn_test_decoder {
    tn_device *device;
    tn_plan *plan;
    tn_engine *engine;
    tn_executor *executor; /* NULL until tn_test_decoder_start */
} tn_test_decoder;

/* Is there such a device on this machine? Says so on stdout if not: the program then returns 77. */
bool tn_test_has_device(const char *backend);

/* device options and model options may be NULL: defaults. Optimisation level 0: nothing is timed. */
void tn_test_decoder_open(tn_test_decoder *decoder, const char *model_path, const char *backend, const tn_device_options *device_options,
                          const tn_model_options *model_options);
/* The same with tactics timed, times taken from the cache where it has them and put there where not. */
void tn_test_decoder_open_timed(tn_test_decoder *decoder, const char *model_path, const char *backend,
                                const tn_device_options *device_options, const tn_model_options *model_options, tn_timing_cache *cache);
/* Starts (or restarts) the executor; NULL: defaults. */
void tn_test_decoder_start(tn_test_decoder *decoder, const tn_executor_options *options);
void tn_test_decoder_close(tn_test_decoder *decoder);

/* Enqueues and waits for the whole answer of a request that does not stream. */
tn_response *tn_test_answer(tn_test_decoder *decoder, const tn_request *request);

#endif
