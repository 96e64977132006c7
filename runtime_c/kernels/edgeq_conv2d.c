#include "edgeq_conv2d.h"

#include <string.h>

#include "edgeq_linear.h"

/* Copies the window at (y, x), channels c0 .. c0 + n - 1, to patch. */
static void gather(const edgeq_conv2d_params *p, const int8_t *in, int32_t y, int32_t x, int32_t c0, int32_t n,
                   int8_t *patch) {
    const edgeq_window *w = &p->window;
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        for (int32_t j = 0; j < w->kernel_w; j++) {
            const int32_t ix = x + j * w->dilation_w;
            if (iy >= 0 && iy < w->in_h && ix >= 0 && ix < w->in_w) {
                memcpy(patch, in + (iy * w->in_w + ix) * p->in_c + c0, (size_t)n);
            } else {
                memset(patch, p->pad_value, (size_t)n);
            }
            patch += n;
        }
    }
}

EDGEQ_KERNEL void edgeq_conv2d(const edgeq_conv2d_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t taps = w->kernel_h * w->kernel_w * p->group_in;
    int8_t *patch = (int8_t *)scratch;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            for (int32_t g = 0; g < p->groups; g++) {
                const int32_t o = g * p->group_out;
                gather(p, in, oy * w->stride_h - w->pad_top, ox * w->stride_w - w->pad_left, g * p->group_in,
                       p->group_in, patch);
                edgeq_linear(patch, p->weight + o * taps, p->bias + o, p->shift + o, taps, p->group_out, p->lo, p->hi,
                             out + o);
            }
            out += p->out_c;
        }
    }
}

EDGEQ_KERNEL void edgeq_conv2d_1x1(const edgeq_conv2d_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int8_t *x = in + oy * w->stride_h * w->in_w * p->in_c;
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            edgeq_linear(x, p->weight, p->bias, p->shift, p->in_c, p->out_c, p->lo, p->hi, out);
            x += w->stride_w * p->in_c;
            out += p->out_c;
        }
    }
}
