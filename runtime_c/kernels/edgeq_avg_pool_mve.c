#include "edgeq_avg_pool.h"

#include <arm_mve.h>

enum { AVG_POOL_MVE_LANES = 4 };

/* The taps of a window, start + i * dilation for i in first .. end - 1, that are in 0 .. size - 1. */
typedef struct {
    int32_t first, end;
} avg_pool_mve_taps;

static avg_pool_mve_taps avg_pool_mve_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size) {
    avg_pool_mve_taps t = {0, kernel};
    while (t.first < kernel && start + t.first * dilation < 0) {
        t.first++;
    }
    while (t.end > t.first && start + (t.end - 1) * dilation >= size) {
        t.end--;
    }
    return t;
}

EDGEQ_KERNEL void edgeq_avg_pool_mve(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels, half = (1 << p->pre_shift) >> 1;
    const int32_t step_w = w->dilation_w * channels, step_h = w->dilation_h * w->in_w * channels;
    const int32x4_t low = vdupq_n_s32(p->lo), high = vdupq_n_s32(p->hi);
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const avg_pool_mve_taps rows = avg_pool_mve_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const avg_pool_mve_taps columns = avg_pool_mve_inside(x, w->kernel_w, w->dilation_w, w->in_w);
            const int32_t width = columns.end - columns.first, count = (rows.end - rows.first) * width;
            const int32_t start = half - count * p->zero_point;
            const int32_t corner = (y * w->in_w + x) * channels + rows.first * step_h + columns.first * step_w;
            for (int32_t c0 = 0; c0 < channels; c0 += AVG_POOL_MVE_LANES) {
                const mve_pred16_t inside = vctp32q((uint32_t)(channels - c0));
                int32x4_t sum = vdupq_n_s32(start);
                int32_t at = corner + c0;
                for (int32_t i = rows.first; i < rows.end; i++) {
                    const int8_t *pixel = in + at;
                    for (int32_t j = width; j > 0; j--) {
                        sum = vaddq_s32(sum, vldrbq_z_s32(pixel, inside));
                        pixel += step_w;
                    }
                    at += step_h;
                }
                sum = vaddq_n_s32(vmulq_n_s32(vshlq_r_s32(sum, -(int32_t)p->pre_shift), p->m), p->bias);
                sum = vminq_s32(vmaxq_s32(vshlq_r_s32(sum, -(int32_t)p->shift), low), high);
                vstrbq_p_s32(out + c0, sum, inside);
            }
            out += channels;
        }
    }
}
