#include "edgeq_avg_pool.h"
#include "edgeq_v7m.h"

/* The taps of a window, start + i * dilation for i in first .. first + count - 1, that are in 0 .. size - 1. */
typedef struct {
    int32_t first, count;
} avg_pool_v7m_taps;

static avg_pool_v7m_taps avg_pool_v7m_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size) {
    avg_pool_v7m_taps t = {0, 0};
    for (int32_t i = 0; i < kernel; i++) {
        const int32_t at = start + i * dilation;
        t.first += at < 0;
        t.count += at >= 0 && at < size;
    }
    return t;
}

EDGEQ_KERNEL void edgeq_avg_pool_v7m(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t step_w = w->dilation_w * p->channels, step_h = w->dilation_h * w->in_w * p->channels;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const avg_pool_v7m_taps rows = avg_pool_v7m_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const avg_pool_v7m_taps columns = avg_pool_v7m_inside(x, w->kernel_w, w->dilation_w, w->in_w);
            const int32_t start = ((1 << p->pre_shift) >> 1) - rows.count * columns.count * p->zero_point;
            const int32_t corner = (y * w->in_w + x) * p->channels + rows.first * step_h + columns.first * step_w;
            for (int32_t c = 0; c < p->channels; c += 4) {
                int32_t sum0 = start, sum1 = start, sum2 = start, sum3 = start;
                for (int32_t i = 0; i < rows.count; i++) {
                    const int8_t *pixel = in + corner + c + i * step_h;
                    for (int32_t j = columns.count; j > 0; j--) {
                        sum0 += pixel[0];
                        sum1 += pixel[1];
                        sum2 += pixel[2];
                        sum3 += pixel[3];
                        pixel += step_w;
                    }
                }
                out[c] = edgeq_requantize((sum0 >> p->pre_shift) * p->m + p->bias, p->shift, p->lo, p->hi);
                out[c + 1] = edgeq_requantize((sum1 >> p->pre_shift) * p->m + p->bias, p->shift, p->lo, p->hi);
                out[c + 2] = edgeq_requantize((sum2 >> p->pre_shift) * p->m + p->bias, p->shift, p->lo, p->hi);
                out[c + 3] = edgeq_requantize((sum3 >> p->pre_shift) * p->m + p->bias, p->shift, p->lo, p->hi);
            }
            out += p->channels;
        }
    }
}
