/* SPDX-License-Identifier: Apache-2.0
 *
 * http_response_fuzz.c: any bytes as a response. Byte by byte it must be what it is at once.
 */
#include <assert.h>
#include <string.h>

#include "cli/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tn_status read_all(tn_http_response *response, const char *bytes, size_t size, size_t piece, tn_text *body) {
    size_t at = 0;
    while (at < size && !response->is_complete) {
        const char *part;
        size_t used, part_size;
        tn_status status = tn_http_response_feed(response, bytes + at, size - at < piece ? size - at : piece, &used, &part, &part_size);
        if (status != TN_OK) return status;
        assert(used > 0 && used <= piece);
        tn_text_append(body, part, part_size);
        at += used;
    }
    return response->is_complete ? TN_OK : tn_http_response_end(response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_http_response whole, pieces;
    tn_text whole_body = {0}, pieces_body = {0};
    tn_http_response_init(&whole, NULL);
    tn_http_response_init(&pieces, NULL);
    tn_status status = read_all(&whole, (const char *)data, size, size, &whole_body);
    tn_status status_of_pieces = read_all(&pieces, (const char *)data, size, 1, &pieces_body);
    assert(status == status_of_pieces && (status == TN_OK || strcmp(whole.error, pieces.error) == 0));
    assert(whole_body.size == pieces_body.size);
    assert(whole_body.size == 0 || memcmp(whole_body.data, pieces_body.data, whole_body.size) == 0);
    tn_http_response_deinit(&whole);
    tn_http_response_deinit(&pieces);
    tn_text_deinit(&whole_body);
    tn_text_deinit(&pieces_body);
    return 0;
}
