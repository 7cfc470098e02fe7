/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.c: what must hold between the fields of any decoder's configuration.
 */
#include "model/model_config.h"

#include <math.h>

tn_status tn_model_config_check(const tn_model_config *config, const char *file, tn_diag *diag) {
    tn_where where = {.file = file};
    if (config->num_heads % config->num_kv_heads != 0)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: %lld attention heads cannot share %lld key/value heads evenly", file,
                          (long long)config->num_heads, (long long)config->num_kv_heads);
    if (config->head_dim < 1 || config->head_dim > 1024 || config->head_dim % 2 != 0)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: the head size is %lld, must be even and 2 to 1024", file,
                          (long long)config->head_dim);
    bool is_rotated = config->rope.theta > 0.0;
    if ((is_rotated && config->rope.dim < 2) || config->rope.dim % 2 != 0 || config->rope.dim > config->head_dim)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: the rotated part of a head is %lld of %lld, must be even and not 0", file,
                          (long long)config->rope.dim, (long long)config->head_dim);
    if (config->rope.scaling == TN_ROPE_DYNAMIC && config->rope.dim <= 2)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: dynamic rotary scaling needs a rotated part above 2", file);
    const tn_route_params route = {
        .top_k = config->experts_per_token, .groups = config->expert_groups, .top_groups = config->chosen_groups};
    if (!tn_route_groups_fit(&route, config->num_experts))
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: %lld of %lld experts cannot come out of %lld of %lld groups", file,
                          (long long)config->experts_per_token, (long long)config->num_experts, (long long)config->chosen_groups,
                          (long long)config->expert_groups);
    if (!isfinite(config->norm_epsilon))
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "%s: the norm's epsilon is not a finite number", file);
    return TN_OK;
}
