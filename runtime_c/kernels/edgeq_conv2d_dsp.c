#include "edgeq_conv2d.h"
#include "edgeq_dsp.h"

enum { CONV2D_DSP_LANES = 3 }; /* pixels at a time */

/* Where the channels of three pixels go. */
typedef struct {
    int8_t *out;   /* of the first pixel */
    int32_t step;  /* bytes to the next pixel */
    int32_t *sums; /* of windows in parts: for each channel those of pixel 0, 1 and 2; otherwise null */
} conv2d_dsp_target;

/* Three pixels by two channels at a time, until a pair of channels marked as the last: 17 instructions for 24 products.
 * x: for each step of four taps the even int16s of pixels 0, 1, 2, then the odd ones. w: the packed weights, two channels in a
 * word. Writes the channels saturated to int8, or their sums where they are marked as a part; returns the weights after those
 * read. */
#if EDGEQ_DSP_ASM
/* r2-r4: a word of three pixels; w: weights of both channels. r7, r9, r11: sums of the first channel; r8, r10, r12: 256 times
 * those of the second more. a0, a1, a2: what the sums of the first were before, b0, b1, b2: the others. */
#define CONV2D_DSP_MAC_FROM(w, a0, a1, a2, b0, b1, b2) \
    "sxtb16 r5, " w "\n" \
    "smlad r12, " w ", r4, " b2 "\n" \
    "smlad r10, " w ", r3, " b1 "\n" \
    "smlad r8, " w ", r2, " b0 "\n" \
    "smlad r11, r5, r4, " a2 "\n" \
    "smlad r9, r5, r3, " a1 "\n" \
    "smlad r7, r5, r2, " a0 "\n"

#define CONV2D_DSP_MAC(w) CONV2D_DSP_MAC_FROM(w, "r7", "r9", "r11", "r8", "r10", "r12")

/* The first four taps; a0 to b2: what the sums begin with. */
#define CONV2D_DSP_FIRST_STEP(a0, a1, a2, b0, b1, b2) \
    "ldr r0, [sp]\n" \
    "ldrd r6, lr, [r1], #8\n" \
    "ldmia.w r0!, {r2-r4}\n" \
    CONV2D_DSP_MAC_FROM("r6", a0, a1, a2, b0, b1, b2) \
    "ldmia.w r0!, {r2-r4}\n" \
    CONV2D_DSP_MAC("lr") \
    "ldr pc, [sp, #4]\n"

/* lr, r4: the shifts. */
#define CONV2D_DSP_WRITE \
    "ldrd r2, r3, [sp, #12]\n" \
    "asr r7, r7, lr\n" \
    "asr r9, r9, lr\n" \
    "asr r11, r11, lr\n" \
    "asr r8, r8, r4\n" \
    "asr r10, r10, r4\n" \
    "asr r12, r12, r4\n" \
    "ssat r7, #8, r7\n" \
    "ssat r8, #8, r8\n" \
    "ssat r9, #8, r9\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "ssat r12, #8, r12\n" \
    "bfi r7, r8, #8, #8\n" \
    "bfi r9, r10, #8, #8\n" \
    "bfi r11, r12, #8, #8\n" \
    "strh r9, [r2, r3]\n" \
    "strh r11, [r2, r3, lsl #1]\n" \
    "strh r7, [r2], #2\n" \
    "str r2, [sp, #12]\n"

