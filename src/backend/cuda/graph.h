/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.h: segments that come again. A segment with the same steps, launches and buffers as before is captured once and replayed:
 * one call of the driver in place of one a kernel, and shorter gaps between kernels.
 */
#ifndef TN_BACKEND_CUDA_GRAPH_H_
#define TN_BACKEND_CUDA_GRAPH_H_

#include "backend/cuda/device.h"

/* Tells what to do with this segment: launches the graph (*out_is_done), or leaves it to the caller. Between enter and leave. */
tn_status tn_cuda_graphs_run(tn_cuda_stream *stream, const tn_bound_step *steps, size_t num_steps, tn_diag *diag, bool *out_is_done);
void tn_cuda_graphs_deinit(tn_cuda_stream *stream); /* the stream is idle */

#endif
