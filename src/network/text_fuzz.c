/* SPDX-License-Identifier: Apache-2.0
 *
 * text_fuzz.c: any bytes as the text of a network; what is read prints, verifies and sweeps.
 * covers: parse.c print.c shape.c shape_basic.c shape_move.c shape_matmul.c shape_control.c shape_decoder.c host_values.c
 */
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "network/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_network_options options;
    tn_network_options_init(&options);
    if (tn_diag_create(NULL, &options.diag) != TN_OK) return 0;
    char *text = tn_copy_bytes(NULL, data, size);
    tn_network *network = text != NULL ? tn_network_parse(text, NULL, &options) : NULL;
    if (network != NULL) {
        tn_text printed = {.max_size = 1 << 20};
        tn_network_print(network, &printed);
        tn_text_deinit(&printed);
        (void)tn_network_verify(network, options.diag);
        tn_network_sweep(network);
    }
    tn_network_destroy(network);
    tn_free(NULL, text);
    tn_diag_destroy(options.diag);
    return 0;
}
