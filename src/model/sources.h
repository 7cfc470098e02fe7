/* SPDX-License-Identifier: Apache-2.0
 *
 * sources.h: weight sources over open container files. The container is borrowed and must outlive the source.
 */
#ifndef TN_MODEL_SOURCES_H_
#define TN_MODEL_SOURCES_H_

#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/quantization.h"
#include "weights/weights.h"

/* Both refuse at once, naming tensor and type, a file that holds a matrix of a type without an encoding, or a quantised weight
 * whose tensors do not fit each other. */
TN_MUST_CHECK tn_status tn_safetensors_source_create(tn_safetensors *files, const tn_quantization *quantization,
                                                     const tn_allocator *allocator, tn_diag *diag, tn_weight_source **out_source);
TN_MUST_CHECK tn_status tn_gguf_source_create(tn_gguf *gguf, const tn_allocator *allocator, tn_diag *diag, tn_weight_source **out_source);

#endif
