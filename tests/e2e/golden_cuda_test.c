/* SPDX-License-Identifier: Apache-2.0
 *
 * golden_cuda_test.c: golden models on a GPU.
 */
#include "e2e/golden.h"

int main(void) {
    return golden_main("cuda");
}
