/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/status.h: what a call answers. The code says what the caller can do; the words are in a tn_diag (tenon/diag.h).
 */
#ifndef TENON_STATUS_H_
#define TENON_STATUS_H_

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TN_API                               __attribute__((visibility("default")))
#define TN_MUST_CHECK                        __attribute__((warn_unused_result))
#define TN_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define TN_API
#define TN_MUST_CHECK
#define TN_PRINTF(format_index, first_index)
#endif

/* The numbers are stable: new codes are added at the end. */
typedef enum tn_status {
    TN_OK = 0,
    TN_INVALID_ARGUMENT = 1, /* the call is wrong: fix the program */
    TN_INVALID_DATA = 2,     /* a file, model or message is damaged or contradicts itself: fix the input */
    TN_NOT_FOUND = 3,        /* no such file, tensor, request: fix the name */
    TN_UNSUPPORTED = 4,      /* valid, but Tenon does not do it: the message names what */
    TN_INCOMPATIBLE = 5,     /* made for another device or version: the hint has the command that remakes it */
    TN_OUT_OF_MEMORY = 6,    /* less work at once, or a larger limit; nothing was lost */
    TN_UNAVAILABLE = 7,      /* full or busy: back off and retry */
    TN_CANCELLED = 8,        /* the caller asked for it */
    TN_TIMED_OUT = 9,        /* the time the caller gave is over; the work may still go on */
    TN_IO_ERROR = 10,        /* the operating system refused: the message has its reason */
    TN_INTERNAL = 11,        /* a defect of Tenon: report it */
} tn_status;

/* "out of memory" for TN_OUT_OF_MEMORY and so on; never NULL. Static. */
TN_API const char *tn_status_name(tn_status status);

#ifdef __cplusplus
}
#endif
#endif
