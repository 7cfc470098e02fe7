/* SPDX-License-Identifier: Apache-2.0
 *
 * embeddings_test.c: /v1/embeddings by loopback: Hugging Face's hidden states as vectors, their forms, what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "format/json.h"
#include "support/server.h"

enum { HIDDEN = 64, NUM_CASES = 3 };

static tn_test_server self;

/* --- one request ------------------------------------------------------------------------------------------------------------------------ */

static tn_json *parse(const tn_test_http *answer) {
    tn_json *json;
    if (answer->status != 200 || !answer->is_whole) fail_msg("status %d:\n%s", answer->status, answer->body);
    assert_int_equal(tn_json_parse("the answer", answer->body, answer->size, NULL, NULL, NULL, &json), TN_OK);
    return json;
}

static void read_base64(const char *text, size_t size, float *out, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *bytes = (uint8_t *)out;
    size_t num_bytes = 0;
    assert_int_equal(size, (count * sizeof *out + 2) / 3 * 4);
    for (size_t i = 0; i < size; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) bits = bits << 6 | (text[i + k] != '=' ? (uint32_t)(strchr(digits, text[i + k]) - digits) : 0);
        for (int shift = 16; shift >= 0 && num_bytes < count * sizeof *out; shift -= 8) bytes[num_bytes++] = (uint8_t)(bits >> shift);
    }
}

static void read_vector(const tn_json *json, size_t index, float *out, size_t count) {
    const tn_json_value *data, *value;
    const char *text;
    size_t size;
    int64_t found;
    assert_int_equal(tn_json_get_array(tn_json_root(json), "data", NULL, &data), TN_OK);
    assert_int_equal(tn_json_get_integer(tn_json_at(data, index), "index", 0, 1000, NULL, &found), TN_OK);
    assert_int_equal(found, index);
    value = tn_json_find(tn_json_at(data, index), "embedding");
    assert_non_null(value);
    if (tn_json_kind_of(value) == TN_JSON_STRING) {
        assert_int_equal(tn_json_to_string(value, NULL, &text, &size), TN_OK);
        read_base64(text, size, out, count);
        return;
    }
    assert_int_equal(tn_json_count(value), count);
    for (size_t i = 0; i < count; i++) {
        double number;
        assert_int_equal(tn_json_to_number(tn_json_at(value, i), -1.0, 1.0, NULL, &number), TN_OK);
        out[i] = (float)number;
    }
}

static void embed(const char *body, float *out, size_t count) {
    tn_test_http answer = tn_test_post(self.port, "/v1/embeddings", body);
    tn_json *json = parse(&answer);
    read_vector(json, 0, out, count);
    tn_json_destroy(json);
    tn_test_http_free(&answer);
}

static void make_unit(float *vector, size_t count) {
    double squares = 0.0;
    for (size_t i = 0; i < count; i++) squares += (double)vector[i] * (double)vector[i];
    for (size_t i = 0; i < count; i++) vector[i] = (float)((double)vector[i] / sqrt(squares));
}

static void assert_near(const float *got, const float *wanted, size_t count, double tolerance) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)wanted[i]) <= tolerance))
            fail_msg("%zu is %g, must be %g", i, (double)got[i], (double)wanted[i]);
}

static void expect(const char *body, int status, const char *words) {
    tn_test_http answer = tn_test_post(self.port, "/v1/embeddings", body);
    if (answer.status != status || !answer.is_whole || strstr(answer.body, words) == NULL)
        fail_msg("status %d, must be %d, with '%s' in:\n%s", answer.status, status, words, answer.body);
    tn_test_http_free(&answer);
}

static void serve_with(const char *pooling, const tn_server_options *changed) {
    tn_server_options options = changed != NULL ? *changed : tn_test_server_options(&self);
    options.pooling = pooling;
    if (self.server != NULL) tn_test_server_stop(&self);
    tn_test_server_start(&self, NULL, &options);
}

/* --- vectors ---------------------------------------------------------------------------------------------------------------------------- */

/* The prompts of hidden_states.json in one request: ids as a body, and what the vectors must be. */
static void read_golden(const char *pooling, tn_text *out_body, float wanted[NUM_CASES][HIDDEN]) {
    tn_json *json;
    const tn_json_value *cases, *ids, *rows, *row;
    double value;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/models/llama-gqa/hidden_states.json", NULL, NULL, NULL, &json), TN_OK);
    assert_int_equal(tn_json_get_array(tn_json_root(json), "cases", NULL, &cases), TN_OK);
    assert_int_equal(tn_json_count(cases), NUM_CASES);
    tn_text_append_string(out_body, "{\"input\": [");
    for (size_t i = 0; i < NUM_CASES; i++) {
        assert_int_equal(tn_json_get_array(tn_json_at(cases, i), "input_ids", NULL, &ids), TN_OK);
        assert_int_equal(tn_json_get_array(tn_json_at(cases, i), "rows", NULL, &rows), TN_OK);
        assert_int_equal(tn_json_get_array(tn_json_at(cases, i), "mean", NULL, &row), TN_OK);
        if (strcmp(pooling, "last") == 0) row = tn_json_at(rows, tn_json_count(rows) - 1);
        for (size_t k = 0; k < HIDDEN; k++) {
            assert_int_equal(tn_json_to_number(tn_json_at(row, k), -100.0, 100.0, NULL, &value), TN_OK);
            wanted[i][k] = (float)value;
        }
        make_unit(wanted[i], HIDDEN);
        tn_text_append_string(out_body, i > 0 ? ", [" : "[");
        for (size_t k = 0; k < tn_json_count(ids); k++) {
            assert_int_equal(tn_json_to_number(tn_json_at(ids, k), 0.0, 320.0, NULL, &value), TN_OK);
            tn_text_append_format(out_body, "%s%d", k > 0 ? ", " : "", (int)value);
        }
        tn_text_append_char(out_body, ']');
    }
    tn_json_destroy(json);
}

