/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.cu: SAMPLE by the rules of op/slot.h: blocks survey parts of a row of logits, then a block draws from the row.
 *
 * Probabilities relative to the largest are integers in units of 2^-40, so that sums do not depend on their order: top-p and
 * the draw are exact in them. The k-th largest logit and the edge of the nucleus are found by radix: four passes over the
 * row, eight bits of the logit's ordered bits at a time. Among equal logits the lower id comes first.
 */
#include "backend/cuda/kernels/block.cuh"
#include "op/philox.h"
#include "op/slot.h"

/* constants, as in tactics/sample.c */
enum {
    VOCAB,
    SLOT_BYTES,
    HISTORY_OFFSET,
    COUNTS_OFFSET,
    BIAS_OFFSET,
    MAX_SEQ_LEN,
    COLUMNS, /* of top ids: the drawn token and the largest */
    HAS_MASK,
    OUTPUT, /* the first output's buffer; the workspace stands 4 behind: f32 [rows, vocab], then survey_part [rows, parts] */
    ROWS
};
enum { THREADS = 1024, WARPS = THREADS / 32, BINS = 256, BATCH = 8 /* loads on their way */ };
enum { PART = 4096 /* logits of a block that surveys */, PART_THREADS = 256 };

/* A value and the token that has it; −1: none. */
struct best_token {
    float value;
    int id;
};

