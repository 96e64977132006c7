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

/* One channel of four pixels. */
static inline void conv2d_v7m_write(const conv2d_v7m_sums sums[2], uint32_t shift, int8_t *out, const conv2d_v7m_out *pixels) {
    out[0] = edgeq_v7m_saturate((int32_t)(sums[0].both - (sums[0].second << 16)) >> shift);
    out[pixels->second] = edgeq_v7m_saturate((int32_t)sums[0].second >> shift);
    out[pixels->third] = edgeq_v7m_saturate((int32_t)(sums[1].both - (sums[1].second << 16)) >> shift);
    out[pixels->fourth] = edgeq_v7m_saturate((int32_t)sums[1].second >> shift);
}

#if EDGEQ_V7M_ASM
#define CONV2D_V7M_TAP(a, b) \
    "ldrsb r6, [r1], #1\n" \
    "mla r7, r6, " a ", r7\n" \
    "mla r8, r6, " b ", r8\n"

/* The first step, of two taps, of a group. r0 x, r1 the packed weights, lr what the halves begin with: 2^15 - 1, so that they
 * never are negative. */
#define CONV2D_V7M_FIRST \
    "ldmia r0!, {r2-r5}\n" \
    "ldrsb r6, [r1], #1\n" \
    "mla r7, r6, r2, lr\n" \
    "mla r8, r6, r3, lr\n" \
    CONV2D_V7M_TAP("r4", "r5")

/* r6 other steps, fewer than `most`; then adds the halves to the sums in r9-r12. */
#define CONV2D_V7M_OTHERS(most) \
    "tbb [pc, r6]\n" \
    "3:\n" \
    ".set steps, 0\n" \
    ".rept " most "\n" \
    ".byte (4f - 3b - 26 * steps) / 2\n" \
    ".set steps, steps + 1\n" \
    ".endr\n" \
    ".rept " most " - 1\n" \
    "ldmia r0!, {r2-r5}\n" \
    CONV2D_V7M_TAP("r2", "r3") \
    CONV2D_V7M_TAP("r4", "r5") \
    ".endr\n" \
    "4:\n" \
    "add r9, r9, r7\n" \
    "add r10, r10, r7, lsr #16\n" \
    "add r11, r11, r8\n" \
    "add r12, r12, r8, lsr #16\n"

/* SKIP: what moves r0 to the next group. */
#define CONV2D_V7M_CHANNELS(SKIP) \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "ldm r3, {r3-r5}\n" \
    "push {r0, r2-r5}\n" \
    "mvn lr, #0x80008000\n" \
    "1:\n" \
    "ldr r10, [r1], #4\n" /* bias */ \
    "add r9, r10, r10, lsl #16\n" \
    "mov r12, r10\n" \
    "mov r11, r9\n" \
    "2:\n" \
    SKIP \
    CONV2D_V7M_FIRST \
    "ldrb r6, [r1], #1\n" \
    "lsrs r6, r6, #1\n" /* carry: the last group */ \
    CONV2D_V7M_OTHERS("16") \
    "bcc 2b\n" \
    "ldrb r6, [r1], #1\n" /* shift, and in bit 0 whether it is the last channel */ \
    "ldm sp, {r0, r2-r5}\n" \
    "sub r9, r9, r10, lsl #16\n" \
    "sub r11, r11, r12, lsl #16\n" \
    "lsrs r6, r6, #1\n" \
    "asr r9, r9, r6\n" \
    "asr r10, r10, r6\n" \
    "asr r11, r11, r6\n" \
    "asr r12, r12, r6\n" \
    "ssat r9, #8, r9\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "ssat r12, #8, r12\n" \
    "strb r10, [r2, r3]\n" \
    "strb r11, [r2, r4]\n" \
    "strb r12, [r2, r5]\n" \
    "strb r9, [r2], #1\n" \
    "str r2, [sp, #4]\n" \
    "bcc 1b\n" \
    "add sp, sp, #20\n" \
    "pop {r4-r11, pc}\n"

/* All channels of four pixels. x: for each tap two words of two pixels. out: of the first pixel. */
__attribute__((naked, noinline)) static void conv2d_v7m_channels(
    const uint32_t *x __attribute__((unused)), const uint8_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), const conv2d_v7m_out *pixels __attribute__((unused))) {
    __asm__(CONV2D_V7M_CHANNELS(""));
}

/* The same where each group begins with a byte: how many steps are skipped before it. */
__attribute__((naked, noinline)) static void conv2d_v7m_sparse_channels(
    const uint32_t *x __attribute__((unused)), const uint8_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), const conv2d_v7m_out *pixels __attribute__((unused))) {
    __asm__(CONV2D_V7M_CHANNELS(
        "ldrb r6, [r1], #1\n"
        "add r0, r0, r6, lsl #4\n"));
}

