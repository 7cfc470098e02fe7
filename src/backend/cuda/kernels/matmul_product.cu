/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_product.cu: y = a · b of two float32 matrices however they stand: either may be transposed, a vector, or a batch whose
 * leading dimensions broadcast. A thread makes one value, k ascending. Not for speed: what is large is a linear layer.
 */
#include "backend/cuda/kernels/common.cuh"

/* tactics/matmul_product.c has the same list. Strides in values; the batch is outer × inner. */
enum { N, K, OUTPUT, A_ROW, A_K, B_K, B_COLUMN, PER_BATCH, INNER, A_OUTER, A_INNER, B_OUTER, B_INNER, COUNT };

TN_KERNEL(product, 256) {
    const long long *c = args.constants;
    long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (index >= c[COUNT]) return;
    long long batch = index / c[PER_BATCH], row = index % c[PER_BATCH] / c[N], column = index % c[N];
    const float *a = (const float *)args.buffers[0] + batch / c[INNER] * c[A_OUTER] + batch % c[INNER] * c[A_INNER] + row * c[A_ROW];
    const float *b = (const float *)args.buffers[1] + batch / c[INNER] * c[B_OUTER] + batch % c[INNER] * c[B_INNER] + column * c[B_COLUMN];
    float sum = 0.0f;
    for (long long i = 0; i < c[K]; i++) sum = fmaf(a[i * c[A_K]], b[i * c[B_K]], sum);
    ((float *)args.buffers[c[OUTPUT]])[index] = sum;
}
