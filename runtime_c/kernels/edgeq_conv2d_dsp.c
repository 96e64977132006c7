#include "edgeq_conv2d.h"
#include "edgeq_dsp.h"

/* Two pixels by two channels at a time, until a pair of channels marked as the last: 14 instructions for 16 products.
 * x: for each step of four taps the even and odd int16s of pixel 0, then of pixel 1. w: the packed weights. Writes the
 * channels to out0 and out1, saturated to int8; returns the weights after those read. */
#if EDGEQ_DSP_ASM
__attribute__((naked, noinline)) static const int32_t *conv2d_dsp_pairs(
    const uint32_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out0 __attribute__((unused)), int8_t *out1 __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r0, r2-r11, lr}\n" /* x, out0, out1, the caller's */
        "ldr r4, [sp, #48]\n"     /* steps: the loop has 16, and is entered so far inside that they come out right */
        "add r5, r4, #15\n"
        "lsr r5, r5, #4\n"
        "rsb r6, r4, r5, lsl #4\n"
        "mov r8, #56\n" /* bytes of a step */
        "adr r7, 2f\n"
        "mla r6, r6, r8, r7\n"
        "orr r6, r6, #1\n"
        "push {r5, r6}\n"
        "1:\n"
        "ldrd r9, r10, [r1], #8\n" /* biases */
        "ldrd lr, r6, [sp]\n"
        "ldr r0, [sp, #8]\n"
        "mov r11, r9\n"
        "mov r12, r10\n"
        "bx r6\n"
        ".balign 4\n"
        "2:\n"
        ".rept 16\n"
        "ldrd r7, r8, [r1], #8\n"
        "ldmia.w r0!, {r2-r5}\n"
        "sxtb16 r6, r7\n"
        "sxtb16 r7, r7, ror #8\n"
        "smlad r9, r6, r2, r9\n"
        "smlad r11, r6, r4, r11\n"
        "sxtb16 r6, r8\n"
        "sxtb16 r8, r8, ror #8\n"
        "smlad r9, r7, r3, r9\n"
        "smlad r11, r7, r5, r11\n"
        "smlad r10, r6, r2, r10\n"
        "smlad r12, r6, r4, r12\n"
        "smlad r10, r8, r3, r10\n"
        "smlad r12, r8, r5, r12\n"
        ".endr\n"
        "subs lr, lr, #1\n"
        "bne 2b\n"
        "ldr r6, [r1], #4\n" /* shifts in two bytes; the sign marks the last pair */
        "ldrd r2, r3, [sp, #12]\n"
        "asr r9, r9, r6\n"
        "asr r11, r11, r6\n"
        "asrs r6, r6, #8\n"
        "asr r10, r10, r6\n"
        "asr r12, r12, r6\n"
        "ssat r9, #8, r9\n"
        "ssat r10, #8, r10\n"
        "ssat r11, #8, r11\n"
        "ssat r12, #8, r12\n"
        "strb r9, [r2], #1\n"
        "strb r10, [r2], #1\n"
        "strb r11, [r3], #1\n"
        "strb r12, [r3], #1\n"
        "strd r2, r3, [sp, #12]\n"
        "bpl 1b\n"
        "mov r0, r1\n"
        "add sp, sp, #20\n"
        "pop {r4-r11, pc}\n");
}
#else
static const int32_t *conv2d_dsp_pairs(const uint32_t *x, const int32_t *w, int8_t *out0, int8_t *out1, int32_t steps) {
    int32_t tail;
    do {
        int32_t a = w[0], b = w[1], c = w[0], d = w[1];
        w += 2;
        for (const uint32_t *v = x; v != x + 4 * steps; v += 4) {
            const uint32_t w0 = (uint32_t)w[0], w1 = (uint32_t)w[1];
            w += 2;
            a = edgeq_dsp_mac2(edgeq_dsp_odd(w0), v[1], edgeq_dsp_mac2(edgeq_dsp_even(w0), v[0], a));
            b = edgeq_dsp_mac2(edgeq_dsp_odd(w1), v[1], edgeq_dsp_mac2(edgeq_dsp_even(w1), v[0], b));
            c = edgeq_dsp_mac2(edgeq_dsp_odd(w0), v[3], edgeq_dsp_mac2(edgeq_dsp_even(w0), v[2], c));
            d = edgeq_dsp_mac2(edgeq_dsp_odd(w1), v[3], edgeq_dsp_mac2(edgeq_dsp_even(w1), v[2], d));
        }
        tail = *w++;
        *out0++ = edgeq_dsp_saturate(a >> (tail & 31));
        *out0++ = edgeq_dsp_saturate(b >> (tail >> 8 & 31));
        *out1++ = edgeq_dsp_saturate(c >> (tail & 31));
        *out1++ = edgeq_dsp_saturate(d >> (tail >> 8 & 31));
    } while (tail >= 0);
    return w;
}
#endif

