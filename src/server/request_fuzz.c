/* SPDX-License-Identifier: Apache-2.0
 *
 * request_fuzz.c: bodies through the table of fields, as every route reads them; and the stop filter with texts cut
 * anywhere. The first byte chooses the route, or the filter.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/fields.h"
#include "server/stop_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(int route, const char *body, size_t size, tn_diag *diag) {
    tn_json *json = NULL;
    tn_api_error error = {0};
    tn_api_fields fields;
    tn_text text = {0};
    if (!tn_fields_parse(body, size, NULL, diag, &json, &error)) {
        if (error.status < 400 || error.message[0] == '\0') abort();
        return;
    }
    error.status = 0;
    if (!tn_fields_read(tn_json_root(json), route, diag, &fields, &error) && error.status != 400) abort();
    tn_api_error_write(&error, &text);
    tn_json_destroy(json);
    tn_text_deinit(&text);
}

/* step, then stop strings of up to 3 bytes each, then text: in one piece and in pieces the same comes out. */
static void filter_text(const char *data, size_t size) {
    enum { NUM_STOPS = 3 };
    const char *strings[NUM_STOPS];
    size_t sizes[NUM_STOPS], used = 1;
    if (size < 16) return;
    size_t step = 1 + (uint8_t)data[0] % 7;
    for (int i = 0; i < NUM_STOPS; i++) {
        sizes[i] = 1 + (uint8_t)data[used] % 3;
        strings[i] = data + used + 1;
        used += 1 + sizes[i];
    }
    tn_stop_strings stops = {strings, sizes, NUM_STOPS, (data[0] & 1) != 0};
    tn_stop_filter whole = {.stops = &stops}, parts = whole;
    tn_text all = {0}, pieces = {0};
    if (tn_stop_filter_push(&whole, data + used, size - used, &all)) tn_stop_filter_finish(&whole, &all);
    bool goes_on = true;
    for (size_t at = used; goes_on && at < size; at += step)
        goes_on = tn_stop_filter_push(&parts, data + at, size - at < step ? size - at : step, &pieces);
    if (goes_on) tn_stop_filter_finish(&parts, &pieces);
    if (all.size != pieces.size || whole.found != parts.found || (all.size > 0 && memcmp(all.data, pieces.data, all.size) != 0)) abort();
    tn_stop_filter_deinit(&whole);
    tn_stop_filter_deinit(&parts);
    tn_text_deinit(&all);
    tn_text_deinit(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (size == 0) return 0;
    const char *rest = (const char *)data + 1;
    if (data[0] % 8 >= 6) {
        filter_text(rest, size - 1);
        return 0;
    }
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    read_body(1 << data[0] % 8, rest, size - 1, diag);
    tn_diag_destroy(diag);
    return 0;
}
