#include "edgeq_avg_pool.h"

enum { AVG_POOL_BLOCK = 16 }; /* channels summed at a time */

/* sum[c] = sum of in[c] - zero_point over the window at (y, x), c < n; in points at the block's first channel. */
static void sum_block(const edgeq_window *w, int32_t channels, int32_t zero_point, const int8_t *in, int32_t y,
                      int32_t x, int32_t n, int32_t *sum) {
    for (int32_t c = 0; c < n; c++) {
        sum[c] = 0;
    }
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
            const int8_t *pixel = in + (iy * w->in_w + ix) * channels;
            for (int32_t c = 0; c < n; c++) {
                sum[c] += pixel[c] - zero_point;
            }
        }
    }
}

/* How many of `kernel` positions start, start + dilation, ... are in lo .. hi - 1. */
static int32_t count_taps(int32_t start, int32_t kernel, int32_t dilation, int32_t lo, int32_t hi) {
    int32_t count = 0;
    for (int32_t i = 0; i < kernel; i++) {
        const int32_t at = start + i * dilation;
        count += at >= lo && at < hi;
    }
    return count;
}

EDGEQ_KERNEL void edgeq_avg_pool(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t half = (1 << p->pre_shift) >> 1;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            for (int32_t c0 = 0; c0 < p->channels; c0 += AVG_POOL_BLOCK) {
                const int32_t n = p->channels - c0 < AVG_POOL_BLOCK ? p->channels - c0 : AVG_POOL_BLOCK;
                int32_t sum[AVG_POOL_BLOCK];
                sum_block(w, p->channels, p->zero_point, in + c0, y, x, n, sum);
                for (int32_t c = 0; c < n; c++) {
                    const int32_t acc = ((sum[c] + half) >> p->pre_shift) * p->m + p->bias;
                    out[c0 + c] = edgeq_requantize(acc, p->shift, p->lo, p->hi);
                }
            }
            out += p->channels;
        }
    }
}

EDGEQ_KERNEL void edgeq_avg_pool_counted(const edgeq_avg_pool_counted_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const int32_t rows = count_taps(y, w->kernel_h, w->dilation_h, -p->border_top, w->in_h + p->border_bottom);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const int32_t columns =
                count_taps(x, w->kernel_w, w->dilation_w, -p->border_left, w->in_w + p->border_right);
            const int32_t m = p->m[rows * columns];
            for (int32_t c0 = 0; c0 < p->channels; c0 += AVG_POOL_BLOCK) {
                const int32_t n = p->channels - c0 < AVG_POOL_BLOCK ? p->channels - c0 : AVG_POOL_BLOCK;
                int32_t sum[AVG_POOL_BLOCK];
                sum_block(w, p->channels, p->zero_point, in + c0, y, x, n, sum);
                for (int32_t c = 0; c < n; c++) {
                    out[c0 + c] = edgeq_requantize(sum[c] * m + p->bias, p->shift, p->lo, p->hi);
                }
            }
            out += p->channels;
        }
    }
}