__attribute__((naked, noinline)) static const int32_t *conv2d_dsp_pairs(
    const uint32_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)), int32_t steps __attribute__((unused)),
    const conv2d_dsp_target *to __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "sub r4, r2, #1\n" /* the first step is apart */
        "and r4, r4, #15\n"
        "rsb r4, r4, #16\n" /* the loop has 16, and is entered so far inside that they come out right */
        "mov r5, #68\n"      /* bytes of a step */
        "adr r6, 2f\n"
        "mla r6, r4, r5, r6\n"
        "orr r6, r6, #1\n"
        "mov r5, r0\n"
        "mov r4, #24\n" /* bytes of a step of x */
        "mla r7, r2, r4, r0\n"
        "ldm r3, {r8-r10}\n"
        "push {r5-r10}\n" /* x, entry, end of x, out, step, sums */
        "cmp r10, #0\n"
        "bne 4f\n"
        "1:\n"
        "ldrd r7, r8, [r1], #8\n"
        CONV2D_DSP_FIRST_STEP("r7", "r7", "r7", "r8", "r8", "r8")
        ".balign 4\n"
        "2:\n"
        ".rept 16\n"
        "ldrd r6, lr, [r1], #8\n"
        "ldmia.w r0!, {r2-r4}\n"
        CONV2D_DSP_MAC("r6")
        "ldmia.w r0!, {r2-r4}\n"
        CONV2D_DSP_MAC("lr")
        ".endr\n"
        "ldr r5, [sp, #8]\n"
        "cmp r0, r5\n"
        "bne 2b\n"
        "ldr lr, [r1], #4\n"
        "asrs r4, lr, #8\n" /* negative: the last pair; carry, which is bit 7: a part */
        "sub r8, r8, r7\n"
        "sub r10, r10, r9\n"
        "sub r12, r12, r11\n"
        "bcs 3f\n"
        "8:\n"
        CONV2D_DSP_WRITE
        "bpl 1b\n"
        "ldr r5, [sp, #20]\n"
        "b 7f\n"
        "3:\n" /* the end of a part */
        "ldr r5, [sp, #20]\n"
        "add r6, r5, #12\n"
        "ldm r6, {r2, r3, r6}\n"
        "add r8, r2, r8, asr #8\n"
        "add r10, r3, r10, asr #8\n"
        "add r12, r6, r12, asr #8\n"
        "tst lr, #0x40\n"
        "bne 6f\n"
        "stmia r5!, {r7, r9, r11}\n"
        "stmia r5!, {r8, r10, r12}\n"
        "7:\n"
        "str r5, [sp, #20]\n"
        "cmp lr, #0\n"
        "bmi 5f\n"
        "4:\n" /* the beginning of a part */
        "ldr r5, [sp, #20]\n"
        "ldm r5, {r7, r9, r11}\n"
        CONV2D_DSP_FIRST_STEP("r7", "r9", "r11", "r7", "r9", "r11")
        "6:\n" /* the end of the last part: written, but goes on at 7 */
        "add r5, r5, #24\n"
        "str r5, [sp, #20]\n"
        "bic lr, lr, #0xC0\n"
        "mvns r5, #0\n"
        "b 8b\n"
        "5:\n"
        "mov r0, r1\n"
        "add sp, sp, #24\n"
        "pop {r4-r11, pc}\n");
}
#else
static const int32_t *conv2d_dsp_pairs(const uint32_t *x, const int32_t *w, int32_t steps, const conv2d_dsp_target *to) {
    int8_t *out = to->out;
    int32_t *sums = to->sums;
    uint32_t tail;
    do {
        int32_t first[CONV2D_DSP_LANES], both[CONV2D_DSP_LANES], second[CONV2D_DSP_LANES];
        for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
            first[k] = sums == NULL ? w[0] : sums[k];
            both[k] = sums == NULL ? w[1] : sums[k];
        }
        w += sums == NULL ? 2 : 0;
        for (int32_t s = 0; s < 2 * steps; s++) {
            const uint32_t weights = (uint32_t)*w++;
            for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
                const uint32_t pixel = x[CONV2D_DSP_LANES * s + k];
                first[k] = edgeq_dsp_mac2(edgeq_dsp_even(weights), pixel, first[k]);
                both[k] = edgeq_dsp_mac2(weights, pixel, both[k]);
            }
        }
        tail = (uint32_t)*w++;
        for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
            second[k] = edgeq_dsp_less(both[k], first[k]);
            second[k] = sums == NULL ? second[k] : (second[k] >> 8) + sums[CONV2D_DSP_LANES + k];
        }
        if ((tail & 0xC0) == 0x80) {
            memcpy(sums, first, sizeof first);
            memcpy(sums + CONV2D_DSP_LANES, second, sizeof second);
        } else {
            for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
                out[k * to->step] = edgeq_dsp_saturate(first[k] >> (tail & 31));
                out[k * to->step + 1] = edgeq_dsp_saturate(second[k] >> (tail >> 8 & 31));
            }
            out += 2;
        }
        sums = sums == NULL ? NULL : sums + 2 * CONV2D_DSP_LANES;
    } while (tail >> 31 == 0);
    return w;
}
#endif

