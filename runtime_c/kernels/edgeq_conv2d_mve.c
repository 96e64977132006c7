#include "edgeq_conv2d.h"

#include "edgeq_linear_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* to[j * pitch + k] = from[j * c + k], j < n, k < c. */
static inline void conv2d_mve_spread(int8_t *to, const int8_t *from, int32_t c, int32_t pitch, int32_t n) {
    for (int32_t k = 0; k < c; k += EDGEQ_MVE_CHUNK) { /* 16 bytes of every column */
        int8_t *t = to + k;
        const int8_t *f = from + k;
        __asm volatile("vctp.8 %[bytes]\n"
                       "wls lr, %[n], 2f\n"
                       "1:\n"
                       "vpstt\n vldrbt.8 q0, [%[from]]\n vstrbt.8 q0, [%[to]]\n"
                       "add %[from], %[from], %[c]\n add %[to], %[to], %[pitch]\n"
                       "le lr, 1b\n"
                       "2:\n"
                       : [to] "+r"(t), [from] "+r"(f)
                       : [bytes] "r"(c - k), [c] "r"(c), [pitch] "r"(pitch), [n] "r"(n)
                       : "lr", "q0", "memory");
    }
}

/* The same for `columns` columns of few channels at a time: offset[l] is where byte l of them goes. */
static inline void conv2d_mve_scatter(int8_t *to, const int8_t *from, int32_t c, int32_t pitch, int32_t n,
                                      const uint8_t *offset, int32_t columns) {
    int32_t left = n * c;
    __asm volatile("vldrb.8 q1, [%[offset]]\n"
                   "1:\n"
                   "vctp.8 %[left]\n"
                   "vpstt\n vldrbt.8 q0, [%[from]]\n vstrbt.8 q0, [%[to], q1]\n"
                   "add %[from], %[from], %[bytes]\n add %[to], %[to], %[next]\n"
                   "subs %[left], %[left], %[bytes]\n"
                   "bgt 1b\n"
                   : [to] "+r"(to), [from] "+r"(from), [left] "+r"(left)
                   : [offset] "r"(offset), [bytes] "r"(columns * c), [next] "r"(columns * pitch)
                   : "q0", "q1", "cc", "memory");
}

#else

static inline void conv2d_mve_spread(int8_t *to, const int8_t *from, int32_t c, int32_t pitch, int32_t n) {
    for (int32_t j = 0; j < n; j++) {
        edgeq_mve_copy(to + j * pitch, from + j * c, c);
    }
}

static inline void conv2d_mve_scatter(int8_t *to, const int8_t *from, int32_t c, int32_t pitch, int32_t n,
                                      const uint8_t *offset, int32_t columns) {
    for (int32_t left = n * c; left > 0; left -= columns * c) {
        for (int32_t l = 0; l < left && l < EDGEQ_MVE_CHUNK; l++) {
            to[offset[l]] = from[l];
        }
        from += columns * c;
        to += columns * pitch;
    }
}

#endif

static inline int32_t conv2d_mve_limit(int32_t v, int32_t most) {
    return v < 0 ? 0 : v < most ? v : most;
}

/* Copies what `n` windows next to each other cover, from (y, x) on, to patch: column by column, each of kernel_h pixels.
 * So the windows of neighbours overlap in patch as they do in the input. */
static void conv2d_mve_columns(const edgeq_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t x, int32_t n,
                               int8_t *patch) {
    const edgeq_window *w = &p->window;
    const int32_t in_c = p->in_c, pitch = w->kernel_h * in_c;
    const int32_t all = (n - 1) * w->stride_w + w->kernel_w;
    const int32_t left = conv2d_mve_limit(-x, all), right = conv2d_mve_limit(w->in_w - x, all);
    edgeq_mve_fill(patch, p->pad_value, left * pitch);
    edgeq_mve_fill(patch + right * pitch, p->pad_value, (all - right) * pitch);
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        const int8_t *row = in + (iy * w->in_w + x + left) * in_c;
        int8_t *to = patch + left * pitch + i * in_c;
        if (iy < 0 || iy >= w->in_h) {
            for (int32_t j = left; j < right; j++) {
                edgeq_mve_fill(to, p->pad_value, in_c);
                to += pitch;
            }
        } else if (p->columns != 0) {
            conv2d_mve_scatter(to, row, in_c, pitch, right - left, p->offset, p->columns);
        } else {
            conv2d_mve_spread(to, row, in_c, pitch, right - left);
        }
    }
}

EDGEQ_KERNEL void edgeq_conv2d_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t out_c = p->out_c, step = w->stride_w * w->kernel_h * p->in_c;
    int8_t *patch = (int8_t *)scratch;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        int8_t *row = out;
        for (int32_t ox = 0; ox < w->out_w; ox += p->tile) {
            const int32_t n = conv2d_mve_limit(w->out_w - ox, p->tile);
            conv2d_mve_columns(p, in, oy * w->stride_h - w->pad_top, ox * w->stride_w - w->pad_left, n, patch);
            edgeq_mve_matrix(patch, step, n, p->weight, p->chunks, out_c, out);
            out += n * out_c;
        }
        edgeq_mve_clamp(row, w->out_w * out_c, p->lo, p->hi);
    }
}

EDGEQ_KERNEL void edgeq_conv2d_1x1_mve(const edgeq_conv2d_mve_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t in_c = p->in_c, out_c = p->out_c, chunks = p->chunks;
    const int32_t direct = w->out_w - p->tile, step = w->stride_w * in_c;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int8_t *row = in + oy * w->stride_h * w->in_w * in_c;
        edgeq_mve_matrix(row, step, direct, p->weight, chunks, out_c, out);
        /* the last pixels end in part of a chunk, behind which may be no memory */
        edgeq_mve_copy((int8_t *)scratch, row + direct * in_c, p->tile * in_c);
        edgeq_mve_matrix((const int8_t *)scratch, in_c, p->tile, p->weight, chunks, out_c, out + direct * out_c);
        edgeq_mve_clamp(out, w->out_w * out_c, p->lo, p->hi);
        out += w->out_w * out_c;
    }
}

/* Copies the window at (y, x), channels c0 .. c0 + group_in - 1, to patch, tap by tap. */
static void conv2d_mve_taps(const edgeq_conv2d_any_mve_params *p, const int8_t *in, int32_t y, int32_t x, int32_t c0,
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

EDGEQ_KERNEL void edgeq_conv2d_any_mve(const edgeq_conv2d_any_mve_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t blocks = (p->group_out + EDGEQ_MVE_BLOCK - 1) / EDGEQ_MVE_BLOCK;
    const int32_t weights = blocks * edgeq_mve_block_bytes(p->chunks), out_c = p->groups * p->group_out;
    int8_t *patch = (int8_t *)scratch;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        int8_t *row = out;
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            for (int32_t g = 0; g < p->groups; g++) {
                conv2d_mve_taps(p, in, oy * w->stride_h - w->pad_top, ox * w->stride_w - w->pad_left, g * p->group_in,
                                patch);
                edgeq_mve_vector(patch, p->weight + g * weights, p->chunks, p->group_out, out);
                out += p->group_out;
            }
        }
        edgeq_mve_clamp(row, w->out_w * out_c, p->lo, p->hi);
    }
}