__device__ __forceinline__ bool is_before(best_token a, best_token b) {
    if (a.id < 0 || b.id < 0) return b.id < 0 && a.id >= 0;
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

struct shared_state {
    best_token best[WARPS];
    float sums[WARPS];
    uint64_t scans[WARPS];
    unsigned long long bins[BINS];
    uint64_t found_above;
    uint32_t found_bin;
    int token;
};

__device__ __forceinline__ float number(float x) {
    return x != x ? -INFINITY : x;
}

/* Larger floats have larger keys; −0 counts as +0. */
__device__ __forceinline__ uint32_t key_of(float x) {
    uint32_t bits = __float_as_uint(x == 0.0f ? 0.0f : x);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/* The sum over threads before this one; *out_total: over all. */
__device__ __forceinline__ uint64_t block_scan(uint64_t mine, shared_state *shared, uint64_t *out_total) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint64_t inclusive = mine;
    for (int offset = 1; offset < 32; offset <<= 1) {
        uint64_t other = __shfl_up_sync(0xffffffffu, inclusive, offset);
        if (lane >= offset) inclusive += other;
    }
    if (lane == 31) shared->scans[warp] = inclusive;
    __syncthreads();
    uint64_t sum_of_warp = shared->scans[lane], before = sum_of_warp;
    for (int offset = 1; offset < 32; offset <<= 1) {
        uint64_t other = __shfl_up_sync(0xffffffffu, before, offset);
        if (lane >= offset) before += other;
    }
    *out_total = __shfl_sync(0xffffffffu, before, 31);
    before = __shfl_sync(0xffffffffu, before - sum_of_warp, warp);
    __syncthreads();
    return before + inclusive - mine;
}

/* The best token of a warp; all lanes get it. */
__device__ __forceinline__ best_token warp_best(best_token mine) {
    for (int offset = 16; offset > 0; offset >>= 1) {
        best_token other = {__shfl_xor_sync(0xffffffffu, mine.value, offset), __shfl_xor_sync(0xffffffffu, mine.id, offset)};
        if (is_before(other, mine)) mine = other;
    }
    return mine;
}

__device__ __forceinline__ best_token block_best(best_token mine, shared_state *shared) {
    mine = warp_best(mine);
    if (threadIdx.x % 32 == 0) shared->best[threadIdx.x / 32] = mine;
    __syncthreads();
    mine = warp_best(shared->best[threadIdx.x % 32]);
    __syncthreads();
    return mine;
}

/* This thread's best: it owns the tokens threadIdx.x, + THREADS … */
__device__ __forceinline__ best_token own_best(const float *x, int vocab) {
    best_token best = {0.0f, -1};
    for (int i = threadIdx.x; i < vocab; i += THREADS) {
        best_token here = {number(x[i]), i};
        if (is_before(here, best)) best = here;
    }
    return best;
}

/* The best that stands after `previous` among what its owner owns, found by the owner's whole warp. */
__device__ __forceinline__ best_token owners_next(const float *x, int vocab, best_token previous) {
    best_token best = {0.0f, -1};
    for (int i = previous.id % THREADS + threadIdx.x % 32 * THREADS; i < vocab; i += 32 * THREADS) {
        best_token here = {number(x[i]), i};
        if (is_before(previous, here) && is_before(here, best)) best = here;
    }
    return warp_best(best);
}

/* --- the rules before the draw ------------------------------------------------------------------------------------------------ */

struct row_state {
    tn_slot *slot;
    int32_t *history, *counts;
    const float *bias;
    const uint32_t *allowed; /* null: all */
    const float *raw;
    float *logits; /* workspace */
    int vocab;
};

__device__ __forceinline__ bool changes_logits(const tn_slot_params &p) {
    return p.has_bias || p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f;
}

__device__ __forceinline__ bool is_too_short(const row_state &s) {
    const tn_slot_params &p = s.slot->params;
    return p.end_id >= 0 && s.slot->history_count - p.prompt_length < p.min_tokens;
}

__device__ __forceinline__ bool history_ends_with(const row_state &s, const int32_t *tokens, int count) {
    int length = s.slot->history_count;
    if (count > length) return false;
    for (int i = 0; i < count; i++)
        if (s.history[length - count + i] != tokens[i]) return false;
    return true;
}

__device__ __forceinline__ void forbid(const row_state &s, int token) {
    if (token >= 0 && token < s.vocab) s.logits[token] = -INFINITY;
}

__device__ __forceinline__ void make_logits(const row_state &s) {
    const tn_slot_params &p = s.slot->params;
    bool changes = changes_logits(p);
    for (int i = threadIdx.x; i < s.vocab; i += THREADS) {
        float x = number(s.raw[i]);
        if (changes && p.has_bias) x += s.bias[i];
        int count = changes ? s.counts[i] : 0;
        if (count > 0) {
            x = x > 0.0f ? x / p.repetition_penalty : x * p.repetition_penalty;
            x -= p.presence_penalty + p.frequency_penalty * (float)count;
        }
        if (s.allowed != nullptr && (s.allowed[i / 32] >> (i % 32) & 1u) == 0) x = -INFINITY;
        s.logits[i] = number(x);
    }
    __syncthreads();
    if (threadIdx.x == 0 && is_too_short(s)) forbid(s, p.end_id);
    for (int word = threadIdx.x; word < p.num_bad_words; word += THREADS) {
        int begin = word > 0 ? p.bad_word_ends[word - 1] : 0, last = p.bad_word_ends[word] - 1;
        if (last >= begin && history_ends_with(s, p.bad_tokens + begin, last - begin)) forbid(s, p.bad_tokens[last]);
    }
    int prefix = p.no_repeat_ngram_size - 1;
    for (int at = threadIdx.x; prefix >= 0 && at + prefix < s.slot->history_count; at += THREADS)
        if (history_ends_with(s, s.history + at, prefix)) forbid(s, s.history[at + prefix]);
    __syncthreads();
}

/* --- the draw ------------------------------------------------------------------------------------------------------------------- */

struct weigher {
    const float *x;
    float largest, temperature, min_p;
    __device__ __forceinline__ float ratio(float value) const { return value == largest ? 1.0f : expf((value - largest) / temperature); }
    __device__ __forceinline__ uint64_t weight(float value) const { return (uint64_t)(ratio(value) * 0x1p40f); }
};

/* Tokens from the largest key down until their number (or weight) reaches `wanted`: the key of the last one, and how much
 * stands strictly above it. Keys below `least` do not count. */
__device__ __forceinline__ uint32_t find_edge(const weigher &w, int vocab, bool by_weight, uint64_t wanted, uint32_t least,
                                              shared_state *shared, uint64_t *out_above) {
    uint32_t prefix = 0;
    uint64_t above = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        if (threadIdx.x < BINS) shared->bins[threadIdx.x] = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < vocab; i += THREADS) {
            float value = number(w.x[i]);
            uint32_t key = key_of(value);
            if (key < least || (shift < 24 && key >> (shift + 8) != prefix >> (shift + 8))) continue;
            atomicAdd(&shared->bins[key >> shift & (BINS - 1)], by_weight ? (unsigned long long)w.weight(value) : 1ull);
        }
        __syncthreads();
        uint64_t total, mine = threadIdx.x < BINS ? shared->bins[BINS - 1 - threadIdx.x] : 0;
        uint64_t before = above + block_scan(mine, shared, &total);
        if (threadIdx.x == 0) shared->found_bin = 0, shared->found_above = above + total - shared->bins[0];
        __syncthreads();
        if (threadIdx.x < BINS && before < wanted && before + mine >= wanted) {
            shared->found_bin = BINS - 1 - threadIdx.x;
            shared->found_above = before;
        }
        __syncthreads();
        prefix |= shared->found_bin << shift;
        above = shared->found_above;
        __syncthreads();
    }
    *out_above = above;
    return prefix;
}