/* The same for the first of three pixels alone, not in parts: where fewer are left. */
static const int32_t *conv2d_dsp_pairs_of_one(const uint32_t *x, const int32_t *w, int32_t steps, int8_t *out) {
    const uint32_t *const end = x + 2 * CONV2D_DSP_LANES * steps;
    uint32_t tail;
    do {
        int32_t first = *w++, both = *w++;
        for (const uint32_t *v = x; v != end; v += 2 * CONV2D_DSP_LANES) {
            const uint32_t w0 = (uint32_t)*w++, w1 = (uint32_t)*w++;
            both = edgeq_dsp_mac2(w0, v[0], both);
            first = edgeq_dsp_mac2(edgeq_dsp_even(w0), v[0], first);
            both = edgeq_dsp_mac2(w1, v[CONV2D_DSP_LANES], both);
            first = edgeq_dsp_mac2(edgeq_dsp_even(w1), v[CONV2D_DSP_LANES], first);
        }
        tail = (uint32_t)*w++;
        *out++ = edgeq_dsp_saturate(first >> (tail & 31));
        *out++ = edgeq_dsp_saturate(edgeq_dsp_less(both, first) >> (tail >> 8 & 31));
    } while (tail >> 31 == 0);
    return w;
}

/* How many of the pixels left are next. */
static inline int32_t conv2d_dsp_next_lanes(int32_t left) {
    return left < CONV2D_DSP_LANES ? 1 : CONV2D_DSP_LANES;
}

static inline conv2d_dsp_target conv2d_dsp_begin(const edgeq_conv2d_dsp_params *p, int8_t *out) {
    const conv2d_dsp_target to = {out, p->out_c, NULL};
    return to;
}

/* All channels of three pixels or one. Of an odd number the last two are a run of their own: it writes the last but one
 * again. */
static inline void conv2d_dsp_lanes(const edgeq_conv2d_dsp_params *p, const uint32_t *x, int32_t lanes,
                                    conv2d_dsp_target *to) {
    int8_t *const next = to->out + lanes * to->step;
    const int32_t *w = p->weight;
    for (int32_t odd = p->out_c % 2; odd >= 0; odd--) {
        w = lanes == 1 ? conv2d_dsp_pairs_of_one(x, w, p->steps, to->out) : conv2d_dsp_pairs(x, w, p->steps, to);
        to->out += to->step - 2;
    }
    to->out = next;
}

/* A step of a pixel. */
static inline uint32_t *conv2d_dsp_step(uint32_t word, uint32_t *x) {
    x[0] = edgeq_dsp_even(word);
    x[CONV2D_DSP_LANES] = edgeq_dsp_odd(word);
    return x + 2 * CONV2D_DSP_LANES;
}

/* Rows that are expanded, in the order in which the assembly reads it. */
typedef struct {
    int32_t n, rows;    /* bytes of a row; rows */
    int8_t *rests;      /* memory for what rows have beyond whole steps, */
    int32_t rest_steps; /* expanded in the end as so many steps */
} conv2d_dsp_rows;

/* Expands rows that begin `pitch` bytes apart. Returns the end of the steps. */
#if EDGEQ_DSP_ASM
#define CONV2D_DSP_EXPAND(word) \
    "sxtb16 r10, " word "\n" \
    "sxtb16 " word ", " word ", ror #8\n" \
    "str r10, [r3], #12\n" \
    "str " word ", [r3], #12\n"

