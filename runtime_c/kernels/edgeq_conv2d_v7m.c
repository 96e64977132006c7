#include <string.h>

#include "edgeq_conv2d.h"
#include "edgeq_v7m.h"

/* Four pixels at a time, two in a word: pixel 0 + pixel 1 * 2^16. One multiplication by a weight then serves two pixels, and
 * both halves can be told apart for as long as the sums of products in them stay within 16 bits. The packed weights come in
 * groups for which they do, whatever the pixels are; after each group both halves are added to sums of 32 bits. */
enum { CONV2D_V7M_PIXELS = 4 };

/* Sums of two pairs of pixels, modulo 2^32. both: of the first pixel, plus 2^16 times that of the second. */
typedef struct {
    uint32_t both, second;
} conv2d_v7m_sums;

/* Where the pixels are: offsets from the first one's output. */
typedef struct {
    int32_t second, third, fourth;
} conv2d_v7m_out;

#if EDGEQ_V7M_ASM
#define CONV2D_V7M_TAP(a, b) \
    "ldrsb.w r6, [r1], #1\n" \
    "mla r7, r6, " a ", r7\n" \
    "mla r8, r6, " b ", r8\n"

/* r0 x, r1 the packed weights, r9-r12 the sums, lr what the halves begin with: 2^15 - 1, so that they never are negative.
 * The first step of two taps is apart from the others, of which there are as many as the table's index says. */
#define CONV2D_V7M_GROUPS \
    "2:\n" \
    "ldmia r0!, {r2-r5}\n" \
    "ldrsb.w r6, [r1], #1\n" \
    "mla r7, r6, r2, lr\n" \
    "mla r8, r6, r3, lr\n" \
    CONV2D_V7M_TAP("r4", "r5") \
    "ldrb r6, [r1], #1\n" \
    "lsrs r6, r6, #1\n" /* carry: the last group */ \
    "tbb [pc, r6]\n" \
    "3:\n" \
    ".set steps, 0\n" \
    ".rept 16\n" \
    ".byte (4f - 3b - 26 * steps) / 2\n" \
    ".set steps, steps + 1\n" \
    ".endr\n" \
    ".rept 15\n" \
    "ldmia r0!, {r2-r5}\n" \
    CONV2D_V7M_TAP("r2", "r3") \
    CONV2D_V7M_TAP("r4", "r5") \
    ".endr\n" \
    "4:\n" \
    "add r9, r9, r7\n" \
    "add r10, r10, r7, lsr #16\n" \
    "add r11, r11, r8\n" \
    "add r12, r12, r8, lsr #16\n" \
    "bcc 2b\n"

/* All channels of four pixels. x: for each tap two words of two pixels. out: of the first pixel. */
__attribute__((naked, noinline)) static void conv2d_v7m_channels(
    const uint32_t *x __attribute__((unused)), const uint8_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), const conv2d_v7m_out *pixels __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldm r3, {r3-r5}\n"
        "push {r0, r2-r5}\n"
        "mvn lr, #0x80008000\n"
        "1:\n"
        "ldr r10, [r1], #4\n" /* bias */
        "add r9, r10, r10, lsl #16\n"
        "mov r12, r10\n"
        "mov r11, r9\n"
        CONV2D_V7M_GROUPS
        "ldrb r6, [r1], #1\n" /* shift, and in bit 0 whether it is the last channel */
        "ldm sp, {r0, r2-r5}\n"
        "sub r9, r9, r10, lsl #16\n"
        "sub r11, r11, r12, lsl #16\n"
        "lsrs r6, r6, #1\n"
        "asr r9, r9, r6\n"
        "asr r10, r10, r6\n"
        "asr r11, r11, r6\n"
        "asr r12, r12, r6\n"
        "ssat r9, #8, r9\n"
        "ssat r10, #8, r10\n"
        "ssat r11, #8, r11\n"
        "ssat r12, #8, r12\n"
        "strb r10, [r2, r3]\n"
        "strb r11, [r2, r4]\n"
        "strb r12, [r2, r5]\n"
        "strb r9, [r2], #1\n"
        "str r2, [sp, #4]\n"
        "bcc 1b\n"
        "add sp, sp, #20\n"
        "pop {r4-r11, pc}\n");
}

