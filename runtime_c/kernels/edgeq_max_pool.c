#include "edgeq_max_pool.h"

#include <string.h>

enum { MAX_POOL_BLOCK = 16 }; /* channels compared at a time */

/* best[c] = largest in[c] in the window at (y, x), c < n; in points at the block's first channel. */
static void max_block(const edgeq_max_pool_params *p, const int8_t *in, int32_t y, int32_t x, int32_t n,
                      int8_t *best) {
    const edgeq_window *w = &p->window;
    memset(best, -128, (size_t)n);
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        if (iy < 0 || iy >= w->in_h) {
            continue;
        }
        for (int32_t j = 0; j < w->kernel_w; j++) {
            const int32_t ix = x + j * w->dilation_w;
            if (ix < 0 || ix >= w->in_w) {
                continue;
            }
            const int8_t *pixel = in + (iy * w->in_w + ix) * p->channels;
            for (int32_t c = 0; c < n; c++) {
                best[c] = pixel[c] > best[c] ? pixel[c] : best[c];
            }
        }
    }
}

EDGEQ_KERNEL void edgeq_max_pool(const edgeq_max_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            for (int32_t c0 = 0; c0 < p->channels; c0 += MAX_POOL_BLOCK) {
                const int32_t n = p->channels - c0 < MAX_POOL_BLOCK ? p->channels - c0 : MAX_POOL_BLOCK;
                int8_t best[MAX_POOL_BLOCK];
                max_block(p, in + c0, oy * w->stride_h - w->pad_top, ox * w->stride_w - w->pad_left, n, best);
                memcpy(out + c0, best, (size_t)n);
            }
            out += p->channels;
        }
    }
}
