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
enum { MAX_EXPERTS = 512, PER_LANE = MAX_EXPERTS / 32, ROUTE_WARPS = 4 };

/* Experts outside the best groups get keys that no other expert's is below. scores: room for each group's, of this warp alone */
static __device__ void drop_groups(const tn_cuda_args &args, float (&keys)[PER_LANE], float *scores) {
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

/* A warp a token: lane l holds experts l, l + 32 … The choices go to the workspace i32 [T, K], their scores to output 2. */
TN_KERNEL(route_choose, 32 * ROUTE_WARPS) {
    int lane = threadIdx.x % 32, token = blockIdx.x * ROUTE_WARPS + threadIdx.x / 32, experts = (int)args.constants[NUM_EXPERTS];
    int top_k = (int)args.constants[TOP_K], type = (int)args.constants[ROUTE_TYPE], output = (int)args.constants[OUTPUT];
    let_next_start();
    wait_for_previous();
    if (token >= args.constants[NUM_TOKENS]) return;
    const float *logits = (const float *)args.buffers[0] + (int64_t)token * experts;
    const float *bias = args.constants[HAS_BIAS] ? (const float *)args.buffers[1] : nullptr;
    float scores[PER_LANE], keys[PER_LANE], largest = -INFINITY, sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        scores[i] = i * 32 + lane < experts ? logits[i * 32 + lane] : -INFINITY;
        largest = fmaxf(largest, scores[i]);
    }
    largest = warp_max(largest);
#pragma unroll
    for (int i = 0; i < PER_LANE; i++)
        if (i * 32 + lane < experts) sum += expf(scores[i] - largest);
    sum = warp_sum(sum);
    uint32_t taken = 0; /* bit i: this lane's expert i was chosen, or is none */
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        if (i * 32 + lane >= experts) {
            taken |= 1u << i;
            continue;
        }
        if (type == TN_ROUTE_SOFTMAX_TOPK) scores[i] = expf(scores[i] - largest) / sum;
        if (type == TN_ROUTE_SIGMOID_TOPK) scores[i] = 1.0f / (1.0f + expf(-scores[i]));
        keys[i] = scores[i] + (bias != nullptr ? bias[i * 32 + lane] : 0.0f);
    }
    __shared__ float group_scores[ROUTE_WARPS][MAX_EXPERTS];
    if (args.constants[GROUPS] > 1) drop_groups(args, keys, group_scores[threadIdx.x / 32]);
    int32_t *chosen = (int32_t *)args.buffers[output + 3] + (int64_t)token * top_k;
    float *out = (float *)args.buffers[output + 2] + (int64_t)token * top_k, total = 0.0f, first = 0.0f;
    for (int choice = 0; choice < top_k; choice++) {
        /* the largest key, the lower expert among equals, NaN last */
        float best_key = -INFINITY, best_score = 0.0f;
        int best = MAX_EXPERTS;
        bool best_is_nan = true;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            if ((taken >> i & 1u) != 0) continue;
            bool is_nan = keys[i] != keys[i];
            if (best == MAX_EXPERTS || (best_is_nan && !is_nan) || (!is_nan && keys[i] > best_key)) {
                best = i * 32 + lane, best_key = keys[i], best_score = scores[i], best_is_nan = is_nan;
            }
        }
        for (int offset = 16; offset > 0; offset >>= 1) {
            int other = __shfl_xor_sync(0xffffffffu, best, offset);
            float other_key = __shfl_xor_sync(0xffffffffu, best_key, offset),
                  other_score = __shfl_xor_sync(0xffffffffu, best_score, offset);
            bool other_is_nan = __shfl_xor_sync(0xffffffffu, (int)best_is_nan, offset);
            bool is_better = other != MAX_EXPERTS && (best == MAX_EXPERTS || (best_is_nan && !other_is_nan));
            if (!is_better && other != MAX_EXPERTS && best_is_nan == other_is_nan)
                is_better = !other_is_nan && other_key != best_key ? other_key > best_key : other < best;
            if (is_better) best = other, best_key = other_key, best_score = other_score, best_is_nan = other_is_nan;
        }
        if (best % 32 == lane) taken |= 1u << (best / 32);
        if (choice == 0) first = best_score;
        total += type == TN_ROUTE_TOPK_SOFTMAX ? expf(best_score - first) : best_score;
        if (lane == 0) chosen[choice] = best, out[choice] = best_score;
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

/* A warp an expert, and one more for the end: where its tokens begin, then the tokens in ascending order. */
TN_KERNEL(route_sort, 32 * ROUTE_WARPS) {
    int lane = threadIdx.x % 32, expert = blockIdx.x * ROUTE_WARPS + threadIdx.x / 32, output = (int)args.constants[OUTPUT];
    int count = (int)(args.constants[NUM_TOKENS] * args.constants[TOP_K]);
    const int32_t *chosen = (const int32_t *)args.buffers[output + 3];
    int32_t *start = (int32_t *)args.buffers[output], *order = (int32_t *)args.buffers[output + 1];
    let_next_start();
    wait_for_previous();
    if (expert > args.constants[NUM_EXPERTS]) return;
    int before = 0;
    for (int i = lane; i < count; i += 32) before += chosen[i] < expert;
    for (int offset = 16; offset > 0; offset >>= 1) before += __shfl_xor_sync(0xffffffffu, before, offset);
    if (lane == 0) start[expert] = before;
    for (int first = 0; first < count; first += 32) {
        bool is_mine = first + lane < count && chosen[first + lane] == expert;
        uint32_t mine = __ballot_sync(0xffffffffu, is_mine);
        if (is_mine) order[before + __popc(mine & ((1u << lane) - 1u))] = first + lane;
        before += __popc(mine);
    }
}

/* --- COMBINE. buffers: y sorted [T·K, n], order, scores [T, K], out; workspace i32 [T·K]: where each choice stands ---------------- */

enum { COMBINE_ROWS /* T·K */, COMBINE_COLUMNS, COMBINE_TOP_K };

TN_KERNEL(combine_places, 256) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (i < args.constants[COMBINE_ROWS]) ((int32_t *)args.buffers[4])[((const int32_t *)args.buffers[1])[i]] = i;
}

TN_KERNEL(combine, 256) {
    int columns = (int)args.constants[COMBINE_COLUMNS], top_k = (int)args.constants[COMBINE_TOP_K], token = blockIdx.x;
    int column = blockIdx.y * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (column >= columns) return;
    const int32_t *places = (const int32_t *)args.buffers[4] + (int64_t)token * top_k;
    const float *scores = (const float *)args.buffers[2] + (int64_t)token * top_k, *y = (const float *)args.buffers[0];
    float sum = 0.0f;
    for (int choice = 0; choice < top_k; choice++) sum += scores[choice] * y[(int64_t)places[choice] * columns + column];
    ((float *)args.buffers[3])[(int64_t)token * columns + column] = sum;
}
