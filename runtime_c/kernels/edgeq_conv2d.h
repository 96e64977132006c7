/* conv2d: 2-D convolution, NHWC, batch 1. See SPEC.md, "conv2d".
 *
 * in  [in_h][in_w][in_c], out [out_h][out_w][out_c]. Where they may overlap: SPEC.md.
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
    const int32_t *bias;   /* [out_c], for edgeq_conv2d_split_dsp */
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

/* Helium; one group, dilation_w 1. */
typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int16_t chunks;        /* kernel_h * kernel_w * in_c / 16, rounded up */
    int16_t tile;          /* output pixels at a time */
    int16_t columns;       /* of the input, that are brought to scratch at a time; 0: one by one */
    int8_t pad_value;      /* the input's zero point */
    const uint8_t *offset; /* [16]: where byte l of `columns` > 0 columns of a row goes, (l / in_c) * kernel_h * in_c + l % in_c */
    const int8_t *weight;  /* blocks of four outputs with biases and shifts, taps by columns, see SPEC.md */
    int32_t lo, hi;        /* -128..127 */
} edgeq_conv2d_mve_params;

/* Helium; any groups and dilations. */
typedef struct {
    edgeq_window window;
    int16_t in_c;
    int16_t groups, group_in, group_out; /* in_c = groups * group_in */
    int16_t chunks;        /* kernel_h * kernel_w * group_in / 16, rounded up */
    int8_t pad_value;      /* the input's zero point */
    const int8_t *weight;  /* for each group, blocks of four outputs with biases and shifts, see SPEC.md */
    int32_t lo, hi;        /* -128..127 */
} edgeq_conv2d_any_mve_params;

/* scratch: ((tile - 1) * stride_w + kernel_w) * kernel_h * in_c + 16 bytes. */
void edgeq_conv2d_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

/* kernel 1x1, no padding; in_c is a multiple of 16, or there is one row without strides, whose last `tile` pixels go by way
 * of scratch. columns and offset are unused. scratch: tile * in_c + 16 bytes where tile is not 0. */
void edgeq_conv2d_1x1_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

/* Packed for Armv7-M; one group. */
typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int16_t part;          /* positions of the kernel at a time, for edgeq_conv2d_parts_v7m */
    int16_t inside_h, inside_w; /* windows that begin in so many first rows and columns lie inside; 0 with dilation_w */
    const int8_t *pad;     /* [in_c], a pixel outside the input: its zero point; null where no window reaches there */
    const uint8_t *weight; /* channels in groups of taps, see SPEC.md */
    const int32_t *bias;   /* [out_c], less 32767 for each group, for edgeq_conv2d_parts_v7m */
    const uint8_t *shift;  /* [out_c], 0..31, for edgeq_conv2d_parts_v7m */
    int32_t lo, hi;        /* -128..127 */
} edgeq_conv2d_v7m_params;

/* As edgeq_conv2d, for one group. scratch: 8 bytes for each of kernel_h * kernel_w * in_c taps, rounded up to an even number;
 * aligned to 4. */
void edgeq_conv2d_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch);

/* The same for kernels of which many weights are 0. */
void edgeq_conv2d_sparse_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch);

/* The same for large kernels, `part` positions of them at a time. scratch: 16 * out_c bytes, and 8 for each of part * in_c taps,
 * rounded up to a multiple of 4. */
void edgeq_conv2d_parts_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch);

typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int32_t taps;           /* kernel_h * kernel_w * in_c */
    int32_t chunk;          /* taps at a time; even */
    int8_t pad_value;       /* the input's zero point */
    int8_t padded;          /* whether any window reaches outside the input */
    const int8_t *weight;   /* a stream, see SPEC.md */
    const int32_t *requant; /* [out_c][2]: the bias less hi << shift; 256 * groups + shift */
    int32_t span, lo;       /* hi - lo, lo */
} edgeq_conv2d_v6m_params;

/* Armv6-M, and any other; one group. scratch: 8 * chunk bytes, 16 * out_c more where chunk is less than taps, in_c more
 * where padded; aligned to 4. */
void edgeq_conv2d_v6m(const edgeq_conv2d_v6m_params *p, const int8_t *in, int8_t *out, void *scratch);

/* scratch: 16 * chunks bytes. */
void edgeq_conv2d_any_mve(const edgeq_conv2d_any_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
