/* SPDX-License-Identifier: Apache-2.0
 *
 * elements.h: how kernels over whole tensors are told the types of elements and the places of operands that broadcast. For the
 * tactics in C and the kernels in CUDA C.
 *
 * An axis of a walk is one constant: its size in the low 32 bits; above them, bit k: operand k has the axis (of its own
 * elements, in row-major order), else it repeats along it. Axes come in the output's order; a walk of none goes through all
 * operands side by side.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ELEMENTS_H_
#define TN_BACKEND_CUDA_KERNELS_ELEMENTS_H_

/* Floats first: those are computed in float32, the others in 64-bit integers. */
enum {
    TN_ELEMENT_F32 = 0,
    TN_ELEMENT_F16,
    TN_ELEMENT_BF16,
    TN_ELEMENT_BOOL,
    TN_ELEMENT_I8,
    TN_ELEMENT_U8,
    TN_ELEMENT_I32,
    TN_ELEMENT_I64,
};

/* Constants of the kernels of elementwise.cu; move.cu and place.cu have the first. */
enum {
    TN_ELEMENTS_COUNT = 0, /* of the output */
    TN_ELEMENTS_KIND,      /* the operation of its kind; SELECT: bytes of an element */
    TN_ELEMENTS_INPUT,     /* TN_ELEMENT_… of the inputs */
    TN_ELEMENTS_OUTPUT,    /* and of the output */
    TN_ELEMENTS_ALPHA,     /* float64 */
    TN_ELEMENTS_BETA,
    TN_ELEMENTS_NUM_AXES,
    TN_ELEMENTS_AXES, /* up to 8 */
};

#endif