static void vectors_are_hugging_faces_hidden_states(void **state) {
    (void)state;
    static const char *const poolings[] = {"last", "mean"}, *const formats[] = {"float", "base64"};
    for (int i = 0; i < 4; i++) {
        float wanted[NUM_CASES][HIDDEN], got[HIDDEN];
        tn_text body = {0};
        if (i % 2 == 0) serve_with(poolings[i / 2], NULL);
        read_golden(poolings[i / 2], &body, wanted);
        tn_text_append_format(&body, "], \"encoding_format\": \"%s\"}", formats[i % 2]);
        tn_test_http answer = tn_test_post(self.port, "/v1/embeddings", body.data);
        tn_json *json = parse(&answer);
        assert_non_null(strstr(answer.body, "\"usage\": {\"prompt_tokens\": 41, \"total_tokens\": 41, "));
        for (size_t k = 0; k < NUM_CASES; k++) {
            read_vector(json, k, got, HIDDEN);
            assert_near(got, wanted[k], HIDDEN, 5e-5);
        }
        tn_json_destroy(json);
        tn_test_http_free(&answer);
        tn_text_deinit(&body);
    }
    serve_with("last", NULL);
}

static void both_forms_are_the_same_numbers_whatever_runs_beside_them(void **state) {
    (void)state;
    float alone[HIDDEN], other[HIDDEN];
    embed("{\"input\": \"the end\"}", alone, HIDDEN);
    embed("{\"input\": \"the end\", \"encoding_format\": \"base64\"}", other, HIDDEN);
    assert_memory_equal(alone, other, sizeof alone);
    embed("{\"input\": [\"the end\", \"a\", \"of a long story\"], \"user\": \"me\", \"cache_salt\": \"x\"}", other, HIDDEN);
    assert_memory_equal(alone, other, sizeof alone);
}

static void fewer_dimensions_are_the_first_ones_of_length_one(void **state) {
    (void)state;
    float whole[HIDDEN], part[HIDDEN];
    embed("{\"input\": \"the end\"}", whole, HIDDEN);
    embed("{\"input\": \"the end\", \"dimensions\": 64}", part, HIDDEN);
    assert_memory_equal(whole, part, sizeof whole);
    static const size_t counts[] = {1, 2, 3, 63};
    for (size_t i = 0; i < 4; i++) {
        char body[128];
        float wanted[HIDDEN];
        memcpy(wanted, whole, sizeof whole);
        make_unit(wanted, counts[i]);
        for (int form = 0; form < 2; form++) {
            snprintf(body, sizeof body, "{\"input\": \"the end\", \"dimensions\": %zu, \"encoding_format\": \"%s\"}", counts[i],
                     form == 0 ? "float" : "base64");
            embed(body, part, counts[i]);
            assert_near(part, wanted, counts[i], 1e-6);
        }
    }
}

/* --- refusals ---------------------------------------------------------------------------------------------------------------------------- */

static void wrong_fields_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"{}", "'input' is missing"},
        {"{\"input\": null}", "'input' is missing"},
        {"{\"input\": []}", "'input' is empty"},
        {"{\"input\": [[]]}", "'input' is empty"},
        {"{\"input\": [[5], []]}", "'input' is empty"},
        {"{\"input\": 5}", "\"param\": \"input\""},
        {"{\"input\": {\"text\": \"a\"}}", "\"param\": \"input\""},
        {"{\"input\": [\"a\", 5]}", "\"param\": \"input\""},
        {"{\"input\": [5, \"a\"]}", "\"param\": \"input\""},
        {"{\"input\": [320]}", "\"param\": \"input\""},
        {"{\"input\": [-1]}", "\"param\": \"input\""},
        {"{\"input\": [1.5]}", "\"param\": \"input\""},
        {"{\"input\": \"a\", \"dimensions\": 0}", "\"param\": \"dimensions\""},
        {"{\"input\": \"a\", \"dimensions\": -1}", "\"param\": \"dimensions\""},
        {"{\"input\": \"a\", \"dimensions\": 65}", "'dimensions' is 65, this model's vectors have 64"},
        {"{\"input\": \"a\", \"dimensions\": \"8\"}", "\"param\": \"dimensions\""},
        {"{\"input\": \"a\", \"encoding_format\": \"hex\"}", "'encoding_format' is 'hex', must be float or base64"},
        {"{\"input\": \"a\", \"encoding_format\": 1}", "\"param\": \"encoding_format\""},
        {"{\"input\": \"a\", \"truncate_prompt_tokens\": 3}", "'truncate_prompt_tokens' is not supported"},
        {"{\"input\": \"a\", \"max_tokens\": 3}", "this route has no field 'max_tokens'"},
        {"[]", "the body is not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(cases[i].body, 400, cases[i].words);
}

