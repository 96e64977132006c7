#include "edgeq_conv2d.h"

#include "edgeq_linear_mve.h"

/* Copies the window at (y, x), channels c0 .. c0 + group_in - 1, to patch, tap by tap. */
static void conv2d_mve_taps(const edgeq_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t x, int32_t c0,
                            int8_t *patch) {
    const edgeq_window *w = &p->window;
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        for (int32_t j = 0; j < w->kernel_w; j++) {
            const int32_t ix = x + j * w->dilation_w;
            if (iy >= 0 && iy < w->in_h && ix >= 0 && ix < w->in_w) {
                edgeq_mve_copy(patch, in + (iy * w->in_w + ix) * p->in_c + c0, p->group_in);
            } else {
                edgeq_mve_fill(patch, p->pad_value, p->group_in);
            }
            patch += p->group_in;
        }
    }
}

/* The same for one group and dilation_w 1: a row of the window is contiguous, but for what is left and right of the input. */
static void conv2d_mve_rows(const edgeq_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t x, int8_t *patch) {
    const edgeq_window *w = &p->window;
    const int32_t row = w->kernel_w * p->in_c;
    int32_t from = x < 0 ? -x : 0, to = w->in_w - x < w->kernel_w ? w->in_w - x : w->kernel_w;
    if (from > to) {
        from = to = 0; /* wholly outside */
    }
    const int32_t left = from * p->in_c, middle = (to - from) * p->in_c, right = row - left - middle;
    const int32_t step = w->dilation_h * w->in_w * p->in_c;
    int32_t at = (y * w->in_w + x + from) * p->in_c;
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        if (iy < 0 || iy >= w->in_h) {
            edgeq_mve_fill(patch, p->pad_value, row);
        } else if (middle == row) {
            edgeq_mve_copy(patch, in + at, row);
        } else {
            edgeq_mve_fill(patch, p->pad_value, left);
            edgeq_mve_copy(patch + left, in + at, middle);
            edgeq_mve_fill(patch + left + middle, p->pad_value, right);
        }
        patch += row;
        at += step;
    }
}

/* Output pixels ox .. end - 1 of the row whose windows begin at y, wherever they are. */
static void conv2d_mve_any(const edgeq_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t ox, int32_t end,
                           int8_t *patch, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t blocks = (p->group_out + EDGEQ_MVE_BLOCK - 1) / EDGEQ_MVE_BLOCK;
    const int32_t weights = blocks * EDGEQ_MVE_BLOCK * p->chunks * EDGEQ_MVE_CHUNK;
    for (; ox < end; ox++) {
        const int32_t x = ox * w->stride_w - w->pad_left;
        for (int32_t g = 0; g < p->groups; g++) {
            if (p->groups == 1 && w->dilation_w == 1) {
                conv2d_mve_rows(p, in, y, x, patch);
            } else {
                conv2d_mve_taps(p, in, y, x, g * p->group_in, patch);
            }
            edgeq_mve_linear(patch, p->weight + g * weights, p->requant + g * blocks * 8, p->chunks, p->group_out, out);
            out += p->group_out;
        }
    }
}

/* `count` output pixels whose windows are inside the input, the first at `in`; one group, dilation_w 1. */
static void conv2d_mve_inner(const edgeq_conv2d_mve_params *p, const int8_t *in, int32_t count, int8_t *patch,
                             int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t in_c = p->in_c, out_c = p->out_c, chunks = p->chunks;
    const int32_t bytes = w->kernel_w * in_c, rows = w->kernel_h, next_row = w->dilation_h * w->in_w * in_c;
    const int32_t next_pixel = w->stride_w * in_c;
    const int8_t *weight = p->weight;
    const int32_t *requant = p->requant;
    for (; count > 0; count--) {
        edgeq_mve_copy_rows(patch, in, bytes, rows, next_row);
        edgeq_mve_linear(patch, weight, requant, chunks, out_c, out);
        in += next_pixel;
        out += out_c;
    }
}

EDGEQ_KERNEL void edgeq_conv2d_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int by_rows = p->groups == 1 && w->dilation_w == 1;
    const int32_t last_y = w->in_h - (w->kernel_h - 1) * w->dilation_h;
    const int32_t left = edgeq_mve_before(0, w->stride_w, w->pad_left, w->out_w);
    const int32_t right = edgeq_mve_before(w->in_w - w->kernel_w + 1, w->stride_w, w->pad_left, w->out_w);
    int8_t *patch = (int8_t *)scratch;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        if (by_rows && y >= 0 && y < last_y && left < right) {
            const int8_t *from = in + (y * w->in_w + left * w->stride_w - w->pad_left) * p->in_c;
            conv2d_mve_any(p, in, y, 0, left, patch, out);
            conv2d_mve_inner(p, from, right - left, patch, out + left * p->out_c);
            conv2d_mve_any(p, in, y, right, w->out_w, patch, out + right * p->out_c);
        } else {
            conv2d_mve_any(p, in, y, 0, w->out_w, patch, out);
        }
        edgeq_mve_clamp(out, w->out_w * p->out_c, p->lo, p->hi);
        out += w->out_w * p->out_c;
    }
}

EDGEQ_KERNEL void edgeq_conv2d_1x1_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t in_c = p->in_c, out_c = p->out_c, chunks = p->chunks, step = w->stride_w * in_c;
    const int8_t *weight = p->weight;
    const int32_t *requant = p->requant;
    int8_t *patch = (int8_t *)scratch;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int8_t *x = in + oy * w->stride_h * w->in_w * in_c;
        int8_t *row = out;
        if (chunks == 1 && out_c % EDGEQ_MVE_BLOCK == 0) {
            for (int32_t o = 0; o < out_c; o += EDGEQ_MVE_BLOCK) {
                edgeq_mve_pixels(x, in_c, step, weight + o * EDGEQ_MVE_CHUNK, requant + 2 * o, w->out_w, out + o, out_c);
            }
            out += w->out_w * out_c;
        } else if (in_c % EDGEQ_MVE_CHUNK == 0) {
            for (int32_t ox = 0; ox < w->out_w; ox++) {
                edgeq_mve_linear(x, weight, requant, chunks, out_c, out);
                x += step;
                out += out_c;
            }
        } else {
            for (int32_t ox = 0; ox < w->out_w; ox++) {
                edgeq_mve_copy(patch, x, in_c);
                edgeq_mve_linear(patch, weight, requant, chunks, out_c, out);
                x += step;
                out += out_c;
            }
        }
        edgeq_mve_clamp(row, w->out_w * out_c, p->lo, p->hi);
    }
}