/* All channels of two pixels. Of an odd number the last two are a run of their own: it writes the last but one again. */
static inline void conv2d_dsp_pixels(const edgeq_conv2d_dsp_params *p, const uint32_t *x, int8_t *out0, int8_t *out1) {
    const int32_t *rest = conv2d_dsp_pairs(x, p->weight, out0, out1, p->steps);
    if (p->out_c % 2 != 0) {
        conv2d_dsp_pairs(x, rest, out0 + p->out_c - 2, out1 + p->out_c - 2, p->steps);
    }
}

/* Four taps of two pixels: a step of x. */
static inline void conv2d_dsp_step(uint32_t word0, uint32_t word1, uint32_t *x) {
    x[0] = edgeq_dsp_even(word0);
    x[1] = edgeq_dsp_odd(word0);
    x[2] = edgeq_dsp_even(word1);
    x[3] = edgeq_dsp_odd(word1);
}

/* The steps of two rows of 4 * steps bytes. Returns the end of what it wrote. */
static inline uint32_t *conv2d_dsp_expand(const int8_t *row0, const int8_t *row1, int32_t steps, uint32_t *x) {
    for (; steps >= 4; steps -= 4) {
        conv2d_dsp_step(edgeq_dsp_load4(row0), edgeq_dsp_load4(row1), x);
        conv2d_dsp_step(edgeq_dsp_load4(row0 + 4), edgeq_dsp_load4(row1 + 4), x + 4);
        conv2d_dsp_step(edgeq_dsp_load4(row0 + 8), edgeq_dsp_load4(row1 + 8), x + 8);
        conv2d_dsp_step(edgeq_dsp_load4(row0 + 12), edgeq_dsp_load4(row1 + 12), x + 12);
        row0 += 16;
        row1 += 16;
        x += 16;
    }
    for (; steps > 0; steps--) {
        conv2d_dsp_step(edgeq_dsp_load4(row0), edgeq_dsp_load4(row1), x);
        row0 += 4;
        row1 += 4;
        x += 4;
    }
    return x;
}

/* The first n < 4 bytes of a row as a word. */
static inline uint32_t conv2d_dsp_load(const int8_t *from, int32_t n) {
    uint32_t word = 0;
    while (n > 0) {
        n--;
        word = word << 8 | (uint8_t)from[n];
    }
    return word;
}

/* Where the pixels are that a 1x1 kernel reads. */
typedef struct {
    const int8_t *at;
    int32_t left; /* in the row */
} conv2d_dsp_pixel;

static inline conv2d_dsp_pixel conv2d_dsp_first(const edgeq_conv2d_dsp_params *p, const int8_t *in, int32_t pixel) {
    const edgeq_window *w = &p->window;
    const int32_t oy = pixel / w->out_w, ox = pixel - oy * w->out_w;
    const conv2d_dsp_pixel first = {in + (oy * w->stride_h * w->in_w + ox * w->stride_w) * p->in_c, w->out_w - ox};
    return first;
}

/* The pixel; moves to the next. */
static inline const int8_t *conv2d_dsp_take(const edgeq_conv2d_dsp_params *p, conv2d_dsp_pixel *pixel) {
    const edgeq_window *w = &p->window;
    const int8_t *at = pixel->at;
    pixel->left--;
    if (pixel->left > 0) {
        pixel->at += w->stride_w * p->in_c;
    } else {
        pixel->at += (w->stride_h * w->in_w - (w->out_w - 1) * w->stride_w) * p->in_c;
        pixel->left = w->out_w;
    }
    return at;
}

