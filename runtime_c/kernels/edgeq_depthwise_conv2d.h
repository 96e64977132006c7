/* depthwise_conv2d: each output channel reads one input channel, NHWC, batch 1. See SPEC.md, "depthwise_conv2d".
 *
 * in  [in_h][in_w][in_c], out [out_h][out_w][in_c * multiplier]. They may be the same memory where the kernel is 1x1
 * with stride 1 and multiplier 1, otherwise they must not overlap.
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

void edgeq_depthwise_conv2d(const edgeq_depthwise_conv2d_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
