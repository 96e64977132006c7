#include "edgeq_avg_pool.h"

#include <arm_mve.h>

#include "edgeq_pool_mve.h"

enum { AVG_POOL_MVE_LANES = 4 };

/* The taps of one window inside the input, the first at `in`; steps in bytes. */
typedef struct {
    const int8_t *in;
    int32_t rows, columns, step_h, step_w;
} avg_pool_mve_window;

/* How the sum of a window, which begins with `start`, becomes its output. */
typedef struct {
    int32_t start, pre_shift, m, bias, shift, lo, hi;
} avg_pool_mve_requant;

static inline void avg_pool_mve_pixel(const avg_pool_mve_window *w, const avg_pool_mve_requant *r, int32_t channels,
                                      int8_t *out) {
    const int32x4_t low = vdupq_n_s32(r->lo), high = vdupq_n_s32(r->hi);
    for (int32_t c0 = 0; c0 < channels; c0 += AVG_POOL_MVE_LANES) {
        const mve_pred16_t inside = vctp32q((uint32_t)(channels - c0));
        const int8_t *row = w->in + c0;
        int32x4_t sum = vdupq_n_s32(r->start);
        for (int32_t i = w->rows; i > 0; i--) {
            const int8_t *pixel = row;
            for (int32_t j = w->columns; j > 0; j--) {
                sum = vaddq_s32(sum, vldrbq_z_s32(pixel, inside));
                pixel += w->step_w;
            }
            row += w->step_h;
        }
        sum = vaddq_n_s32(vmulq_n_s32(vshlq_r_s32(sum, -r->pre_shift), r->m), r->bias);
        sum = vminq_s32(vmaxq_s32(vshlq_r_s32(sum, -r->shift), low), high);
        vstrbq_p_s32(out + c0, sum, inside);
    }
}

/* What of the window at (y, x), with these taps inside, is in the input. */
static inline avg_pool_mve_window avg_pool_mve_at(const edgeq_window *w, int32_t channels, const int8_t *in, int32_t y,
                                                  int32_t x, edgeq_mve_taps rows, edgeq_mve_taps columns) {
    const int32_t top = y + rows.first * w->dilation_h, left = x + columns.first * w->dilation_w;
    const avg_pool_mve_window inside = {in + (top * w->in_w + left) * channels, rows.end - rows.first,
                                        columns.end - columns.first, w->dilation_h * w->in_w * channels,
                                        w->dilation_w * channels};
    return inside;
}

EDGEQ_KERNEL void edgeq_avg_pool_mve(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t half = (1 << p->pre_shift) >> 1;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const edgeq_mve_taps rows = edgeq_mve_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const edgeq_mve_taps columns = edgeq_mve_inside(x, w->kernel_w, w->dilation_w, w->in_w);
            const avg_pool_mve_window inside = avg_pool_mve_at(w, p->channels, in, y, x, rows, columns);
            const avg_pool_mve_requant requant = {half - inside.rows * inside.columns * p->zero_point, p->pre_shift, p->m,
                                                  p->bias, p->shift, p->lo, p->hi};
            avg_pool_mve_pixel(&inside, &requant, p->channels, out);
            out += p->channels;
        }
    }
}

/* How many taps are inside the input extended by `before` and `after`. */
static int32_t avg_pool_mve_count(int32_t start, int32_t kernel, int32_t dilation, int32_t size, int32_t before,
                                  int32_t after) {
    const edgeq_mve_taps t = edgeq_mve_inside(start + before, kernel, dilation, size + before + after);
    return t.end - t.first;
}

EDGEQ_KERNEL void edgeq_avg_pool_counted_mve(const edgeq_avg_pool_counted_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        const edgeq_mve_taps rows = edgeq_mve_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        const int32_t high = avg_pool_mve_count(y, w->kernel_h, w->dilation_h, w->in_h, p->border_top, p->border_bottom);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            const edgeq_mve_taps columns = edgeq_mve_inside(x, w->kernel_w, w->dilation_w, w->in_w);
            const int32_t wide =
                avg_pool_mve_count(x, w->kernel_w, w->dilation_w, w->in_w, p->border_left, p->border_right);
            const avg_pool_mve_window inside = avg_pool_mve_at(w, p->channels, in, y, x, rows, columns);
            const avg_pool_mve_requant requant = {-inside.rows * inside.columns * p->zero_point, 0, p->m[high * wide],
                                                  p->bias, p->shift, p->lo, p->hi};
            avg_pool_mve_pixel(&inside, &requant, p->channels, out);
            out += p->channels;
        }
    }
}