__attribute__((naked, noinline)) static uint32_t *conv2d_dsp_expand(
    const conv2d_dsp_rows *rows __attribute__((unused)), const int8_t *from __attribute__((unused)),
    int32_t pitch __attribute__((unused)), uint32_t *x __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r10, lr}\n"
        "ldm r0, {r4-r7}\n" /* n, rows, rests, rest_steps */
        "mov r8, r6\n"
        "sub r2, r2, r4\n"
        "1:\n"
        "subs r12, r4, #8\n"
        "blt 3f\n"
        "2:\n"
        "ldr r9, [r1], #4\n"
        "ldr lr, [r1], #4\n"
        "subs r12, r12, #8\n"
        CONV2D_DSP_EXPAND("r9")
        CONV2D_DSP_EXPAND("lr")
        "bge 2b\n"
        "3:\n"
        "tst r4, #4\n"
        "bne 9f\n"
        "4:\n"
        "ands r12, r4, #3\n"
        "beq 6f\n"
        "5:\n"
        "ldrb r9, [r1], #1\n"
        "strb r9, [r8], #1\n"
        "subs r12, r12, #1\n"
        "bne 5b\n"
        "6:\n"
        "add r1, r1, r2\n"
        "subs r5, r5, #1\n"
        "bne 1b\n"
        "cmp r7, #0\n"
        "beq 8f\n"
        "7:\n"
        "ldr r9, [r6], #4\n"
        "subs r7, r7, #1\n"
        CONV2D_DSP_EXPAND("r9")
        "bne 7b\n"
        "8:\n"
        "mov r0, r3\n"
        "pop {r4-r10, pc}\n"
        "9:\n" /* an odd step */
        "ldr r9, [r1], #4\n"
        CONV2D_DSP_EXPAND("r9")
        "b 4b\n");
}
#else
static uint32_t *conv2d_dsp_expand(const conv2d_dsp_rows *rows, const int8_t *from, int32_t pitch, uint32_t *x) {
    int8_t *rest = rows->rests;
    for (int32_t row = 0; row < rows->rows; row++) {
        for (int32_t i = 0; i < rows->n / 4; i++) {
            x = conv2d_dsp_step(edgeq_dsp_load4(from + 4 * i), x);
        }
        for (int32_t i = rows->n / 4 * 4; i < rows->n; i++) {
            *rest++ = from[i];
        }
        from += pitch;
    }
    for (int32_t i = 0; i < rows->rest_steps; i++) {
        x = conv2d_dsp_step(edgeq_dsp_load4(rows->rests + 4 * i), x);
    }
    return x;
}
#endif

/* The first n < 4 bytes of a row as a word. */
__attribute__((noinline)) static uint32_t conv2d_dsp_load(const int8_t *from, int32_t n) {
    uint32_t word = 0;
    while (n > 0) {
        n--;
        word = word << 8 | (uint8_t)from[n];
    }
    return word;
}

/* The steps of a pixel of n bytes. */
__attribute__((noinline)) static void conv2d_dsp_expand_pixel(const int8_t *from, int32_t n, uint32_t *x) {
    for (; n >= 4; n -= 4) {
        x = conv2d_dsp_step(edgeq_dsp_load4(from), x);
        from += 4;
    }
    if (n > 0) {
        conv2d_dsp_step(conv2d_dsp_load(from, n), x);
    }
}

/* The steps of three pixels of n bytes. */
static inline void conv2d_dsp_expand_pixels(const int8_t *const *pixel, int32_t n, uint32_t *x) {
    const int32_t rest = n % 4;
    const int8_t *from0 = pixel[0], *from1 = pixel[1], *from2 = pixel[2];
    for (const int8_t *const end = from0 + n - rest; from0 != end; from0 += 4) {
        const uint32_t word0 = edgeq_dsp_load4(from0), word1 = edgeq_dsp_load4(from1), word2 = edgeq_dsp_load4(from2);
        from1 += 4;
        from2 += 4;
        conv2d_dsp_step(word0, x);
        conv2d_dsp_step(word1, x + 1);
        x = conv2d_dsp_step(word2, x + 2) - 2;
    }
    for (int32_t k = 0; k < CONV2D_DSP_LANES && rest > 0; k++) {
        conv2d_dsp_step(conv2d_dsp_load(pixel[k] + n - rest, rest), x + k);
    }
}