/* Adds a part of the taps to the sums of all channels, two groups at a time. Returns the end of the part's weights. */
__attribute__((naked, noinline)) static const uint8_t *conv2d_v7m_part(
    const uint32_t *x __attribute__((unused)), const uint8_t *w __attribute__((unused)),
    conv2d_v7m_sums *sums __attribute__((unused)), const conv2d_v7m_sums *end __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r3-r11, lr}\n"
        "push {r0, r2, r3}\n"
        "mvn lr, #0x80008000\n"
        "1:\n"
        "ldm r2, {r9-r12}\n"
        "2:\n"
        CONV2D_V7M_FIRST
        "ldrb r6, [r1], #1\n"
        "lsls r6, r6, #25\n" /* carry: the last two groups */
        "str r6, [sp, #12]\n"
        "lsr r6, r6, #28\n"
        CONV2D_V7M_OTHERS("8")
        CONV2D_V7M_FIRST
        "ldr r6, [sp, #12]\n"
        "ubfx r6, r6, #25, #3\n"
        CONV2D_V7M_OTHERS("8")
        "bcc 2b\n"
        "ldm sp, {r0, r2, r3}\n"
        "stmia r2!, {r9-r12}\n"
        "str r2, [sp, #4]\n"
        "cmp r2, r3\n"
        "bne 1b\n"
        "mov r0, r1\n"
        "add sp, sp, #16\n"
        "pop {r4-r11, pc}\n");
}

#define CONV2D_V7M_PACK_TAP \
    "ldrsb r8, [r4], #1\n" \
    "ldrsb r9, [r5], #1\n" \
    "ldrsb r10, [r6], #1\n" \
    "ldrsb r11, [r7], #1\n" \
    "add r8, r8, r9, lsl #16\n" \
    "add r9, r10, r11, lsl #16\n" \
    "strd r8, r9, [r12], #8\n"

/* Packs rows of n taps of four windows; step: bytes from one row to the next. Returns the end of what it wrote. */
__attribute__((naked, noinline)) static uint32_t *conv2d_v7m_pack(
    const int8_t *const *from __attribute__((unused)), int32_t step __attribute__((unused)),
    int32_t rows __attribute__((unused)), int32_t n __attribute__((unused)), uint32_t *to __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldr r12, [sp, #36]\n"
        "ldm r0, {r4-r7}\n"
        "sub r1, r1, r3\n"
        "1:\n"
        "subs lr, r3, #4\n"
        "blt 3f\n"
        "2:\n"
        ".rept 4\n"
        CONV2D_V7M_PACK_TAP
        ".endr\n"
        "subs lr, lr, #4\n"
        "bge 2b\n"
        "3:\n"
        "adds lr, lr, #4\n"
        "beq 5f\n"
        "4:\n"
        CONV2D_V7M_PACK_TAP
        "subs lr, lr, #1\n"
        "bne 4b\n"
        "5:\n"
        "add r4, r4, r1\n"
        "add r5, r5, r1\n"
        "add r6, r6, r1\n"
        "add r7, r7, r1\n"
        "subs r2, r2, #1\n"
        "bne 1b\n"
        "mov r0, r12\n"
        "pop {r4-r11, pc}\n");
}
#else
typedef struct {
    const uint32_t *x;
    const uint8_t *w;
} conv2d_v7m_place;

static void conv2d_v7m_steps(conv2d_v7m_place *at, uint32_t steps, uint32_t halves[2]) {
    for (uint32_t taps = 2 * steps; taps > 0; taps--) {
        const uint32_t weight = (uint32_t)(int8_t)*at->w++;
        halves[0] += weight * *at->x++;
        halves[1] += weight * *at->x++;
    }
}

static void conv2d_v7m_first(conv2d_v7m_place *at, uint32_t halves[2]) {
    halves[0] = 0x7FFF7FFFU;
    halves[1] = 0x7FFF7FFFU;
    conv2d_v7m_steps(at, 1, halves);
}

static void conv2d_v7m_others(conv2d_v7m_place *at, uint32_t steps, uint32_t halves[2], conv2d_v7m_sums sums[2]) {
    conv2d_v7m_steps(at, steps, halves);
    for (int32_t i = 0; i < 2; i++) {
        sums[i].both += halves[i];
        sums[i].second += halves[i] >> 16;
    }
}

static const uint8_t *conv2d_v7m_part(const uint32_t *x, const uint8_t *w, conv2d_v7m_sums *sums,
                                      const conv2d_v7m_sums *end) {
    conv2d_v7m_place at = {x, w};
    while (sums != end) {
        uint32_t header, halves[2];
        do {
            conv2d_v7m_first(&at, halves);
            header = *at.w++;
            conv2d_v7m_others(&at, header >> 3 & 7, halves, sums);
            conv2d_v7m_first(&at, halves);
            conv2d_v7m_others(&at, header & 7, halves, sums);
        } while (header >> 7 == 0);
        sums += 2;
        at.x = x;
    }
    return at.w;
}

