/* SPDX-License-Identifier: Apache-2.0
 *
 * little_endian.h: integers at any address of a file, whatever the machine's byte order.
 */
#ifndef TN_FORMAT_LITTLE_ENDIAN_H_
#define TN_FORMAT_LITTLE_ENDIAN_H_

#include <stdint.h>

static inline uint64_t tn_load_le(const uint8_t *bytes, int size_bytes) {
    uint64_t value = 0;
    for (int i = size_bytes - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}
static inline uint32_t tn_load_le32(const uint8_t *bytes) {
    return (uint32_t)tn_load_le(bytes, 4);
}
static inline uint64_t tn_load_le64(const uint8_t *bytes) {
    return tn_load_le(bytes, 8);
}
static inline void tn_store_le(uint8_t *bytes, int size_bytes, uint64_t value) {
    for (int i = 0; i < size_bytes; i++, value >>= 8) bytes[i] = (uint8_t)value;
}

#endif