/* Adds a part of the taps to the sums of all channels. Returns the end of the part's weights. */
__attribute__((naked, noinline)) static const uint8_t *conv2d_v7m_part(
    const uint32_t *x __attribute__((unused)), const uint8_t *w __attribute__((unused)),
    conv2d_v7m_sums *sums __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r0, r2, r4-r11, lr}\n"
        "mvn lr, #0x80008000\n"
        "1:\n"
        "ldm r2, {r9-r12}\n"
        CONV2D_V7M_GROUPS
        "ldrd r0, r2, [sp]\n"
        "stmia r2!, {r9-r12}\n"
        "ldrb r6, [r1], #1\n"
        "str r2, [sp, #4]\n"
        "lsrs r6, r6, #1\n" /* bit 0: whether it is the last channel */
        "bcc 1b\n"
        "mov r0, r1\n"
        "add sp, sp, #8\n"
        "pop {r4-r11, pc}\n");
}
#else
/* The groups of a channel. Returns the end of their weights. */
static const uint8_t *conv2d_v7m_groups(const uint32_t *x, const uint8_t *w, conv2d_v7m_sums sums[2]) {
    uint32_t tail;
    do {
        uint32_t halves[2] = {0x7FFF7FFFU, 0x7FFF7FFFU};
        tail = w[2]; /* after the first step */
        const int32_t taps = (int32_t)(tail & ~1U) + 2;
        for (int32_t i = 0; i < taps; i++) {
            const uint32_t weight = (uint32_t)(int8_t)*w++;
            halves[0] += weight * *x++;
            halves[1] += weight * *x++;
            if (i == 1) {
                w++;
            }
        }
        for (int32_t i = 0; i < 2; i++) {
            sums[i].both += halves[i];
            sums[i].second += halves[i] >> 16;
        }
    } while ((tail & 1) == 0);
    return w;
}

static const uint8_t *conv2d_v7m_part(const uint32_t *x, const uint8_t *w, conv2d_v7m_sums *sums) {
    do {
        w = conv2d_v7m_groups(x, w, sums);
        sums += 2;
    } while (*w++ == 0);
    return w;
}

static void conv2d_v7m_channels(const uint32_t *x, const uint8_t *w, int8_t *out, const conv2d_v7m_out *pixels) {
    uint32_t tail;
    do {
        const uint32_t bias = (uint32_t)w[0] | (uint32_t)w[1] << 8 | (uint32_t)w[2] << 16 | (uint32_t)w[3] << 24;
        conv2d_v7m_sums sums[2] = {{bias + (bias << 16), bias}, {bias + (bias << 16), bias}};
        w = conv2d_v7m_groups(x, w + 4, sums);
        tail = *w++;
        out[0] = edgeq_v7m_saturate((int32_t)(sums[0].both - (sums[0].second << 16)) >> (tail >> 1));
        out[pixels->second] = edgeq_v7m_saturate((int32_t)sums[0].second >> (tail >> 1));
        out[pixels->third] = edgeq_v7m_saturate((int32_t)(sums[1].both - (sums[1].second << 16)) >> (tail >> 1));
        out[pixels->fourth] = edgeq_v7m_saturate((int32_t)sums[1].second >> (tail >> 1));
        out++;
    } while ((tail & 1) == 0);
}
#endif

static inline uint32_t conv2d_v7m_pair(int8_t first, int8_t second) {
    return (uint32_t)first + ((uint32_t)second << 16);
}

