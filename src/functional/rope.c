/* SPDX-License-Identifier: Apache-2.0
 *
 * rope.c: rotary frequencies of all scalings. Formulas: RoFormer (arXiv 2104.09864); linear and dynamic NTK scaling, Llama 3.1
 * and YaRN (arXiv 2309.00071) as Hugging Face transformers defines them (modeling_rope_utils), computed in double and rounded
 * once. Dynamic scaling and LongRoPE there follow the running length; here the length is the engine's max_seq_len, so that a token's
 * rotation never depends on the tokens after it.
 */
#include <math.h>

#include "functional/functional.h"

static const double two_pi = 6.283185307179586476925286766559;

static double plain_frequency(double theta, int64_t pair, int64_t dim) {
    return 1.0 / pow(theta, 2.0 * (double)pair / (double)dim);
}

static double llama3_frequency(const tn_rope *rope, double frequency) {
    double wavelength = two_pi / frequency, original = (double)rope->original_max_positions;
    double longest = original / rope->low_freq_factor, shortest = original / rope->high_freq_factor;
    if (wavelength < shortest) return frequency;
    if (wavelength > longest) return frequency / rope->factor;
    double smooth = (original / wavelength - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    return (1.0 - smooth) * frequency / rope->factor + smooth * frequency;
}

/* The pair index whose wavelength turns `rotations` times in the original context. */
static double yarn_pair_of_rotations(const tn_rope *rope, double rotations) {
    return (double)rope->dim * log((double)rope->original_max_positions / (rotations * two_pi)) / (2.0 * log(rope->theta));
}

static double yarn_frequency(const tn_rope *rope, int64_t pair, double frequency) {
    double low = yarn_pair_of_rotations(rope, rope->beta_fast), high = yarn_pair_of_rotations(rope, rope->beta_slow);
    if (!rope->keep_correction_range_fractional) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0.0);
    high = fmin(high, (double)rope->dim - 1.0);
    if (low == high) high += 0.001;
    double ramp = fmin(fmax(((double)pair - low) / (high - low), 0.0), 1.0);
    return frequency / rope->factor * ramp + frequency * (1.0 - ramp);
}

void tn_rope_frequencies(const tn_rope *rope, int64_t max_seq_len, float *out_inverse_frequencies, double *out_scale) {
    double theta = rope->theta;
    if (rope->scaling == TN_ROPE_DYNAMIC && max_seq_len > rope->original_max_positions) {
        double stretch = rope->factor * (double)max_seq_len / (double)rope->original_max_positions - (rope->factor - 1.0);
        theta *= pow(stretch, (double)rope->dim / ((double)rope->dim - 2.0));
    }
    const float *factors = rope->frequency_factors;
    if (rope->scaling == TN_ROPE_LONG) factors = max_seq_len > rope->original_max_positions ? rope->long_factors : rope->short_factors;
    for (int64_t pair = 0; pair < rope->dim / 2; pair++) {
        double frequency = plain_frequency(theta, pair, rope->dim);
        switch (rope->scaling) {
        case TN_ROPE_LINEAR: frequency /= rope->factor; break;
        case TN_ROPE_LLAMA3: frequency = llama3_frequency(rope, frequency); break;
        case TN_ROPE_YARN: frequency = yarn_frequency(rope, pair, frequency); break;
        case TN_ROPE_DEFAULT:
        case TN_ROPE_LONG:
        case TN_ROPE_DYNAMIC: break;
        }
        if (factors != NULL) frequency /= (double)factors[pair];
        out_inverse_frequencies[pair] = (float)frequency;
    }
    *out_scale = 1.0;
    if (rope->scaling != TN_ROPE_YARN && rope->scaling != TN_ROPE_LONG) return;
    double derived = 1.0;
    if (rope->factor > 1.0 && rope->scaling == TN_ROPE_YARN) derived = 0.1 * log(rope->factor) + 1.0;
    if (rope->factor > 1.0 && rope->scaling == TN_ROPE_LONG && rope->original_max_positions > 1)
        derived = sqrt(1.0 + log(rope->factor) / log((double)rope->original_max_positions));
    *out_scale = rope->attention_factor > 0.0 ? rope->attention_factor : derived;
}
