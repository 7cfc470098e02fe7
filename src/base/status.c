/* SPDX-License-Identifier: Apache-2.0
 *
 * status.c: the names of the status codes.
 */
#include "tenon/status.h"

const char *tn_status_name(tn_status status) {
    switch (status) {
    case TN_OK: return "ok";
    case TN_INVALID_ARGUMENT: return "invalid argument";
    case TN_INVALID_DATA: return "invalid data";
    case TN_NOT_FOUND: return "not found";
    case TN_UNSUPPORTED: return "unsupported";
    case TN_INCOMPATIBLE: return "incompatible";
    case TN_OUT_OF_MEMORY: return "out of memory";
    case TN_UNAVAILABLE: return "unavailable";
    case TN_CANCELLED: return "cancelled";
    case TN_TIMED_OUT: return "timed out";
    case TN_IO_ERROR: return "input/output error";
    case TN_INTERNAL: return "internal error";
    }
    return "unknown status";
}