/* x: the logits after all rules; best: the largest of them. */
__device__ __forceinline__ int draw(const row_state &s, const float *x, best_token best, int position, shared_state *shared) {
    const tn_slot_params &p = s.slot->params;
    weigher w = {x, best.value, p.temperature, p.min_p};
    int vocab = s.vocab;
    uint32_t edge = 0;                  /* tokens of larger keys are kept, */
    uint64_t num_at_edge = 0xffffffffu; /* and so many of this key, lower ids first */
    if (p.top_k > 0 && p.top_k < vocab) {
        uint64_t above;
        edge = find_edge(w, vocab, false, (uint64_t)p.top_k, 0, shared, &above);
        num_at_edge = (uint64_t)p.top_k - above;
    }
    int per_thread = (vocab + THREADS - 1) / THREADS, begin = threadIdx.x * per_thread;
    int end = begin + per_thread < vocab ? begin + per_thread : vocab;
    if (p.top_p > 0.0f && s.slot->current_top_p < 1.0f) {
        uint64_t mine = 0, at_edge = 0, total, edges;
        for (int i = begin; i < end; i++) {
            uint32_t key = key_of(number(x[i]));
            if (key > edge) mine += w.weight(number(x[i]));
            at_edge += key == edge;
        }
        (void)block_scan(mine, shared, &total);
        (void)block_scan(at_edge, shared, &edges);
        uint32_t bits = (edge & 0x80000000u) != 0 ? edge & 0x7fffffffu : ~edge; /* the edge's own value */
        uint64_t kept = edges < num_at_edge ? edges : num_at_edge, edge_weight = edges > 0 ? w.weight(__uint_as_float(bits)) : 0;
        uint64_t wanted = (uint64_t)((double)s.slot->current_top_p * (double)(total + kept * edge_weight)), above;
        if (wanted < 1) wanted = 1; /* the first always is in */
        uint32_t nucleus = find_edge(w, vocab, true, wanted, edge, shared, &above);
        uint32_t nucleus_bits = (nucleus & 0x80000000u) != 0 ? nucleus & 0x7fffffffu : ~nucleus;
        uint64_t step = w.weight(__uint_as_float(nucleus_bits));
        uint64_t in = wanted > above && step > 0 ? (wanted - above + step - 1) / step : 1;
        num_at_edge = nucleus == edge && in > num_at_edge ? num_at_edge : in;
        edge = nucleus;
    }
    uint64_t at_edge = 0, unused;
    for (int i = begin; i < end; i++) at_edge += key_of(number(x[i])) == edge;
    uint64_t rank = block_scan(at_edge, shared, &unused), first_rank = rank, mine = 0, total;
    for (int i = begin; i < end; i++) {
        float value = number(x[i]);
        uint32_t key = key_of(value);
        bool is_kept = key > edge || (key == edge && rank < num_at_edge);
        rank += key == edge;
        if (is_kept && w.ratio(value) >= w.min_p) mine += w.weight(value);
    }
    uint64_t before = block_scan(mine, shared, &total);
    uint64_t threshold = (uint64_t)((double)total * tn_philox_uniform(p.seed, p.sequence_index, (uint64_t)position));
    if (before <= threshold && threshold < before + mine) {
        rank = first_rank;
        for (int i = begin; i < end; i++) {
            float value = number(x[i]);
            uint32_t key = key_of(value);
            bool is_kept = key > edge || (key == edge && rank < num_at_edge);
            rank += key == edge;
            if (is_kept && w.ratio(value) >= w.min_p) before += w.weight(value);
            if (before > threshold) {
                shared->token = i;
                break;
            }
        }
    }
    __syncthreads();
    return shared->token;
}

