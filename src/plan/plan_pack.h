/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_pack.h: inside of the plan writer: the bytes of the weights, packed by many threads.
 */
#ifndef TN_PLAN_PLAN_PACK_H_
#define TN_PLAN_PLAN_PACK_H_

#include "plan/plan_writer.h"

/* Packs every INLINE weight to its offset from `dst`, or from `file_offset` in a file, and records the hashes. */
TN_MUST_CHECK tn_status tn_plan_pack_to_memory(tn_plan_writer *writer, const tn_plan_write_options *options, uint8_t *dst);
TN_MUST_CHECK tn_status tn_plan_pack_to_file(tn_plan_writer *writer, const tn_plan_write_options *options, tn_file_writer *file,
                                             uint64_t file_offset);

#endif
