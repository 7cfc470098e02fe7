/* SPDX-License-Identifier: Apache-2.0
 *
 * hello.c: the smallest program with the installed library; install_test.sh compiles it.
 */
#include <tenon/diag.h>

int main(void) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 1;
    size_t num_entries = tn_diag_num_entries(diag);
    tn_diag_destroy(diag);
    return num_entries == 0 ? 0 : 1;
}
