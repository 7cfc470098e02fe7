/* SPDX-License-Identifier: Apache-2.0
 *
 * quote.c: names out of untrusted files, made fit for a message.
 */
#include "format/quote.h"

#include <string.h>

#include "base/text.h"

enum { max_bytes = 96 };

const char *tn_quote(const char *bytes, size_t size, char buffer[TN_QUOTE_SIZE]) {
    size_t in = 0, out = 0;
    while (in < size) {
        uint32_t code_point = 0;
        int length = tn_utf8_decode(bytes + in, size - in, &code_point);
        size_t step = length > 0 ? (size_t)length : 1;
        if (out + step > max_bytes) {
            memcpy(buffer + out, "...", 3);
            out += 3;
            break;
        }
        /* C0, DEL, C1, the line separators and the marks that reorder text. */
        bool unfit = length <= 0 || code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
                     (code_point >= 0x2028 && code_point <= 0x202e) || (code_point >= 0x2066 && code_point <= 0x2069);
        if (unfit) {
            buffer[out++] = '?';
        } else {
            memcpy(buffer + out, bytes + in, step);
            out += step;
        }
        in += step;
    }
    buffer[out] = 0;
    return buffer;
}
