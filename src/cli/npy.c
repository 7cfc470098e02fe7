/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c: magic, version, a Python dict padded with spaces to a multiple of 64, then the values.
 */
#include "cli/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

bool tn_npy_write(const char *path, const float *values, int64_t rows, int64_t columns) {
    enum { HEADER_BYTES = 128, PREFIX_BYTES = 10 };
    char header[HEADER_BYTES];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(HEADER_BYTES - PREFIX_BYTES);
    header[9] = 0;
    char dict[HEADER_BYTES - PREFIX_BYTES];
    int length = snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }", (long long)rows,
                          (long long)columns);
    memcpy(header + PREFIX_BYTES, dict, (size_t)length);
    header[HEADER_BYTES - 1] = '\n';

    tn_file_writer *writer;
    if (tn_file_writer_create(path, NULL, NULL, &writer) != TN_OK) return false;
    tn_status status = tn_file_writer_write_at(writer, 0, header, sizeof header);
    if (status == TN_OK) status = tn_file_writer_write_at(writer, sizeof header, values, (size_t)(rows * columns) * sizeof *values);
    if (status == TN_OK) status = tn_file_writer_commit(writer);
    tn_file_writer_destroy(writer);
    return status == TN_OK;
}
