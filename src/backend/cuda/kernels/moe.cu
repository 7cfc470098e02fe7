/* SPDX-License-Identifier: Apache-2.0
 *
 * moe.cu: ROUTE (which experts a token goes to, tokens sorted by expert) and COMBINE (their weighted sum).
 */
#include "backend/cuda/kernels/common.cuh"

/* constants, as in tactics/moe.c */
enum {
    NUM_TOKENS,
    NUM_EXPERTS,
    TOP_K,
    ROUTE_TYPE,
    RENORMALIZE,
    SCALE,
    HAS_BIAS,
    OUTPUT /* its first buffer; workspace: + 3 */,
    GROUPS,
    TOP_GROUPS
};
enum { MAX_EXPERTS = 512, FEW_EXPERTS = 128, ROUTE_WARPS = 4, SORT_WARPS = 8 };

/* Experts outside the best groups get keys that no other expert's is below. scores: room for each group's, of this warp alone */
template <int PER_LANE> static __device__ void drop_groups(const tn_cuda_args &args, float (&keys)[PER_LANE], float *scores) {
    int lane = threadIdx.x % 32, experts = (int)args.constants[NUM_EXPERTS], count = (int)args.constants[GROUPS], size = experts / count;
    bool adds = args.constants[ROUTE_TYPE] == TN_ROUTE_SIGMOID_TOPK && size > 1;
    for (int group = 0; group < count; group++) {
        float first = -INFINITY, second = -INFINITY;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            if (i * 32 + lane >= experts || (i * 32 + lane) / size != group) continue;
            second = keys[i] > first ? first : keys[i] > second ? keys[i] : second;
            first = keys[i] > first ? keys[i] : first;
        }
        for (int offset = 16; offset > 0; offset >>= 1) {
            float other_first = __shfl_xor_sync(0xffffffffu, first, offset), other_second = __shfl_xor_sync(0xffffffffu, second, offset);
            second = fmaxf(fminf(first, other_first), fmaxf(second, other_second));
            first = fmaxf(first, other_first);
        }
        if (lane == 0) scores[group] = adds ? first + second : first;
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        int own = (i * 32 + lane) / size, better = 0;
        if (i * 32 + lane >= experts) continue;
        for (int group = 0; group < count; group++) better += scores[group] > scores[own] || (scores[group] == scores[own] && group < own);
        if (better >= args.constants[TOP_GROUPS]) keys[i] = -INFINITY;
    }
}

/* A number whose order is that of keys: 0 for none, 1 for NaN, which is chosen last, equal for both zeros. */
__device__ __forceinline__ uint32_t rank_of(float key) {
    uint32_t bits = __float_as_uint(key + 0.0f);
    return key != key ? 1 : bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

/* A warp a token: lane l holds experts l, l + 32 … The choices go to the workspace i32 [T, K], their scores to output 2.
 * group_scores: shared, [32 · PER_LANE], of this warp alone. */
template <int PER_LANE> __device__ __forceinline__ void choose_experts(const tn_cuda_args &args, int token, float *group_scores) {
    int lane = threadIdx.x % 32, experts = (int)args.constants[NUM_EXPERTS];
    int top_k = (int)args.constants[TOP_K], type = (int)args.constants[ROUTE_TYPE], output = (int)args.constants[OUTPUT];
    const float *logits = (const float *)args.buffers[0] + (int64_t)token * experts;
    const float *bias = args.constants[HAS_BIAS] ? (const float *)args.buffers[1] : nullptr;
    float scores[PER_LANE], keys[PER_LANE], largest = -INFINITY, sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        scores[i] = i * 32 + lane < experts ? logits[i * 32 + lane] : -INFINITY;
        keys[i] = bias != nullptr && i * 32 + lane < experts ? bias[i * 32 + lane] : 0.0f;
        largest = fmaxf(largest, scores[i]);
    }
    largest = warp_max(largest);
#pragma unroll
    for (int i = 0; i < PER_LANE; i++)
        if (i * 32 + lane < experts) sum += expf(scores[i] - largest);
    sum = warp_sum(sum);
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        if (i * 32 + lane >= experts) continue;
        if (type == TN_ROUTE_SOFTMAX_TOPK) scores[i] = expf(scores[i] - largest) / sum;
        if (type == TN_ROUTE_SIGMOID_TOPK) scores[i] = 1.0f / (1.0f + expf(-scores[i]));
        keys[i] += scores[i];
    }
    if (args.constants[GROUPS] > 1) drop_groups<PER_LANE>(args, keys, group_scores);
    uint32_t ranks[PER_LANE]; /* 0 once taken */
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) ranks[i] = i * 32 + lane < experts ? rank_of(keys[i]) : 0;
    int32_t *chosen = (int32_t *)args.buffers[output + 3] + (int64_t)token * top_k;
    float *out = (float *)args.buffers[output + 2] + (int64_t)token * top_k, total = 0.0f, first = 0.0f;
    for (int choice = 0; choice < top_k; choice++) {
        /* the largest key, the lower expert among equals */
        uint32_t best_rank = 0, best = MAX_EXPERTS;
        float best_score = 0.0f;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++)
            if (ranks[i] > best_rank) best_rank = ranks[i], best = i * 32 + lane, best_score = scores[i];
        uint32_t highest = __reduce_max_sync(0xffffffffu, best_rank);
        best = __reduce_min_sync(0xffffffffu, best_rank == highest ? best : MAX_EXPERTS);
        best_score = __shfl_sync(0xffffffffu, best_score, best % 32);