static void conv2d_v7m_each(const uint32_t *x, const uint8_t *w, int sparse, int8_t *out, const conv2d_v7m_out *pixels) {
    conv2d_v7m_place at = {x, w};
    uint32_t tail;
    do {
        const uint32_t bias = (uint32_t)at.w[0] | (uint32_t)at.w[1] << 8 | (uint32_t)at.w[2] << 16 | (uint32_t)at.w[3] << 24;
        conv2d_v7m_sums sums[2] = {{bias + (bias << 16), bias}, {bias + (bias << 16), bias}};
        uint32_t header, halves[2];
        at.w += 4;
        do {
            if (sparse) {
                at.x += 4 * *at.w++;
            }
            conv2d_v7m_first(&at, halves);
            header = *at.w++;
            conv2d_v7m_others(&at, header >> 1, halves, sums);
        } while ((header & 1) == 0);
        tail = *at.w++;
        conv2d_v7m_write(sums, tail >> 1, out++, pixels);
        at.x = x;
    } while ((tail & 1) == 0);
}

static void conv2d_v7m_channels(const uint32_t *x, const uint8_t *w, int8_t *out, const conv2d_v7m_out *pixels) {
    conv2d_v7m_each(x, w, 0, out, pixels);
}

static void conv2d_v7m_sparse_channels(const uint32_t *x, const uint8_t *w, int8_t *out, const conv2d_v7m_out *pixels) {
    conv2d_v7m_each(x, w, 1, out, pixels);
}

static uint32_t *conv2d_v7m_pack(const int8_t *const *from, int32_t step, int32_t rows, int32_t n, uint32_t *to) {
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t i = row * step; i < row * step + n; i++) {
            *to++ = (uint32_t)from[0][i] + ((uint32_t)from[1][i] << 16);
            *to++ = (uint32_t)from[2][i] + ((uint32_t)from[3][i] << 16);
        }
    }
    return to;
}
#endif

/* Four windows and their outputs. */
typedef struct {
    int32_t y[CONV2D_V7M_PIXELS], x[CONV2D_V7M_PIXELS]; /* in the input, of the first tap */
    int inside;                                         /* whether all four are, without dilation of columns */
    conv2d_v7m_out out;
    int32_t left; /* pixels from here on */
} conv2d_v7m_windows;

/* Before the first windows. */
static void conv2d_v7m_begin(const edgeq_window *w, conv2d_v7m_windows *at) {
    at->left = w->out_h * w->out_w + CONV2D_V7M_PIXELS;
    at->y[CONV2D_V7M_PIXELS - 1] = -w->pad_top;
    at->x[CONV2D_V7M_PIXELS - 1] = -w->pad_left - w->stride_w;
}

/* Goes on to the next four windows in the output's order, the last of fewer being repeated; 0 where there are none. */
static int conv2d_v7m_next(const edgeq_conv2d_v7m_params *p, conv2d_v7m_windows *at) {
    const edgeq_window *w = &p->window;
    int32_t y = at->y[CONV2D_V7M_PIXELS - 1], x = at->x[CONV2D_V7M_PIXELS - 1];
    const int32_t end = w->out_w * w->stride_w - w->pad_left, left = at->left - CONV2D_V7M_PIXELS;
    const uint32_t rows = (uint32_t)p->inside_h, columns = (uint32_t)p->inside_w;
    int inside = 1;
    for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
        if (k < left) {
            x += w->stride_w;
            if (x == end) {
                x = -w->pad_left;
                y += w->stride_h;
            }
        }
        at->y[k] = y;
        at->x[k] = x;
        inside &= (uint32_t)y < rows && (uint32_t)x < columns;
    }
    at->inside = inside;
    at->out.second = left > 1 ? p->out_c : 0;
    at->out.third = at->out.second + (left > 2 ? p->out_c : 0);
    at->out.fourth = at->out.third + (left > 3 ? p->out_c : 0);
    at->left = left;
    return left > 0;
}

/* Packs `rows` rows of n taps from row i and column j of windows inside. Returns the end of what it wrote. */
static uint32_t *conv2d_v7m_pack_inside(const edgeq_conv2d_v7m_params *p, const int8_t *in, const conv2d_v7m_windows *at,
                                        int32_t i, int32_t j, int32_t rows, int32_t n, uint32_t *to) {
    const edgeq_window *w = &p->window;
    const int8_t *from[CONV2D_V7M_PIXELS];
    for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
        from[k] = in + ((at->y[k] + i * w->dilation_h) * w->in_w + at->x[k] + j) * p->in_c;
    }
    return conv2d_v7m_pack(from, w->dilation_h * w->in_w * p->in_c, rows, n, to);
}

