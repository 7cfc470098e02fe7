/* SPDX-License-Identifier: Apache-2.0
 *
 * move.h: what the tactics that move and place values share (move.c, place.c, ordering.c).
 */
#ifndef TN_BACKEND_CPU_TACTICS_MOVE_H_
#define TN_BACKEND_CPU_TACTICS_MOVE_H_

#include "backend/cpu/tactics/tactics.h"
#include "backend/cpu/tensor.h"

enum { TN_CPU_MOVE_CHUNK = 1024 }; /* elements of a tile along a row */

/* Elements of 8 to 128 bits; the places count in elements. A source stride of 0 repeats one. */
void tn_cpu_copy_elements(unsigned bits, char *dst, int64_t dst_at, int64_t dst_stride, const char *src, int64_t src_at, int64_t src_stride,
                          int64_t count);

tn_status tn_cpu_move_launch(tn_tile_function run, int64_t num_tiles, int64_t bytes_per_tile, tn_launch *out_launch);

/* Input 0 to output 0, byte by byte. */
void tn_cpu_copy_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
int64_t tn_cpu_num_copy_tiles(const tensor *t);

#endif