EDGEQ_KERNEL void edgeq_conv2d_1x1_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t pixels = w->out_h * w->out_w, in_c = p->in_c, column = w->stride_w * in_c;
    const int32_t row = w->stride_h * w->in_w * in_c - w->out_w * column; /* from a row's end to the next */
    const int32_t in_row = row == 0 ? pixels : w->out_w;
    uint32_t *const x = (uint32_t *)scratch;
    conv2d_dsp_target to = conv2d_dsp_begin(p, out);
    int32_t lanes = CONV2D_DSP_LANES, left = in_row;
    for (int32_t i = 0; i < pixels; i += lanes) {
        const int8_t *pixel[CONV2D_DSP_LANES] = {in, in + column, in + 2 * column};
        if (left > CONV2D_DSP_LANES) {
            in += CONV2D_DSP_LANES * column;
            left -= CONV2D_DSP_LANES;
        } else { /* the row ends */
            lanes = conv2d_dsp_next_lanes(pixels - i);
            for (int32_t k = 0; k < lanes; k++) {
                pixel[k] = in;
                in += column;
                left--;
                if (left == 0) {
                    in += row;
                    left = in_row;
                }
            }
        }
        if (lanes == 1) {
            conv2d_dsp_expand_pixel(pixel[0], in_c, x);
        } else {
            conv2d_dsp_expand_pixels(pixel, in_c, x);
        }
        conv2d_dsp_lanes(p, x, lanes, &to);
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}

/* A window's first tap in the input, and the way to the next window of the output in row-major order. */
typedef struct {
    int32_t y, x;
    int32_t begin, end;    /* x of a row's first window, and after its last */
    int32_t down, onwards; /* strides */
} conv2d_dsp_window;

static inline conv2d_dsp_window conv2d_dsp_first(const edgeq_window *w) {
    const int32_t begin = -w->pad_left;
    const conv2d_dsp_window first = {-w->pad_top, begin, begin, begin + w->out_w * w->stride_w, w->stride_h, w->stride_w};
    return first;
}

static inline void conv2d_dsp_next(conv2d_dsp_window *at) {
    at->x += at->onwards;
    if (at->x == at->end) {
        at->x = at->begin;
        at->y += at->down;
    }
}

static inline int conv2d_dsp_within(int32_t at, int32_t n) {
    return at >= 0 && at < n;
}

static inline void conv2d_dsp_move(int8_t *to, const int8_t *from, int32_t n) {
    for (; n >= 4; n -= 4) {
        edgeq_dsp_store4(to, edgeq_dsp_load4(from));
        to += 4;
        from += 4;
    }
    for (; n > 0; n--) {
        *to++ = *from++;
    }
}

/* A copy of a window's taps in order, with padding. size: bytes of it, rounded up to a multiple of 4. */
__attribute__((noinline)) static void conv2d_dsp_copy(const edgeq_conv2d_dsp_params *p, const int8_t *in, int32_t window_y,
                                                      int32_t window_x, int32_t size, int8_t *copy) {
    const edgeq_window *w = &p->window;
    const int32_t taps = w->dilation_w == 1 ? w->kernel_w : 1; /* neighbours, in one go */
    for (int32_t k = 0; k < size; k += 4) {
        edgeq_dsp_store4(copy + k, edgeq_dsp_all4(p->pad_value));
    }
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t y = window_y + i * w->dilation_h;
        for (int32_t j = 0; j < w->kernel_w && conv2d_dsp_within(y, w->in_h); j += taps) {
            const int32_t x = window_x + j * w->dilation_w;
            const int32_t from = x > 0 ? x : 0, to = x + taps < w->in_w ? x + taps : w->in_w;
            conv2d_dsp_move(copy + (j + from - x) * p->in_c, in + (y * w->in_w + from) * p->in_c, (to - from) * p->in_c);
        }
        copy += w->kernel_w * p->in_c;
    }
}