__device__ __forceinline__ int choose(const row_state &s, best_token best, int position, shared_state *shared) {
    const tn_slot_params &p = s.slot->params;
    const float *x = s.raw;
    bool needs_copy = changes_logits(p) || is_too_short(s) || p.num_bad_words > 0 || p.no_repeat_ngram_size > 0 || s.allowed != nullptr;
    if (needs_copy) {
        make_logits(s);
        x = s.logits;
        best = block_best(own_best(x, s.vocab), shared);
    }
    bool is_empty = best.value == -INFINITY;
    int token = is_empty ? (p.end_id >= 0 ? p.end_id : 0) : best.id;
    bool is_greedy = p.temperature == 0.0f || (p.top_k == 0 && p.top_p == 0.0f);
    if (!is_empty && !is_greedy) token = draw(s, x, best, position, shared);
    __syncthreads(); /* all have read the slot */
    if (threadIdx.x == 0) s.slot->error = is_empty;
    return token;
}

__device__ __forceinline__ void update_slot(const row_state &s, int token, int max_seq_len) {
    tn_slot *slot = s.slot;
    slot->last_token = token;
    if (slot->history_count < max_seq_len) s.history[slot->history_count++] = token;
    if (token < s.vocab) s.counts[token]++;
    if (slot->params.top_p > 0.0f) slot->current_top_p = fmaxf(slot->current_top_p * slot->params.top_p_decay, slot->params.top_p_min);
    if (token == slot->params.top_p_reset_id) slot->current_top_p = slot->params.top_p;
}

/* Of PART logits: the best, and Σ e^(x − best) with 1 for the best itself, also if it is infinite. */
struct survey_part {
    best_token best;
    float sum;
};

__device__ __forceinline__ survey_part *survey_parts(const tn_cuda_args &args, int row) {
    float *workspace = (float *)args.buffers[args.constants[OUTPUT] + 4];
    int parts = (int)(args.constants[VOCAB] + PART - 1) / PART;
    return (survey_part *)(workspace + args.constants[ROWS] * args.constants[VOCAB]) + (int64_t)row * parts;
}

/* What a sum relative to `from` is multiplied by to be relative to `to`. */
__device__ __forceinline__ float rescale(float from, float to) {
    return from == to ? 1.0f : expf(from - to);
}

/* A row is read once, by many blocks: one multiprocessor alone takes tens of microseconds for it. */
TN_KERNEL(survey_rows, PART_THREADS) {
    enum { COUNT = PART / PART_THREADS };
    __shared__ survey_part shared[PART_THREADS / 32];
    int vocab = (int)args.constants[VOCAB], first = blockIdx.x * PART + threadIdx.x;
    const float *raw = (const float *)args.buffers[0] + (int64_t)blockIdx.y * vocab;
    let_next_start();
    wait_for_previous();
    float x[COUNT], sum = 0.0f;
    best_token best = {0.0f, -1};
#pragma unroll
    for (int i = 0; i < COUNT; i++) x[i] = first + i * PART_THREADS < vocab ? raw[first + i * PART_THREADS] : NAN;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        best_token here = {number(x[i]), first + i * PART_THREADS};
        if (here.id < vocab && is_before(here, best)) best = here;
    }
    best_token of_warp = warp_best(best);
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        if (x[i] == x[i]) sum += rescale(x[i], of_warp.value);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = {of_warp, sum};
    __syncthreads();
    if (threadIdx.x >= 32) return;
    survey_part mine = {{0.0f, -1}, 0.0f};
    if (threadIdx.x < PART_THREADS / 32) mine = shared[threadIdx.x];
    best = warp_best(mine.best);
    sum = warp_sum(mine.best.id >= 0 ? mine.sum * rescale(mine.best.value, best.value) : 0.0f);
    if (threadIdx.x == 0) survey_parts(args, blockIdx.y)[blockIdx.x] = {best, sum};
}

