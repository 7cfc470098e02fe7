/* SPDX-License-Identifier: Apache-2.0
 *
 * golden_ref_test.c: golden models on ref.
 */
#include "e2e/golden.h"

int main(void) {
    return golden_main("ref");
}
