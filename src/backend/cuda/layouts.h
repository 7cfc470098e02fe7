/* SPDX-License-Identifier: Apache-2.0
 *
 * layouts.h: the packed weight layouts of the cuda backend, for its table of them and for tactics. Host only: what kernels
 * know of a layout stands in layout_planes.h.
 */
#ifndef TN_BACKEND_CUDA_LAYOUTS_H_
#define TN_BACKEND_CUDA_LAYOUTS_H_

#include "backend/cuda/layout_planes.h"
#include "op/layout.h"

#define TN_NUM_CUDA_LAYOUTS 3
extern const tn_layout *const tn_cuda_layouts[TN_NUM_CUDA_LAYOUTS];

/* The planes that a weight's encoding is packed as; false: none. */
bool tn_planes_type_of(const tn_encoding *encoding, tn_planes_type *out_type);
const char *tn_planes_layout_name(tn_planes_type type); /* "planes_q4_1" */

#endif