#pragma unroll
        for (int i = 0; i < PER_LANE; i++)
            if (i * 32 + lane == best) ranks[i] = 0;
        if (choice == 0) first = best_score;
        total += type == TN_ROUTE_TOPK_SOFTMAX ? expf(best_score - first) : best_score;
        if (lane == 0) chosen[choice] = (int)best, out[choice] = best_score;
    }
    __syncwarp();
    for (int choice = lane; choice < top_k; choice += 32) {
        float score = out[choice];
        if (type == TN_ROUTE_TOPK_SOFTMAX)
            score = expf(score - first) / total;
        else if (args.constants[RENORMALIZE])
            score /= total;
        out[choice] = score * (float)constant_real(args, SCALE);
    }
}

template <int PER_LANE> __device__ __forceinline__ void choose_for_tokens(const tn_cuda_args &args) {
    __shared__ float group_scores[ROUTE_WARPS][32 * PER_LANE];
    int token = blockIdx.x * ROUTE_WARPS + threadIdx.x / 32;
    let_next_start();
    wait_for_previous();
    if (token < args.constants[NUM_TOKENS]) choose_experts<PER_LANE>(args, token, group_scores[threadIdx.x / 32]);
}

TN_KERNEL(route_choose, 32 * ROUTE_WARPS) {
    choose_for_tokens<MAX_EXPERTS / 32>(args);
}
TN_KERNEL(route_choose_few, 32 * ROUTE_WARPS) {
    choose_for_tokens<FEW_EXPERTS / 32>(args);
}

/* A block an expert, and one more for the end: where its tokens begin, then the tokens in ascending order. Each warp takes a stretch of
 * the choices: it counts, then places behind what the warps before it counted. */
TN_KERNEL(route_sort, 32 * SORT_WARPS) {
    __shared__ int lower[SORT_WARPS], equal[SORT_WARPS];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, expert = blockIdx.x, output = (int)args.constants[OUTPUT];
    int count = (int)(args.constants[NUM_TOKENS] * args.constants[TOP_K]), stretch = (count + 32 * SORT_WARPS - 1) / (32 * SORT_WARPS) * 32;
    int first = warp * stretch, end = first + stretch < count ? first + stretch : count, num_lower = 0, num_equal = 0;
    const int32_t *chosen = (const int32_t *)args.buffers[output + 3];
    int32_t *start = (int32_t *)args.buffers[output], *order = (int32_t *)args.buffers[output + 1];
    let_next_start();
    wait_for_previous();
#pragma unroll 4
    for (int i = first + lane; i < end; i += 32) {
        int choice = chosen[i];
        num_lower += choice < expert, num_equal += choice == expert;
    }
    for (int offset = 16; offset > 0; offset >>= 1) {
        num_lower += __shfl_xor_sync(0xffffffffu, num_lower, offset);
        num_equal += __shfl_xor_sync(0xffffffffu, num_equal, offset);
    }
    if (lane == 0) lower[warp] = num_lower, equal[warp] = num_equal;
    __syncthreads();
    int begin = 0, before = 0;
    for (int w = 0; w < SORT_WARPS; w++) begin += lower[w], before += w < warp ? equal[w] : 0;
    if (threadIdx.x == 0) start[expert] = begin;
    before += begin;
#pragma unroll 4
    for (int i = first; i < end; i += 32) {
        int at = i + lane;
        bool is_mine = at < end && chosen[at] == expert;
        uint32_t mine = __ballot_sync(0xffffffffu, is_mine);
        if (is_mine) order[before + __popc(mine & ((1u << lane) - 1u))] = at;
        before += __popc(mine);
    }
}

/* --- COMBINE. buffers: y sorted [T·K, n], order, scores [T, K], out; workspace i32 [T·K]: where each choice stands ---------------- */

enum { COMBINE_ROWS /* T·K */, COMBINE_COLUMNS, COMBINE_TOP_K, COMBINE_SEARCHES /* few rows: there is no workspace */ };

TN_KERNEL(combine_places, 256) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (i < args.constants[COMBINE_ROWS]) ((int32_t *)args.buffers[4])[((const int32_t *)args.buffers[1])[i]] = i;
}

TN_KERNEL(combine, 256) {
    __shared__ int32_t found[MAX_EXPERTS];
    int columns = (int)args.constants[COMBINE_COLUMNS], top_k = (int)args.constants[COMBINE_TOP_K], token = blockIdx.x;
    int column = blockIdx.y * blockDim.x + threadIdx.x;
    const int32_t *order = (const int32_t *)args.buffers[1], *places = found;
    let_next_start();
    wait_for_previous();
    if (args.constants[COMBINE_SEARCHES]) {
        for (int i = threadIdx.x; i < args.constants[COMBINE_ROWS]; i += blockDim.x) {
            int choice = order[i] - token * top_k;
            if (choice >= 0 && choice < top_k) found[choice] = i;
        }
        __syncthreads();
    } else {
        places = (const int32_t *)args.buffers[4] + (int64_t)token * top_k;
    }
    if (column >= columns) return;
    const float *scores = (const float *)args.buffers[2] + (int64_t)token * top_k, *y = (const float *)args.buffers[0];
    float sum = 0.0f;
    for (int choice = 0; choice < top_k; choice++) sum += scores[choice] * y[(int64_t)places[choice] * columns + column];
    ((float *)args.buffers[3])[(int64_t)token * columns + column] = sum;
}
