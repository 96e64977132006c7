/* depthwise_conv2d: each output channel reads one input channel, NHWC, batch 1. See SPEC.md, "depthwise_conv2d".
 *
 * in  [in_h][in_w][in_c], out [out_h][out_w][in_c * multiplier]. Where they may overlap: SPEC.md.
 */
#ifndef EDGEQ_DEPTHWISE_CONV2D_H
#define EDGEQ_DEPTHWISE_CONV2D_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    edgeq_window window;
    int16_t in_c;
    int16_t multiplier;    /* output channel o reads input channel o / multiplier */
    int8_t pad_value;      /* the input's zero point */
    const int8_t *weight;  /* [kernel_h][kernel_w][in_c * multiplier] */
    const int32_t *bias;   /* [in_c * multiplier], with zero points and rounding folded in */
    const uint8_t *shift;  /* [in_c * multiplier], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_depthwise_conv2d_params;

/* For Armv7E-M and Armv8-M with DSP: kernel 3x3, dilation 1, both strides 1 or both 2, padding up to 2 on each side,
 * multiplier 1, 4 or more channels. Rows and columns may be exchanged in window and weight; distances are in elements. */
typedef struct {
    edgeq_window window;
    int16_t channels;
    int16_t band, strip;   /* output rows and columns at a time; strip up to 26, for stride 2 up to 12 */
    int16_t lines;         /* of the input at a time: (band rounded up to even - 1) * stride + 3 */
    int8_t pad_value;      /* the input's zero point */
    int32_t in_row, in_column, out_row, out_column;
    const int8_t *weight;  /* [channels][3][3] */
    const int32_t *bias;   /* [channels], with zero points and rounding folded in */
    const uint8_t *shift;  /* [channels], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_depthwise_conv2d_dsp_params;

/* For the same processors: any window, multiplier 1, 4 or more channels. */
typedef struct {
    edgeq_window window;
    int16_t channels;
    int8_t pad_value;      /* the input's zero point */
    const int32_t *weight; /* channels by fours with their biases and shifts, see SPEC.md */
    int32_t lo, hi;        /* -128..127 */
} edgeq_depthwise_conv2d_any_dsp_params;

void edgeq_depthwise_conv2d(const edgeq_depthwise_conv2d_params *p, const int8_t *in, int8_t *out);

/* scratch: 224 * lines bytes, aligned to 4. */
void edgeq_depthwise_conv2d_3x3_dsp(const edgeq_depthwise_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch);

/* scratch: 4 * kernel_h * kernel_w, rounded up to a multiple of 8, + channels bytes, aligned to 4. */
void edgeq_depthwise_conv2d_any_dsp(const edgeq_depthwise_conv2d_any_dsp_params *p, const int8_t *in, int8_t *out,
                                    void *scratch);

typedef struct {
    edgeq_window window;
    int16_t in_c;           /* also of the output */
    int16_t taps;           /* kernel_h * kernel_w, at most 64 */
    int16_t pixels;         /* 16 / in_c for in_c 1, 2, 4, 8 with stride_w 1, otherwise 1 */
    int16_t nine;           /* whether groups are 3, 0, 0 or 2, 1, 1 and pixels * in_c is a multiple of 16 */
    const int16_t *inner;   /* [4]: first row, end of rows, first column, end of columns whose windows are inside the input */
    const int16_t *groups;  /* [3]: how many groups of three, two and one taps, in this order */
    int8_t pad_value;       /* the input's zero point */
    int8_t padded;          /* whether any window reaches outside the input */
    const int16_t *at;      /* [2][taps]: rows, then columns, from the window's corner */
    const int32_t *offset;  /* [taps]: bytes from the window's corner */
    const int8_t *weight;   /* [pixels * in_c / 16, rounded up][taps][16], filled up with zeros */
    const int32_t *requant; /* [as weight][2][16]: biases, then negated shifts, of lanes 0 4 8 12 2 6 10 14 1 5 9 13 3 7 11 15 */
    int32_t lo, hi;         /* -128..127 */
} edgeq_depthwise_conv2d_mve_params;

/* Helium; multiplier 1. scratch: in_c bytes where padded. */
void edgeq_depthwise_conv2d_mve(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

/* Kernel 3x3, dilation 1, strides up to 2, multiplier 1. Rows and columns may be exchanged in window and weight; distances
 * are in elements. */
typedef struct {
    edgeq_window window;
    int16_t channels;
    int16_t band;          /* output rows at a time */
    int16_t line;          /* words of scratch for a line of a channel */
    int16_t tile;          /* outputs at a time: 4 or 3 where window.stride_w is 1, 2 where it is 2 */
    int8_t pad_value;      /* the input's zero point */
    int32_t in_row, in_column, out_row, out_column;
    const int8_t *weight;  /* [channels][3][3] */
    const int32_t *bias;   /* [channels] */
    const uint8_t *shift;  /* [channels], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_depthwise_conv2d_3x3_v7m_params;

/* Armv7-M. scratch: 4 * line * ((band - 1) * stride_h + 3) bytes, aligned to 4. */
void edgeq_depthwise_conv2d_3x3_v7m(const edgeq_depthwise_conv2d_3x3_v7m_params *p, const int8_t *in, int8_t *out,
                                    void *scratch);

typedef struct {
    edgeq_window window;
    int16_t channels;
    const int8_t *pad;     /* [4], pixels outside the input: its zero point; null where no window reaches there */
    const int8_t *weight;  /* [channels / 4][kernel_h * kernel_w][4], of a number that is no multiple the last four again */
    const int32_t *bias;   /* [channels], with zero points and rounding folded in */
    const uint8_t *shift;  /* [channels], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_depthwise_conv2d_v7m_params;

/* Any window, for Armv7-M; multiplier 1, 4 or more channels. in and out may be the same memory as for edgeq_depthwise_conv2d
 * where channels are a multiple of 4. */
void edgeq_depthwise_conv2d_v7m(const edgeq_depthwise_conv2d_v7m_params *p, const int8_t *in, int8_t *out);

typedef struct {
    edgeq_window window;
    int16_t channels;      /* of input and output */
    int8_t pad_value;      /* the input's zero point */
    int8_t padded;         /* whether any window reaches outside the input */
    const int8_t *weight;  /* [kernel_h][kernel_w][channels] */
    const int32_t *bias;   /* [channels], less hi << shift */
    const uint8_t *shift;  /* [channels], 0..31 */
    int32_t span, lo;      /* hi - lo, lo */
} edgeq_depthwise_conv2d_v6m_params;

/* Armv6-M, and any other; multiplier 1. scratch, aligned to 4: five pointers a tap, with room to align them to their size,
 * and channels bytes more where padded. */
void edgeq_depthwise_conv2d_v6m(const edgeq_depthwise_conv2d_v6m_params *p, const int8_t *in, int8_t *out, void *scratch);

/* Kernel 3x3, dilation 1, strides up to 2, multiplier 1. Rows and columns may be exchanged in window and weight; distances
 * are in elements. */
typedef struct {
    edgeq_window window;
    int16_t channels;
    int16_t band;          /* output rows at a time */
    int16_t line;          /* words of scratch for a line of a channel */
    int8_t pad_value;      /* the input's zero point */
    int32_t in_row, in_column, out_row, out_column;
    const int8_t *weight;  /* [channels][3][3] */
    const int32_t *bias;   /* [channels], less hi << shift */
    const uint8_t *shift;  /* [channels], 0..31 */
    int32_t span, lo;      /* hi - lo, lo */
} edgeq_depthwise_conv2d_3x3_v6m_params;

/* Armv6-M, and any other. scratch: 4 * line * ((band - 1) * stride_h + 3) bytes, aligned to 4. */
void edgeq_depthwise_conv2d_3x3_v6m(const edgeq_depthwise_conv2d_3x3_v6m_params *p, const int8_t *in, int8_t *out,
                                    void *scratch);

typedef struct {
    edgeq_window window;
    int16_t in_c, out_c;
    int8_t pad_value;       /* the input's zero point */
    const int16_t *first;   /* [out_c / 16, rounded up]: the first input channel that 16 output channels read */
    const uint8_t *channel; /* [as first][16]: the input channel of each, counted from there */
    const int8_t *weight;   /* [as first][kernel_h][kernel_w][16], filled up with zeros */
    const int32_t *requant; /* [as first][2][16]: as for edgeq_depthwise_conv2d_mve */
    int32_t lo, hi;         /* -128..127 */
} edgeq_depthwise_conv2d_any_mve_params;

/* Helium; any number of taps, any multiplier. */
void edgeq_depthwise_conv2d_any_mve(const edgeq_depthwise_conv2d_any_mve_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