static void too_much_is_refused_with_the_limit(void **state) {
    (void)state;
    tn_text body = {0};
    tn_text_append_string(&body, "{\"input\": [[5]");
    for (int i = 0; i < 128; i++) tn_text_append_string(&body, ", [5]");
    tn_text_append_string(&body, "]}");
    expect(body.data, 400, "'input' has 129 prompts, at most 128 are taken");
    tn_text_reset(&body);
    tn_text_append_string(&body, "{\"input\": [5");
    for (int i = 0; i < 511; i++) tn_text_append_string(&body, ", 5");
    tn_text_append_string(&body, "]}");
    expect(body.data, 400, "context_length_exceeded");
    tn_text_deinit(&body);

    tn_server_options options = tn_test_server_options(&self);
    options.max_queued_requests = 2;
    options.max_queued_tokens = 4;
    serve_with("last", &options);
    expect("{\"input\": [[5], [6], [7]]}", 429, "at most 2 requests wait");
    expect("{\"input\": [5, 6, 7, 8, 9]}", 429, "at most 4 prompt tokens wait");
    expect("{\"input\": [[5, 6], [7, 8]]}", 200, "\"index\": 1");
    options = tn_test_server_options(&self);
    options.max_prompt_logits_bytes = 3 * HIDDEN * sizeof(float);
    serve_with("mean", &options); /* a row for each token, and that of the drawn one */
    expect("{\"input\": [5, 6, 7]}", 429, "hidden states wait");
    expect("{\"input\": [5, 6]}", 200, "\"index\": 0");
    serve_with("last", &options);
    expect("{\"input\": [5, 6, 7]}", 200, "\"index\": 0");
    serve_with("last", NULL);
}

static void a_strict_server_embeds_by_its_own_model_only(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.require_model_name = true;
    serve_with("last", &options);
    expect("{\"input\": \"a\", \"model\": \"other\"}", 404, "model_not_found");
    expect("{\"input\": \"a\"}", 404, "model_not_found");
    expect("{\"input\": \"a\", \"model\": \"test\"}", 200, "\"model\": \"test\"");
    serve_with("last", NULL);
}

/* More than a millisecond can hold. */
static void what_is_not_done_in_time_is_refused_whole(void **state) {
    (void)state;
    tn_text body = {0};
    tn_server_options options = tn_test_server_options(&self);
    options.request_timeout_ms = 1;
    serve_with("mean", &options);
    tn_text_append_string(&body, "{\"input\": [");
    for (int i = 0; i < 64; i++) {
        tn_text_append_format(&body, "%s[%d", i > 0 ? ", " : "", 5 + i);
        for (int k = 0; k < 400; k++) tn_text_append_string(&body, ", 6");
        tn_text_append_char(&body, ']');
    }
    tn_text_append_string(&body, "]}");
    expect(body.data, 503, "not read in time");
    tn_text_deinit(&body);
    serve_with("last", NULL);
}

static void a_client_that_leaves_leaves_nothing(void **state) {
    (void)state;
    static const char request[] = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                  "Content-Length: 27\r\n\r\n{\"input\": [[5, 6], [7, 8]]}";
    for (int i = 0; i < 20; i++) {
        int fd = tn_test_connect(self.port);
        assert_true(tn_test_send_text(fd, request));
        close(fd);
    }
    tn_test_server_settle(&self); /* and tn_test_server_stop looks again */
}

static void poolings_other_than_the_two_are_refused(void **state) {
    (void)state;
    tn_server *server;
    tn_diag *diag;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_server_options options = tn_test_server_options(&self);
    options.executor = self.decoder.executor;
    options.diag = diag;
    options.pooling = "max";
    assert_int_equal(tn_server_create(&options, &server), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot start the server: pooling is 'max', must be last or mean");
    tn_diag_destroy(diag);
}

static int open_all(void **state) {
    (void)state;
    tn_test_server_open_for_embeddings(&self, "cpu");
    tn_test_server_start(&self, NULL, NULL);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tn_test_server_close(&self);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_hugging_faces_hidden_states),
        cmocka_unit_test(both_forms_are_the_same_numbers_whatever_runs_beside_them),
        cmocka_unit_test(fewer_dimensions_are_the_first_ones_of_length_one),
        cmocka_unit_test(wrong_fields_are_refused_by_name),
        cmocka_unit_test(too_much_is_refused_with_the_limit),
        cmocka_unit_test(a_strict_server_embeds_by_its_own_model_only),
        cmocka_unit_test(what_is_not_done_in_time_is_refused_whole),
        cmocka_unit_test(a_client_that_leaves_leaves_nothing),
        cmocka_unit_test(poolings_other_than_the_two_are_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