/* This thread's best two of the tokens threadIdx.x, + THREADS …: the largest log-probabilities are mostly among them. */
__device__ __forceinline__ void own_best_two(const float *x, int vocab, best_token *out_best, best_token *out_next) {
    best_token best = {0.0f, -1}, next = {0.0f, -1};
    for (int start = threadIdx.x; start < vocab; start += BATCH * THREADS) {
        float values[BATCH];
#pragma unroll
        for (int j = 0; j < BATCH; j++) values[j] = start + j * THREADS < vocab ? x[start + j * THREADS] : NAN;
#pragma unroll
        for (int j = 0; j < BATCH; j++) {
            best_token here = {number(values[j]), start + j * THREADS};
            if (here.id >= vocab) continue;
            if (is_before(here, best)) {
                next = best;
                best = here;
            } else if (is_before(here, next)) {
                next = here;
            }
        }
    }
    *out_best = best, *out_next = next;
}

TN_KERNEL(sample_rows, THREADS) {
    __shared__ shared_state shared;
    int row = blockIdx.x, vocab = (int)args.constants[VOCAB], columns = (int)args.constants[COLUMNS];
    int output = (int)args.constants[OUTPUT];
    row_state s;
    s.vocab = vocab;
    s.raw = (const float *)args.buffers[0] + (int64_t)row * vocab;
    s.logits = (float *)args.buffers[output + 4] + (int64_t)row * vocab;
    s.allowed = args.constants[HAS_MASK] ? (const uint32_t *)args.buffers[4] + (int64_t)row * ((vocab + 31) / 32) : nullptr;
    let_next_start();
    wait_for_previous();

    int num_parts = (vocab + PART - 1) / PART;
    const survey_part *parts = survey_parts(args, row);
    best_token best = {0.0f, -1};
    for (int i = threadIdx.x; i < num_parts; i += THREADS)
        if (is_before(parts[i].best, best)) best = parts[i].best;
    best = block_best(best, &shared);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < num_parts; i += THREADS) sum += parts[i].sum * rescale(parts[i].best.value, best.value);
    sum = block_sum(sum, shared.sums);

    int slot = ((const int32_t *)args.buffers[1])[row], token = -1, filled = columns;
    if (slot >= 0) {
        char *bytes = (char *)args.buffers[3] + slot * args.constants[SLOT_BYTES];
        s.slot = (tn_slot *)bytes;
        s.history = (int32_t *)(bytes + args.constants[HISTORY_OFFSET]);
        s.counts = (int32_t *)(bytes + args.constants[COUNTS_OFFSET]);
        s.bias = (const float *)(bytes + args.constants[BIAS_OFFSET]);
        token = choose(s, best, ((const int32_t *)args.buffers[2])[row], &shared);
        filled = min(columns, 1 + s.slot->params.num_log_probs);
        if (threadIdx.x == 0) update_slot(s, token, (int)args.constants[MAX_SEQ_LEN]);
    }

    int32_t *ids = (int32_t *)args.buffers[output + 1] + (int64_t)row * columns;
    float *log_probs = (float *)args.buffers[output + 2] + (int64_t)row * columns;
    if (threadIdx.x == 0) ((int32_t *)args.buffers[output])[row] = token;
    for (int column = filled + threadIdx.x; column < columns; column += THREADS) ids[column] = 0, log_probs[column] = 0.0f;
    best_token mine, next;
    if (filled > 1) own_best_two(s.raw, vocab, &mine, &next);
    double log_sum = log((double)sum);
    for (int column = 0; column < filled; column++) {
        best_token here = {token >= 0 && token < vocab ? number(s.raw[token]) : 0.0f, token};
        if (column > 0) {
            here = block_best(mine, &shared);
            if (here.id >= 0 && here.id % THREADS / 32 == threadIdx.x / 32) { /* the owner's warp */
                bool is_owner = here.id % THREADS == threadIdx.x;
                if (is_owner) {
                    mine = next;
                    next.id = -1;
                }
                if (__shfl_sync(0xffffffffu, mine.id, here.id % 32) < 0) {
                    best_token found = owners_next(s.raw, vocab, here);
                    if (is_owner) mine = found;
                }
            }
        }
        if (threadIdx.x != 0) continue;
        ids[column] = here.id < 0 ? 0 : here.id;
        log_probs[column] = here.id < 0                ? 0.0f
                            : here.value == best.value ? (float)-log_sum
                                                       : (float)((double)here.value - (double)best.value - log_sum);
    }
}