/* Two pixels as the steps of x. Returns the end of what it wrote. */
static inline uint32_t *conv2d_dsp_expand_pixels(const int8_t *first, const int8_t *second, int32_t n, uint32_t *x) {
    const int32_t whole = n / 4, rest = n % 4;
    x = conv2d_dsp_expand(first, second, whole, x);
    if (rest > 0) {
        conv2d_dsp_step(conv2d_dsp_load(first + 4 * whole, rest), conv2d_dsp_load(second + 4 * whole, rest), x);
        x += 4;
    }
    return x;
}

EDGEQ_KERNEL void edgeq_conv2d_1x1_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const int32_t pixels = p->window.out_h * p->window.out_w;
    uint32_t *x = (uint32_t *)scratch;
    int8_t *to = out;
    conv2d_dsp_pixel next = conv2d_dsp_first(p, in, 0);
    for (int32_t i = 0; i < pixels; i += 2) {
        const int8_t *first = conv2d_dsp_take(p, &next), *second = first;
        int8_t *out1 = to;
        if (i + 1 < pixels) { /* otherwise the last pixel is computed twice */
            second = conv2d_dsp_take(p, &next);
            out1 += p->out_c;
        }
        conv2d_dsp_expand_pixels(first, second, p->in_c, x);
        conv2d_dsp_pixels(p, x, to, out1);
        to += 2 * p->out_c;
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}

/* Two channels of a tile, in the order in which the assembly reads it. */
typedef struct {
    int32_t bias[2], shift[2];
    int8_t *out;         /* of the first pixel */
    int32_t out_c;
    const uint32_t *end; /* of the tile's steps */
    int32_t steps;       /* 1..8 */
} conv2d_dsp_tile;

/* All pixels of a tile, two at a time, by two channels: 10 instructions for 16 products. w: for each step the even and odd
 * weights of either channel. */
#if EDGEQ_DSP_ASM
__attribute__((naked, noinline)) static void conv2d_dsp_tile_channels(
    const uint32_t *x __attribute__((unused)), const uint32_t *w __attribute__((unused)),
    const conv2d_dsp_tile *tile __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldm r2, {r4-r11}\n"
        "rsb r11, r11, #8\n" /* of 8 steps so many are jumped over */
        "mov r12, #40\n"     /* bytes of a step */
        "adr r3, 2f\n"
        "mla r11, r11, r12, r3\n"
        "orr r11, r11, #1\n"
        "push {r1, r4-r11}\n"
        "1:\n"
        "ldr r1, [sp]\n"
        "ldrd r9, r10, [sp, #4]\n"
        "ldr r2, [sp, #32]\n"
        "mov r11, r9\n"
        "mov r12, r10\n"
        "bx r2\n"
        ".balign 4\n"
        "2:\n"
        ".rept 8\n"
        "ldmia.w r1!, {r6, r7, r8, lr}\n"
        "ldmia.w r0!, {r2-r5}\n"
        "smlad r9, r6, r2, r9\n"
        "smlad r11, r6, r4, r11\n"
        "smlad r10, r8, r2, r10\n"
        "smlad r12, r8, r4, r12\n"
        "smlad r9, r7, r3, r9\n"
        "smlad r11, r7, r5, r11\n"
        "smlad r10, lr, r3, r10\n"
        "smlad r12, lr, r5, r12\n"
        ".endr\n"
        "ldrd r6, r7, [sp, #12]\n"
        "ldrd r2, r3, [sp, #20]\n"
        "asr r9, r9, r6\n"
        "asr r10, r10, r7\n"
        "asr r11, r11, r6\n"
        "asr r12, r12, r7\n"
        "ssat r9, #8, r9\n"
        "ssat r10, #8, r10\n"
        "ssat r11, #8, r11\n"
        "ssat r12, #8, r12\n"
        "strb r9, [r2]\n"
        "strb r10, [r2, #1]\n"
        "add r2, r2, r3\n"
        "strb r11, [r2]\n"
        "strb r12, [r2, #1]\n"
        "add r2, r2, r3\n"
        "str r2, [sp, #20]\n"
        "ldr r6, [sp, #28]\n"
        "cmp r0, r6\n"
        "bne 1b\n"
        "add sp, sp, #36\n"
        "pop {r4-r11, pc}\n");
}
#else
static void conv2d_dsp_tile_channels(const uint32_t *x, const uint32_t *w, const conv2d_dsp_tile *tile) {
    int8_t *out = tile->out;
    while (x != tile->end) {
        for (int32_t k = 0; k < 4; k++) {
            const uint32_t *v = x + k / 2 * 2, *u = w + k % 2 * 2;
            int32_t acc = tile->bias[k % 2];
            for (int32_t s = 0; s < 4 * tile->steps; s += 4) {
                acc = edgeq_dsp_mac2(u[s + 1], v[s + 1], edgeq_dsp_mac2(u[s], v[s], acc));
            }
            out[k / 2 * tile->out_c + k % 2] = edgeq_dsp_saturate(acc >> tile->shift[k % 2]);
        }
        x += 4 * tile->steps;
        out += 2 * tile->out_c;
    }
}
#endif

