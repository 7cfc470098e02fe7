/* SPDX-License-Identifier: Apache-2.0
 *
 * golden_cpu_test.c: golden models on cpu.
 */
#include "e2e/golden.h"

int main(void) {
    return golden_main("cpu");
}
