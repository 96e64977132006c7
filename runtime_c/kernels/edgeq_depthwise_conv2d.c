#include "edgeq_depthwise_conv2d.h"

enum { DEPTHWISE_BLOCK = 32 }; /* channels accumulated at a time */

/* acc[c] += weight[c] * x[(used + c) / multiplier], c < n; x is null outside the input. used: how many of the
 * multiplier output channels of x[0] are done. */
static void tap(const edgeq_depthwise_conv2d_params *p, const int8_t *x, const int8_t *weight, int32_t used, int32_t n,
                int32_t *acc) {
    if (x == 0) {
        for (int32_t c = 0; c < n; c++) {
            acc[c] += weight[c] * p->pad_value;
        }
    } else if (p->multiplier == 1 && n == DEPTHWISE_BLOCK) { /* a known length: vectorised */
        for (int32_t c = 0; c < DEPTHWISE_BLOCK; c++) {
            acc[c] += weight[c] * x[c];
        }
    } else if (p->multiplier == 1) {
        for (int32_t c = 0; c < n; c++) {
            acc[c] += weight[c] * x[c];
        }
    } else {
        for (int32_t c = 0; c < n; c++) {
            acc[c] += weight[c] * *x;
            if (++used == p->multiplier) {
                used = 0;
                x++;
            }
        }
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d(const edgeq_depthwise_conv2d_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t out_c = p->in_c * p->multiplier;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            int32_t in_c0 = 0, used = 0; /* c0 = in_c0 * multiplier + used */
            for (int32_t c0 = 0; c0 < out_c; c0 += DEPTHWISE_BLOCK) {
                const int32_t n = out_c - c0 < DEPTHWISE_BLOCK ? out_c - c0 : DEPTHWISE_BLOCK;
                const int8_t *weight = p->weight + c0;
                int32_t acc[DEPTHWISE_BLOCK];
                for (int32_t c = 0; c < n; c++) {
                    acc[c] = p->bias[c0 + c];
                }
                for (int32_t i = 0; i < w->kernel_h; i++) {
                    const int32_t iy = oy * w->stride_h - w->pad_top + i * w->dilation_h;
                    for (int32_t j = 0; j < w->kernel_w; j++) {
                        const int32_t ix = ox * w->stride_w - w->pad_left + j * w->dilation_w;
                        const int inside = iy >= 0 && iy < w->in_h && ix >= 0 && ix < w->in_w;
                        tap(p, inside ? in + (iy * w->in_w + ix) * p->in_c + in_c0 : 0, weight, used, n, acc);
                        weight += out_c;
                    }
                }
                for (int32_t c = 0; c < n; c++) {
                    out[c0 + c] = edgeq_requantize(acc[c], p->shift[c0 + c], p->lo, p->hi);
                }
                if (p->multiplier == 1) {
                    in_c0 += n;
                } else {
                    for (used += n; used >= p->multiplier; used -= p->multiplier) {
                        in_c0++;
                    }
                }
            }
            out += out_c;
        }
    }
}