EDGEQ_KERNEL void edgeq_conv2d_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t pixels = w->out_h * w->out_w, in_c = p->in_c, n = w->kernel_w * in_c;
    const int32_t pitch = w->in_w * in_c, row = w->dilation_h * pitch, size = (w->kernel_h * n + 3) / 4 * 4;
    uint32_t *const x = (uint32_t *)scratch;
    int8_t *const rests = (int8_t *)(x + 2 * CONV2D_DSP_LANES * p->steps), *const copy = rests + 4 * p->rest_steps;
    const conv2d_dsp_rows rows = {n, w->kernel_h, rests, p->rest_steps};
    const int32_t inside_h = w->in_h - (w->kernel_h - 1) * w->dilation_h; /* rows where windows begin that are inside */
    const int32_t inside_w = w->dilation_w == 1 ? w->in_w - w->kernel_w + 1 : 0; /* columns, where taps are neighbours */
    conv2d_dsp_target to = conv2d_dsp_begin(p, out);
    conv2d_dsp_window at = conv2d_dsp_first(w);
    int32_t lanes;
    for (int32_t i = 0; i < pixels; i += lanes) {
        lanes = conv2d_dsp_next_lanes(pixels - i);
        for (int32_t k = 0; k < lanes; k++) {
            if (conv2d_dsp_within(at.x, inside_w) && conv2d_dsp_within(at.y, inside_h)) {
                conv2d_dsp_expand(&rows, in + at.y * pitch + at.x * in_c, row, x + k);
            } else {
                conv2d_dsp_copy(p, in, at.y, at.x, size, copy);
                conv2d_dsp_expand(&rows, copy, n, x + k);
            }
            conv2d_dsp_next(&at);
        }
        conv2d_dsp_lanes(p, x, lanes, &to);
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}

/* Expands taps first .. first + p->part - 1 of a window, whose channels are whole steps. */
static void conv2d_dsp_expand_part(const edgeq_conv2d_dsp_params *p, const int8_t *in, const conv2d_dsp_window *at,
                                   int32_t first, uint32_t *x) {
    const edgeq_window *w = &p->window;
    const conv2d_dsp_rows row = {p->in_c, 1, 0, 0};
    const uint32_t pad = edgeq_dsp_all4(p->pad_value);
    for (int32_t t = first; t < first + p->part; t++) {
        const int32_t i = t / w->kernel_w, j = t - i * w->kernel_w;
        const int32_t iy = at->y + i * w->dilation_h, ix = at->x + j * w->dilation_w;
        if (conv2d_dsp_within(iy, w->in_h) && conv2d_dsp_within(ix, w->in_w)) {
            x = conv2d_dsp_expand(&row, in + (iy * w->in_w + ix) * p->in_c, 0, x);
        } else {
            for (int32_t c = 0; c < p->in_c; c += 4) {
                x = conv2d_dsp_step(pad, x);
            }
        }
    }
}

/* Begins all sums with the biases. */
static void conv2d_dsp_fill(const edgeq_conv2d_dsp_params *p, int32_t *sums) {
    for (int32_t o = 0; o < p->out_c; o++) {
        for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
            *sums++ = p->bias[o];
        }
    }
}

EDGEQ_KERNEL void edgeq_conv2d_split_dsp(const edgeq_conv2d_dsp_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t pixels = w->out_h * w->out_w, taps = w->kernel_h * w->kernel_w;
    uint32_t *const x = (uint32_t *)scratch;
    conv2d_dsp_target to = conv2d_dsp_begin(p, out);
    to.sums = (int32_t *)(x + 2 * CONV2D_DSP_LANES * p->steps);
    conv2d_dsp_window next = conv2d_dsp_first(w);
    for (int32_t left = pixels; left > 0;) {
        const int32_t lanes = conv2d_dsp_next_lanes(left); /* one alone is computed three times */
        conv2d_dsp_window at[CONV2D_DSP_LANES];
        for (int32_t k = 0; k < lanes; k++) {
            at[k] = next;
            conv2d_dsp_next(&next);
        }
        to.step = lanes == 1 ? 0 : p->out_c;
        conv2d_dsp_fill(p, to.sums);
        const int32_t *weight = p->weight;
        for (int32_t tap = 0; tap < taps; tap += p->part) {
            for (int32_t k = 0; k < CONV2D_DSP_LANES; k++) {
                conv2d_dsp_expand_part(p, in, &at[lanes == 1 ? 0 : k], tap, x + k);
            }
            weight = conv2d_dsp_pairs(x, weight, p->steps, &to);
        }
        to.out += lanes * p->out_c;
        left -= lanes;
    }
    edgeq_dsp_clamp(out, pixels * p->out_c, p->lo, p->hi);
}