EDGEQ_KERNEL void edgeq_conv2d_1x1_tile_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out,
                                            void *scratch) {
    const int32_t pixels = p->window.out_h * p->window.out_w, steps = p->steps;
    uint32_t *const weights = (uint32_t *)scratch, *const x = weights + 4 * steps;
    conv2d_dsp_tile tile = {{0, 0}, {0, 0}, 0, p->out_c, 0, steps};
    for (int32_t i = 0; i < pixels; i += p->tile) {
        const int32_t n = pixels - i < p->tile ? pixels - i : p->tile;
        const int32_t first = i - n % 2; /* an odd tile begins with the last pixel of the one before */
        conv2d_dsp_pixel next = conv2d_dsp_first(p, in, first);
        uint32_t *end = x;
        for (int32_t k = 0; k < n; k += 2) {
            const int8_t *pixel = conv2d_dsp_take(p, &next);
            end = conv2d_dsp_expand_pixels(pixel, conv2d_dsp_take(p, &next), p->in_c, end);
        }
        tile.end = end;
        const int32_t *w = p->weight;
        for (int32_t c = 0; c < p->out_c; c += 2) {
            tile.bias[0] = *w++;
            tile.bias[1] = *w++;
            uint32_t *to = weights;
            for (int32_t s = 0; s < steps; s++) {
                conv2d_dsp_step((uint32_t)w[0], (uint32_t)w[1], to);
                w += 2;
                to += 4;
            }
            tile.shift[0] = *w & 31;
            tile.shift[1] = *w++ >> 8 & 31;
            tile.out = out + first * p->out_c + (c + 1 < p->out_c ? c : c - 1);
            conv2d_dsp_tile_channels(x, weights, &tile);
        }
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}

typedef struct {
    int32_t y, x; /* in the input, of the window's first tap */
} conv2d_dsp_window;

/* The next window of the output in row-major order. */
static inline conv2d_dsp_window conv2d_dsp_next(const edgeq_window *w, conv2d_dsp_window at) {
    at.x += w->stride_w;
    if (at.x == w->out_w * w->stride_w - w->pad_left) {
        at.x = -w->pad_left;
        at.y += w->stride_h;
    }
    return at;
}

static inline int conv2d_dsp_inside(const edgeq_window *w, conv2d_dsp_window at) {
    return w->dilation_w == 1 && at.x >= 0 && at.x + w->kernel_w <= w->in_w && at.y >= 0 &&
           at.y + (w->kernel_h - 1) * w->dilation_h < w->in_h;
}

static inline int8_t *conv2d_dsp_move(int8_t *to, const int8_t *from, int32_t n) {
    for (; n >= 4; n -= 4) {
        edgeq_dsp_store4(to, edgeq_dsp_load4(from));
        to += 4;
        from += 4;
    }
    for (; n > 0; n--) {
        *to++ = *from++;
    }
    return to;
}

static inline int8_t *conv2d_dsp_fill(int8_t *to, int8_t value, int32_t n) {
    for (; n >= 4; n -= 4) {
        edgeq_dsp_store4(to, (uint8_t)value * 0x01010101U);
        to += 4;
    }
    for (; n > 0; n--) {
        *to++ = value;
    }
    return to;
}

/* A copy of row i of the window, with padding. */
static void conv2d_dsp_copy(const edgeq_conv2d_dsp_params *p, const int8_t *in, conv2d_dsp_window at, int32_t i,
                            int8_t *copy) {
    const edgeq_window *w = &p->window;
    const int32_t y = at.y + i * w->dilation_h;
    if (y < 0 || y >= w->in_h) {
        conv2d_dsp_fill(copy, p->pad_value, w->kernel_w * p->in_c);
        return;
    }
    in += y * w->in_w * p->in_c;
    const int32_t taps = w->dilation_w == 1 ? w->kernel_w : 1; /* neighbours, in one go */
    for (int32_t j = 0; j < w->kernel_w; j += taps) {
        const int32_t x = at.x + j * w->dilation_w;
        int32_t before = x < 0 ? -x : 0, after = x + taps > w->in_w ? x + taps - w->in_w : 0;
        if (before + after >= taps) {
            before = taps;
            after = 0;
        }
        copy = conv2d_dsp_fill(copy, p->pad_value, before * p->in_c);
        if (before < taps) {
            copy = conv2d_dsp_move(copy, in + (x + before) * p->in_c, (taps - before - after) * p->in_c);
            copy = conv2d_dsp_fill(copy, p->pad_value, after * p->in_c);
        }
    }
}

/* Expands two windows: whole steps of each row, then the rows' rests, which are collected behind the steps. */
static void conv2d_dsp_windows(const edgeq_conv2d_dsp_params *p, const int8_t *in, conv2d_dsp_window first,
                               conv2d_dsp_window second, uint32_t *x) {
    const edgeq_window *w = &p->window;
    const int32_t n = w->kernel_w * p->in_c, whole = n / 4;
    int8_t *const rests0 = (int8_t *)(x + 4 * p->steps), *const rests1 = rests0 + 4 * p->rest_steps;
    int8_t *const copy0 = rests1 + 4 * p->rest_steps, *const copy1 = copy0 + n;
    int8_t *rest0 = rests0, *rest1 = rests1;
    const int inside0 = conv2d_dsp_inside(w, first), inside1 = conv2d_dsp_inside(w, second);
    const int32_t row = w->dilation_h * w->in_w * p->in_c;
    const int8_t *row0 = inside0 ? in + (first.y * w->in_w + first.x) * p->in_c : copy0;
    const int8_t *row1 = inside1 ? in + (second.y * w->in_w + second.x) * p->in_c : copy1;
    const int32_t rows = w->kernel_h;
    for (int32_t i = 0; i < rows; i++) {
        if (!inside0) {
            conv2d_dsp_copy(p, in, first, i, copy0);
        }
        if (!inside1) {
            conv2d_dsp_copy(p, in, second, i, copy1);
        }
        x = conv2d_dsp_expand(row0, row1, whole, x);
        for (int32_t k = 4 * whole; k < n; k++) {
            *rest0++ = row0[k];
            *rest1++ = row1[k];
        }
        if (i + 1 < rows) {
            row0 += inside0 ? row : 0;
            row1 += inside1 ? row : 0;
        }
    }
    conv2d_dsp_expand(rests0, rests1, p->rest_steps, x);
}

EDGEQ_KERNEL void edgeq_conv2d_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t pixels = w->out_h * w->out_w;
    uint32_t *x = (uint32_t *)scratch;
    int8_t *to = out;
    conv2d_dsp_window next = {-w->pad_top, -w->pad_left};
    for (int32_t i = 0; i < pixels; i += 2) {
        const conv2d_dsp_window first = next;
        conv2d_dsp_window second = first; /* the last of an odd number of pixels is computed twice */
        int8_t *out1 = to;
        if (i + 1 < pixels) {
            second = conv2d_dsp_next(w, first);
            next = conv2d_dsp_next(w, second);
            out1 += p->out_c;
        }
        conv2d_dsp_windows(p, in, first, second, x);
        conv2d_dsp_pixels(p, x, to, out1);
        to += 2 * p->out_c;
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}