/* Packs columns j .. end - 1 of row i of windows, with padding. Returns the end of what it wrote. */
static uint32_t *conv2d_v7m_pack_padded(const edgeq_conv2d_v7m_params *p, const int8_t *in, const conv2d_v7m_windows *at,
                                        int32_t i, int32_t j, int32_t end, uint32_t *to) {
    const edgeq_window *w = &p->window;
    const int32_t n = p->in_c;
    const int8_t *from[CONV2D_V7M_PIXELS];
    int32_t row[CONV2D_V7M_PIXELS];
    uint32_t width[CONV2D_V7M_PIXELS]; /* 0 for a row outside */
    for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
        const int32_t y = at->y[k] + i * w->dilation_h;
        width[k] = y >= 0 && y < w->in_h ? (uint32_t)w->in_w : 0;
        row[k] = y * w->in_w;
    }
    for (; j < end; j++) {
        for (int32_t k = 0; k < CONV2D_V7M_PIXELS; k++) {
            const int32_t x = at->x[k] + j * w->dilation_w;
            from[k] = (uint32_t)x < width[k] ? in + (row[k] + x) * n : p->pad;
        }
        to = conv2d_v7m_pack(from, n, 1, n, to);
    }
    return to;
}

typedef void conv2d_v7m_function(const uint32_t *x, const uint8_t *w, int8_t *out, const conv2d_v7m_out *pixels);

static inline void conv2d_v7m_whole(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, uint32_t *x,
                                    conv2d_v7m_function *channels) {
    const edgeq_window *w = &p->window;
    int8_t *to = out;
    conv2d_v7m_windows at;
    conv2d_v7m_begin(w, &at);
    while (conv2d_v7m_next(p, &at)) {
        if (at.inside) {
            conv2d_v7m_pack_inside(p, in, &at, 0, 0, w->kernel_h, w->kernel_w * p->in_c, x);
        } else {
            uint32_t *end = x;
            for (int32_t i = 0; i < w->kernel_h; i++) {
                end = conv2d_v7m_pack_padded(p, in, &at, i, 0, w->kernel_w, end);
            }
        }
        channels(x, p->weight, to, &at.out);
        to += CONV2D_V7M_PIXELS * p->out_c;
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->out_c, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_conv2d_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    conv2d_v7m_whole(p, in, out, (uint32_t *)scratch, conv2d_v7m_channels);
}

EDGEQ_KERNEL void edgeq_conv2d_sparse_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    conv2d_v7m_whole(p, in, out, (uint32_t *)scratch, conv2d_v7m_sparse_channels);
}

/* Packs `positions` positions of the kernel from `first`. */
static void conv2d_v7m_pack_part(const edgeq_conv2d_v7m_params *p, const int8_t *in, const conv2d_v7m_windows *at,
                                 int32_t first, int32_t positions, uint32_t *x) {
    const int32_t columns = p->window.kernel_w;
    int32_t i = first / columns, j = first - i * columns;
    while (positions > 0) {
        const int32_t n = columns - j < positions ? columns - j : positions;
        x = at->inside ? conv2d_v7m_pack_inside(p, in, at, i, j, 1, n * p->in_c, x)
                       : conv2d_v7m_pack_padded(p, in, at, i, j, j + n, x);
        positions -= n;
        i++;
        j = 0;
    }
}

EDGEQ_KERNEL void edgeq_conv2d_parts_v7m(const edgeq_conv2d_v7m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t positions = w->kernel_h * w->kernel_w;
    conv2d_v7m_sums *const sums = (conv2d_v7m_sums *)scratch, *const end = sums + 2 * p->out_c;
    uint32_t *const x = (uint32_t *)end;
    int8_t *to = out;
    conv2d_v7m_windows at;
    conv2d_v7m_begin(w, &at);
    while (conv2d_v7m_next(p, &at)) {
        for (int32_t o = 0; o < p->out_c; o++) {
            const uint32_t bias = (uint32_t)p->bias[o];
            const conv2d_v7m_sums sum = {bias + (bias << 16), bias};
            sums[2 * o] = sum;
            sums[2 * o + 1] = sum;
        }
        const uint8_t *weight = p->weight;
        for (int32_t first = 0; first < positions; first += p->part) {
            const int32_t left = positions - first;
            conv2d_v7m_pack_part(p, in, &at, first, left < p->part ? left : p->part, x);
            weight = conv2d_v7m_part(x, weight, sums, end);
        }
        for (int32_t o = 0; o < p->out_c; o++) {
            conv2d_v7m_write(sums + 2 * o, p->shift[o], to + o, &at.out);
        }
        to += CONV2D_V7M_PIXELS * p->out_c;
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->out_c, p->lo, p->hi);
}
