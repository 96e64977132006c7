/* avg_pool: the mean of each window, NHWC, batch 1. See SPEC.md, "avg_pool".
 *
 * in  [in_h][in_w][channels], out [out_h][out_w][channels]. Where they may overlap: SPEC.md.
 * Taps outside the input add nothing to the sum of (in - zero_point).
 */
#ifndef EDGEQ_AVG_POOL_H
#define EDGEQ_AVG_POOL_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    edgeq_window window;
    int32_t channels;
    int16_t zero_point;  /* of the input */
    uint8_t pre_shift;   /* 0..31, rounds the sum before it is multiplied */
    int32_t m;           /* ratio of the scales over the divisor, times 2^(pre_shift + shift) */
    int32_t bias;        /* the output's zero point and rounding */
    uint8_t shift;       /* 0..31 */
    int32_t lo, hi;      /* -128..127 */
} edgeq_avg_pool_params;

typedef struct {
    edgeq_window window;
    int32_t channels;
    int16_t zero_point;  /* of the input */
    int16_t border_top, border_left, border_bottom, border_right; /* padding that the divisor counts */
    const int32_t *m;    /* [kernel_h * kernel_w + 1], by the number of taps inside the border */
    int32_t bias;        /* the output's zero point and rounding */
    uint8_t shift;       /* 0..31 */
    int32_t lo, hi;      /* -128..127 */
} edgeq_avg_pool_counted_params;

/* One divisor for all windows: out = clamp((round_shift(sum, pre_shift) * m + bias) >> shift, lo, hi). */
void edgeq_avg_pool(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out);

/* A divisor for each number of taps inside the border: out = clamp((sum * m[taps] + bias) >> shift, lo, hi). */
void edgeq_avg_pool_counted(const edgeq_avg_pool_counted_params *p, const int8_t *in, int8_t *out);

/* As edgeq_avg_pool, for Armv7E-M and Armv8-M with DSP; one window, the whole input; channels are a multiple of 4. */
void edgeq_avg_pool_whole_dsp(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_avg_pool. */
void edgeq_avg_pool_mve(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out);

/* Armv7-M: as edgeq_avg_pool; channels are a multiple of 4. */
void edgeq_avg_pool_v7m(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out);

/* As edgeq_avg_pool, for Armv6-M, and any other; bias is less hi << shift. */
void edgeq_avg_pool_v6m(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_avg_pool_counted. */
void edgeq_avg_pool_counted_mve(const edgeq_avg_pool_counted_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