/* n taps of four pixels. Returns the end of what it wrote. */
static uint32_t *conv2d_v7m_pack(const int8_t *const from[CONV2D_V7M_PIXELS], int32_t n, uint32_t *to) {
    const int8_t *a = from[0], *b = from[1], *c = from[2], *d = from[3];
    for (; n >= 4; n -= 4) {
        to[0] = conv2d_v7m_pair(a[0], b[0]);
        to[1] = conv2d_v7m_pair(c[0], d[0]);
        to[2] = conv2d_v7m_pair(a[1], b[1]);
        to[3] = conv2d_v7m_pair(c[1], d[1]);
        to[4] = conv2d_v7m_pair(a[2], b[2]);
        to[5] = conv2d_v7m_pair(c[2], d[2]);
        to[6] = conv2d_v7m_pair(a[3], b[3]);
        to[7] = conv2d_v7m_pair(c[3], d[3]);
        a += 4;
        b += 4;
        c += 4;
        d += 4;
        to += 8;
    }
    for (; n > 0; n--) {
        *to++ = conv2d_v7m_pair(*a++, *b++);
        *to++ = conv2d_v7m_pair(*c++, *d++);
    }
    return to;
}

/* Four windows: where their first taps are in the input, and whether all lie inside it, without dilation of rows. */
typedef struct {
    int32_t y[CONV2D_V7M_PIXELS], x[CONV2D_V7M_PIXELS];
    int inside;
} conv2d_v7m_windows;

/* The next n windows in the output's order; the rest of the four repeat the last. y, x: of the last window before. */
static void conv2d_v7m_next(const edgeq_window *w, int32_t n, conv2d_v7m_windows *at) {
    int32_t y = at->y[CONV2D_V7M_PIXELS - 1], x = at->x[CONV2D_V7M_PIXELS - 1];
    const int32_t end = w->out_w * w->stride_w - w->pad_left;
    const int32_t last_y = w->in_h - 1 - (w->kernel_h - 1) * w->dilation_h, last_x = w->in_w - w->kernel_w;
    at->inside = w->dilation_w == 1;
    for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
        if (k < n) {
            x += w->stride_w;
            if (x == end) {
                x = -w->pad_left;
                y += w->stride_h;
            }
        }
        at->y[k] = y;
        at->x[k] = x;
        at->inside &= y >= 0 && y <= last_y && x >= 0 && x <= last_x;
    }
}

/* Packs the taps of `positions` positions of the kernel from `first`. pad: a pixel of padding. */
static void conv2d_v7m_gather(const edgeq_conv2d_v7m_params *p, const int8_t *in, const conv2d_v7m_windows *at,
                              int32_t first, int32_t positions, const int8_t *pad, uint32_t *to) {
    const edgeq_window *w = &p->window;
    const int32_t columns = w->kernel_w;
    int32_t i = first / columns, j = first - i * columns;
    while (positions > 0) {
        int32_t run = 1; /* neighbours, in one go */
        const int8_t *from[CONV2D_V7M_PIXELS];
        if (at->inside) {
            run = columns - j < positions ? columns - j : positions;
        }
        for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
            const int32_t y = at->y[k] + i * w->dilation_h, x = at->x[k] + j * w->dilation_w;
            const int inside = at->inside || (y >= 0 && y < w->in_h && x >= 0 && x < w->in_w);
            from[k] = inside ? in + (y * w->in_w + x) * p->in_c : pad;
        }
        to = conv2d_v7m_pack(from, run * p->in_c, to);
        positions -= run;
        j += run;
        if (j == columns) {
            j = 0;
            i++;
        }
    }
}

/* Words of scratch that some positions of the kernel take. */
static inline int32_t conv2d_v7m_words(const edgeq_conv2d_v7m_params *p, int32_t positions) {
    return (positions * p->in_c + 1) / 2 * 4;
}

/* Four windows and their outputs. */
typedef struct {
    conv2d_v7m_windows windows;
    conv2d_v7m_out out;
    int32_t left; /* pixels from here on */
} conv2d_v7m_walk;

