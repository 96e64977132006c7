#include "edgeq_max_pool.h"

#include <arm_mve.h>

#include "edgeq_pool_mve.h"

enum { MAX_POOL_MVE_LANES = 16 };

EDGEQ_KERNEL void edgeq_max_pool_mve(const edgeq_max_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels;
    const int32_t step_w = w->dilation_w * channels, step_h = w->dilation_h * w->in_w * channels;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const edgeq_mve_taps rows = edgeq_mve_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const edgeq_mve_taps columns = edgeq_mve_inside(x, w->kernel_w, w->dilation_w, w->in_w);
            const int32_t corner = (y * w->in_w + x) * channels + rows.first * step_h + columns.first * step_w;
            for (int32_t c0 = 0; c0 < channels; c0 += MAX_POOL_MVE_LANES) {
                const mve_pred16_t inside = vctp8q((uint32_t)(channels - c0));
                int8x16_t best = vdupq_n_s8(-128);
                int32_t at = corner + c0;
                for (int32_t i = rows.first; i < rows.end; i++) {
                    const int8_t *pixel = in + at;
                    for (int32_t j = columns.first; j < columns.end; j++) {
                        best = vmaxq_s8(best, vldrbq_z_s8(pixel, inside));
                        pixel += step_w;
                    }
                    at += step_h;
                }
                vstrbq_p_s8(out + c0, best, inside);
            }
            out += channels;
        }
    }
}
