/* SPDX-License-Identifier: Apache-2.0
 *
 * sse_fuzz.c: any bytes as a stream of events. Byte by byte they must be what they are at once.
 */
#include <assert.h>
#include <string.h>

#include "cli/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tn_status read_all(tn_sse *sse, const char *bytes, size_t size, size_t piece, tn_text *events) {
    for (size_t at = 0; at < size; at += piece) {
        const char *part = bytes + at, *event;
        size_t part_size = size - at < piece ? size - at : piece, event_size;
        do {
            tn_status status = tn_sse_next(sse, &part, &part_size, &event, &event_size);
            if (status != TN_OK) return status;
            if (event == NULL) break;
            tn_text_append(events, event, event_size + 1); /* with its NUL */
        } while (event != NULL);
        assert(part_size == 0);
    }
    return TN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_sse whole, pieces;
    tn_text whole_events = {0}, pieces_events = {0};
    tn_sse_init(&whole, NULL);
    tn_sse_init(&pieces, NULL);
    tn_status status = read_all(&whole, (const char *)data, size, size > 0 ? size : 1, &whole_events);
    tn_status status_of_pieces = read_all(&pieces, (const char *)data, size, 1, &pieces_events);
    assert(status == status_of_pieces);
    assert(whole_events.size == pieces_events.size);
    assert(whole_events.size == 0 || memcmp(whole_events.data, pieces_events.data, whole_events.size) == 0);
    tn_sse_deinit(&whole);
    tn_sse_deinit(&pieces);
    tn_text_deinit(&whole_events);
    tn_text_deinit(&pieces_events);
    return 0;
}