static void conv2d_v7m_begin(const edgeq_conv2d_v7m_params *p, int8_t *pad, conv2d_v7m_walk *walk) {
    const edgeq_window *w = &p->window;
    memset(pad, p->pad_value, p->padded ? (size_t)p->in_c : 0);
    walk->left = w->out_h * w->out_w + CONV2D_V7M_PIXELS;
    walk->windows.y[CONV2D_V7M_PIXELS - 1] = -w->pad_top;
    walk->windows.x[CONV2D_V7M_PIXELS - 1] = -w->pad_left - w->stride_w;
}

/* Goes on to the next four pixels; 0 where there are none. */
static int conv2d_v7m_step(const edgeq_conv2d_v7m_params *p, conv2d_v7m_walk *walk) {
    walk->left -= CONV2D_V7M_PIXELS;
    if (walk->left <= 0) {
        return 0;
    }
    conv2d_v7m_next(&p->window, walk->left, &walk->windows);
    walk->out.second = walk->left > 1 ? p->out_c : 0;
    walk->out.third = walk->out.second + (walk->left > 2 ? p->out_c : 0);
    walk->out.fourth = walk->out.third + (walk->left > 3 ? p->out_c : 0);
    return 1;
}

EDGEQ_KERNEL void edgeq_conv2d_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t positions = w->kernel_h * w->kernel_w;
    uint32_t *x = (uint32_t *)scratch;
    int8_t *pad = (int8_t *)(x + conv2d_v7m_words(p, positions)), *to = out;
    conv2d_v7m_walk walk;
    conv2d_v7m_begin(p, pad, &walk);
    while (conv2d_v7m_step(p, &walk)) {
        conv2d_v7m_gather(p, in, &walk.windows, 0, positions, pad, x);
        conv2d_v7m_channels(x, p->weight, to, &walk.out);
        to += CONV2D_V7M_PIXELS * p->out_c;
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->out_c, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_conv2d_parts_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t positions = w->kernel_h * w->kernel_w;
    conv2d_v7m_sums *const sums = (conv2d_v7m_sums *)scratch;
    uint32_t *x = (uint32_t *)(sums + 2 * p->out_c);
    int8_t *pad = (int8_t *)(x + conv2d_v7m_words(p, p->part)), *to = out;
    conv2d_v7m_walk walk;
    conv2d_v7m_begin(p, pad, &walk);
    while (conv2d_v7m_step(p, &walk)) {
        for (int32_t o = 0; o < p->out_c; o++) {
            const uint32_t bias = (uint32_t)p->bias[o];
            for (int32_t i = 0; i < 2; i++) {
                sums[2 * o + i].both = bias + (bias << 16);
                sums[2 * o + i].second = bias;
            }
        }
        const uint8_t *weight = p->weight;
        for (int32_t first = 0; first < positions; first += p->part) {
            const int32_t n = positions - first < p->part ? positions - first : p->part;
            conv2d_v7m_gather(p, in, &walk.windows, first, n, pad, x);
            weight = conv2d_v7m_part(x, weight, sums);
        }
        for (int32_t o = 0; o < p->out_c; o++) {
            const conv2d_v7m_sums *s = sums + 2 * o;
            const int32_t shift = p->shift[o];
            to[o] = edgeq_v7m_saturate((int32_t)(s[0].both - (s[0].second << 16)) >> shift);
            to[o + walk.out.second] = edgeq_v7m_saturate((int32_t)s[0].second >> shift);
            to[o + walk.out.third] = edgeq_v7m_saturate((int32_t)(s[1].both - (s[1].second << 16)) >> shift);
            to[o + walk.out.fourth] = edgeq_v7m_saturate((int32_t)s[1].second >> shift);
        }
        to += CONV2D_V7M_PIXELS * p->out_c;
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->out_c, p->lo, p->hi);
}
