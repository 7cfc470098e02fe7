/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: a server for tests.
 */
#include "support/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void open_model(tn_test_server *self, const char *backend, bool hidden_states) {
    tn_model_options options;
    tn_device_options device;
    *self = (tn_test_server){0};
    tn_model_options_init(&options);
    tn_device_options_init(&device);
    options.tokens_per_block = 16;
    options.max_num_tokens = 256;
    options.max_batch_size = 64;
    options.hidden_states = hidden_states;
    device.num_threads = 1;
    tn_test_decoder_open(&self->decoder, TN_TEST_DATA "/models/llama-gqa", backend, &device, &options);
    assert_int_equal(tn_tokenizer_load(TN_TEST_DATA "/tokenizers/bytes320", NULL, &self->tokenizer), TN_OK);
}

void tn_test_server_open(tn_test_server *self, const char *backend) {
    open_model(self, backend, false);
}

void tn_test_server_open_for_embeddings(tn_test_server *self, const char *backend) {
    open_model(self, backend, true);
}

tn_server_options tn_test_server_options(const tn_test_server *self) {
    tn_server_options options;
    tn_server_options_init(&options);
    options.tokenizer = self->tokenizer;
    options.model_name = "test";
    options.port = 0;
    options.max_connections = 512;
    return options;
}

void tn_test_server_start(tn_test_server *self, const tn_executor_options *executor_options, const tn_server_options *options) {
    tn_server_options own = options != NULL ? *options : tn_test_server_options(self);
    tn_test_decoder_start(&self->decoder, executor_options);
    self->num_descriptors = tn_test_num_descriptors();
    own.executor = self->decoder.executor;
    assert_int_equal(tn_server_create(&own, &self->server), TN_OK);
    assert_int_equal(tn_server_start(self->server), TN_OK);
    self->port = tn_server_port(self->server);
}

void tn_test_server_settle(tn_test_server *self) {
    tn_executor_info info;
    tn_server_info server;
    for (int i = 0; i < 4000; i++) {
        tn_executor_get_info(self->decoder.executor, &info);
        tn_server_get_info(self->server, &server);
        if (server.num_exchanges == 0 && server.num_generations == 0 && info.num_active == 0 && info.num_queued == 0) return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    fail_msg("%d exchanges, %d generations, %d running and %d waiting sequences are left", (int)server.num_exchanges,
             (int)server.num_generations, (int)info.num_active, (int)info.num_queued);
}

void tn_test_server_stop(tn_test_server *self) {
    tn_executor_info info;
    tn_server_info server;
    tn_server_stop(self->server);
    tn_server_get_info(self->server, &server);
    assert_int_equal(server.num_connections, 0);
    assert_int_equal(server.num_exchanges, 0);
    assert_int_equal(server.num_generations, 0);
    tn_server_destroy(self->server);
    self->server = NULL;
    tn_executor_get_info(self->decoder.executor, &info);
    assert_int_equal(info.num_active, 0);
    assert_int_equal(info.num_queued, 0);
    assert_int_equal(info.num_free_blocks, info.num_blocks);
    assert_int_equal(tn_test_num_descriptors(), self->num_descriptors);
}

void tn_test_server_close(tn_test_server *self) {
    if (self->server != NULL) tn_test_server_stop(self);
    tn_tokenizer_destroy(self->tokenizer);
    tn_test_decoder_close(&self->decoder);
}

int tn_test_num_descriptors(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

size_t tn_test_server_heap_bytes(tn_test_server *self) {
    tn_server_info server = {.num_connections = 1};
    for (int i = 0; i < 4000 && server.num_connections > 0; i++) {
        tn_server_get_info(self->server, &server);
        if (server.num_connections > 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void tn_test_turn_off_thread_caches(char **arguments) {
    if (getenv("GLIBC_TUNABLES") == NULL && setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
        (void)execv("/proc/self/exe", arguments); /* malloc reads it at the start */
}
