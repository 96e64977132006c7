/* conv2d: 2-D convolution, NHWC, batch 1. See SPEC.md, "conv2d".
 *
 * in  [in_h][in_w][in_c], out [out_h][out_w][out_c], no overlap between them.
 * out = clamp((bias[o] + sum weight * in) >> shift[o], lo, hi); taps outside the input read pad_value.
 */
#ifndef EDGEQ_CONV2D_H
#define EDGEQ_CONV2D_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int16_t groups, group_in, group_out; /* in_c = groups * group_in, out_c = groups * group_out */
    int8_t pad_value;      /* the input's zero point */
    const int8_t *weight;  /* [out_c][kernel_h][kernel_w][group_in] */
    const int32_t *bias;   /* [out_c], with zero points and rounding folded in */
    const uint8_t *shift;  /* [out_c], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_conv2d_params;

/* Packed for Armv7E-M and Armv8-M with DSP; one group, 2 or more output channels. */
typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int16_t steps;         /* of four taps, in a window; edgeq_conv2d_split_dsp: in a part of it */
    int16_t rest_steps;    /* those of them for the rows' rests */
    int16_t part;          /* taps at a time, a divisor of kernel_h * kernel_w, for edgeq_conv2d_split_dsp */
    int8_t pad_value;      /* the input's zero point */
    const int32_t *weight; /* pairs of channels with their biases and shifts, see SPEC.md */
    int32_t lo, hi;        /* -128..127 */
} edgeq_conv2d_dsp_params;

/* Any window. scratch: kernel_h * kernel_w * group_in bytes. */
void edgeq_conv2d(const edgeq_conv2d_params *p, const int8_t *in, int8_t *out, void *scratch);

/* kernel 1x1, no padding, one group. */
void edgeq_conv2d_1x1(const edgeq_conv2d_params *p, const int8_t *in, int8_t *out);

/* As edgeq_conv2d, for one group. scratch: 24 * steps + 4 * rest_steps + kernel_h * kernel_w * in_c bytes, rounded up to a
 * multiple of 4 and aligned to 4. */
void edgeq_conv2d_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch);

/* As edgeq_conv2d_1x1. scratch: 24 * steps bytes, aligned to 4. */
void edgeq_conv2d_1x1_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch);

/* As edgeq_conv2d_dsp with less scratch for large windows, for in_c a multiple of 4 and out_c of 2.
 * scratch: 24 * steps + 12 * out_c bytes, aligned to 4. */
void edgeq_conv2d_split_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch);

typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int16_t groups, group_in, group_out; /* in_c = groups * group_in, out_c = groups * group_out */
    int16_t chunks;         /* kernel_h * kernel_w * group_in / 16, rounded up */
    int8_t pad_value;       /* the input's zero point */
    const int8_t *weight;   /* [groups][group_out / 4][chunks][4][16], filled up with zeros */
    const int32_t *requant; /* [groups][group_out / 4][8]: four biases, four negated shifts */
    int32_t lo, hi;         /* -128..127 */
} edgeq_conv2d_mve_params;

/* Helium. scratch: 16 * chunks bytes. */
void edgeq_conv2d_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

/* Helium; kernel 1x1, no padding, one group. scratch: 16 * chunks bytes where in_c is no multiple of 16. */
void edgeq_conv2d_1x1_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
