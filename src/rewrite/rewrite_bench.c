/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_bench.c: a pattern that matches a tenth of 10,000, 30,000 and 100,000 layers, through the public side. Seconds must grow
 * as layers do; at 100,000 they must stay under 2.
 */
#include <stdio.h>
#include <time.h>

#include "tenon/rewrite.h"

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool sum_becomes_sub(tn_rewriter *rewriter, tn_layer *layer) {
    if (!tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM)) return false;
    tn_layer *sub =
        tn_network_add_elementwise(tn_rewriter_network(rewriter), tn_layer_input(layer, 0), tn_layer_input(layer, 1), TN_ELEMENTWISE_SUB);
    return tn_tensor_replace_all_uses_with(tn_layer_output(layer, 0), tn_layer_output(sub, 0)) == TN_OK;
}

/* False: it failed. */
static bool measure(tn_pattern_manager *manager, int num_layers, int round) {
    tn_network *network;
    if (tn_network_create(NULL, &network) != TN_OK) return false;
    double begin = now_s();
    tn_tensor *x = tn_network_add_input(network, "x", TN_FLOAT32, TN_DIMS(-1, 64)), *y = x;
    for (int i = 0; i < num_layers; i++)
        y = tn_layer_output(tn_network_add_elementwise(network, y, x, i % 10 == 0 ? TN_ELEMENTWISE_SUM : TN_ELEMENTWISE_PROD), 0);
    tn_network_mark_output(network, y, "y");
    double made = now_s();
    size_t count = 0;
    tn_status status = tn_pattern_manager_rewrite(manager, network, NULL, &count);
    double end = now_s();
    printf("round %d  %7d layers  %6zu rewrites  define %.3f s  rewrite %.3f s  %.0f ns a layer\n", round, num_layers, count, made - begin,
           end - made, 1e9 * (end - made) / num_layers);
    tn_network_destroy(network);
    return status == TN_OK && count == (size_t)num_layers / 10;
}

int main(void) {
    tn_pattern_rewriter pattern;
    tn_pattern_rewriter_init(&pattern);
    pattern.name = "sum_becomes_sub";
    pattern.root_kinds = (const char *const[]){"elementwise"};
    pattern.num_root_kinds = 1;
    pattern.match_and_rewrite = sum_becomes_sub;
    tn_pattern_manager *manager;
    bool good = tn_pattern_manager_create(NULL, &manager) == TN_OK && tn_pattern_manager_add_rewriter(manager, NULL, &pattern) == TN_OK;
    static const int sizes[] = {10000, 30000, 100000};
    for (int round = 1; good && round <= 3; round++)
        for (int i = 0; good && i < 3; i++) good = measure(manager, sizes[i], round);
    tn_pattern_manager_destroy(manager);
    return good ? 0 : 1;
}
