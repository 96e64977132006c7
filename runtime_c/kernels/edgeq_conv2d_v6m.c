#include "edgeq_conv2d.h"
#include "edgeq_v6m.h"

#include <string.h>

/* Two pixels share a word, one in each half, so that one multiplication by a weight gives both products. Sums of words are
 * right in either half for as long as the lower one fits 16 bits; the stream of weights says when to take them apart. */
enum { CONV2D_V6M_STEPS = 7, CONV2D_V6M_END = 8, CONV2D_V6M_HALF = 0x8000 };

/* What computing all channels of four pixels from a chunk of taps needs, in the order in which the assembly reads it.
 * Arrays of channels are given by their ends. */
typedef struct {
    const uint32_t *x;          /* of each tap pixels 0 and 1, 2 and 3 */
    const int8_t *weight;       /* the stream; moves on */
    const int32_t *requant;     /* [channels][2]: bias, 256 * sums taken apart + shift */
    uint32_t *sums;             /* [channels][4] between chunks */
    int8_t *out[EDGEQ_V6M_PIXELS];
    int32_t channel;            /* counts up to 0 */
    int32_t span, lo;           /* hi - lo, lo */
    int32_t from_sums, to_sums; /* whether there were chunks before, are chunks after */
} conv2d_v6m_walk;

#if EDGEQ_V6M_ASM
/* r0 x, r1 weights - 26, r7 26: bytes of a step. r8, r9: sums in halves. r10, r12: all that was summed, as words;
 * r11, lr: the upper halves. The stack has walk and the header of groups. */

/* A group of up to 7 steps of two taps. The header's code, shifted to the top, has its sign set where it is no group, and
 * says otherwise how many steps are left out. */
#define CONV2D_V6M_GROUP(shift) \
    "lsls r3, r2, #" shift "\n" \
    "bmi 1f\n" \
    "lsrs r3, r3, #28\n" \
    "muls r3, r7\n" \
    "add pc, r3\n" \
    "1: b 4f\n" \
    ".rept 7\n" \
    "ldmia r0!, {r3-r6}\n" \
    "ldrsb r2, [r1, r7]\n" \
    "adds r1, #1\n" \
    "muls r3, r2\n" \
    "muls r4, r2\n" \
    "add r8, r3\n" \
    "add r9, r4\n" \
    "ldrsb r2, [r1, r7]\n" \
    "adds r1, #1\n" \
    "muls r5, r2\n" \
    "muls r6, r2\n" \
    "add r8, r5\n" \
    "add r9, r6\n" \
    ".endr\n" \
    "ldr r4, 9f\n" \
    "mov r3, r8\n" \
    "add r10, r8\n" \
    "asrs r3, r3, #16\n" \
    "add r11, r3\n" \
    "mov r8, r4\n" \
    "mov r3, r9\n" \
    "add r12, r9\n" \
    "asrs r3, r3, #16\n" \
    "add lr, r3\n" \
    "mov r9, r4\n"

/* Requantises and writes two pixels: words and upper halves, and where walk has their outputs. r1 channel, r6 shift. */
#define CONV2D_V6M_WRITE(words, uppers, out0, out1) \
    "mov r2, " uppers "\n" \
    "mov r3, " words "\n" \
    "lsls r0, r2, #16\n" \
    "subs r3, r3, r0\n" \
    "asrs r3, r6\n" \
    EDGEQ_V6M_CLAMP("r3", "r0", "r5", "r7") \
    "ldr r0, [r4, #" out0 "]\n" \
    "strb r3, [r0, r1]\n" \
    "asrs r2, r6\n" \
    EDGEQ_V6M_CLAMP("r2", "r0", "r5", "r7") \
    "ldr r0, [r4, #" out1 "]\n" \
    "strb r2, [r0, r1]\n"

__attribute__((naked, noinline)) static void conv2d_v6m_channels(conv2d_v6m_walk *walk __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r0, r1, r4-r7}\n" /* r1: room for the header */
        "mov r4, r0\n"
        "ldr r1, [r4, #4]\n"
        "movs r7, #26\n"
        "subs r1, #26\n"
        "2:\n" /* a channel; r4 walk */
        "ldr r5, [r4, #32]\n"
        "ldr r3, [r4, #44]\n"
        "cmp r3, #0\n"
        "bne 3f\n"
        "lsls r5, r5, #3\n"
        "ldr r0, [r4, #8]\n"
        "adds r0, r0, r5\n"
        "ldmia r0!, {r2, r3}\n"
        "lsrs r3, r3, #8\n"
        "lsls r6, r2, #16\n"
        "adds r6, r6, r2\n"
        "lsls r3, r3, #15\n"
        "subs r6, r6, r3\n"
        "mov r10, r6\n"
        "mov r11, r2\n"
        "mov r12, r6\n"
        "mov lr, r2\n"
        "b 5f\n"
        "3:\n" /* goes on with a channel */
        "lsls r5, r5, #4\n"
        "ldr r0, [r4, #12]\n"
        "adds r0, r0, r5\n"
        "ldmia r0!, {r2, r3, r5, r6}\n"
        "mov r10, r2\n"
        "mov r11, r3\n"
        "mov r12, r5\n"
        "mov lr, r6\n"
        "5:\n"
        "ldr r0, [r4]\n"
        "ldr r3, 9f\n"
        "mov r8, r3\n"
        "mov r9, r3\n"
        "6:\n"
        "ldrb r2, [r1, #26]\n"
        "adds r1, #1\n"
        "str r2, [sp, #4]\n"
        CONV2D_V6M_GROUP("28")
        "ldr r2, [sp, #4]\n"
        CONV2D_V6M_GROUP("24")
        "b 6b\n"
        "4:\n" /* the channel's end, or steps of zeros */
        "lsrs r3, r3, #28\n"
        "cmp r3, #8\n"
        "beq 7f\n"
        "ldrb r2, [r1, #26]\n"
        "adds r1, #1\n"
        "lsls r2, r2, #4\n"
        "adds r0, r0, r2\n"
        "b 6b\n"
        "7:\n"
        "ldr r4, [sp]\n"
        "mov r8, r1\n"
        "ldr r1, [r4, #32]\n"
        "ldr r3, [r4, #48]\n"
        "cmp r3, #0\n"
        "bne 3f\n"
        "lsls r3, r1, #3\n"
        "ldr r2, [r4, #8]\n"
        "adds r3, r3, r2\n"
        "ldr r6, [r3, #4]\n"
        "ldr r5, [r4, #36]\n"
        "ldr r7, [r4, #40]\n"
        CONV2D_V6M_WRITE("r10", "r11", "16", "20")
        CONV2D_V6M_WRITE("r12", "lr", "24", "28")
        "movs r7, #26\n"
        "b 8f\n"
        "3:\n" /* leaves the channel to the next chunk */
        "lsls r6, r1, #4\n"
        "ldr r0, [r4, #12]\n"
        "adds r0, r0, r6\n"
        "mov r2, r10\n"
        "mov r3, r11\n"
        "mov r5, r12\n"
        "mov r6, lr\n"
        "stmia r0!, {r2, r3, r5, r6}\n"
        "8:\n"
        "adds r1, #1\n"
        "str r1, [r4, #32]\n"
        "mov r1, r8\n"
        "beq 1f\n"
        "b 2b\n"
        "1:\n"
        "adds r1, #26\n"
        "str r1, [r4, #4]\n"
        "add sp, #8\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r4-r7, pc}\n"
        ".balign 4\n"
        "9: .word 0x8000\n");
}
#else
/* Two pixels of a channel: all that was summed, as words, and the upper halves alone. */
typedef struct {
    uint32_t words, uppers;
} conv2d_v6m_pair;

static conv2d_v6m_pair conv2d_v6m_start(const conv2d_v6m_walk *walk, int32_t pair) {
    if (walk->from_sums) {
        const uint32_t *sums = walk->sums + 4 * walk->channel + 2 * pair;
        const conv2d_v6m_pair kept = {sums[0], sums[1]};
        return kept;
    }
    const int32_t *requant = walk->requant + 2 * walk->channel;
    const uint32_t bias = (uint32_t)requant[0];
    const conv2d_v6m_pair fresh = {bias + (bias << 16) - ((uint32_t)requant[1] >> 8) * CONV2D_V6M_HALF, bias};
    return fresh;
}

static void conv2d_v6m_finish(const conv2d_v6m_walk *walk, int32_t pair, conv2d_v6m_pair sum) {
    const int32_t c = walk->channel, lower = (int32_t)(sum.words - (sum.uppers << 16)), upper = (int32_t)sum.uppers;
    if (walk->to_sums) {
        walk->sums[4 * c + 2 * pair] = sum.words;
        walk->sums[4 * c + 2 * pair + 1] = sum.uppers;
    } else {
        const int32_t shift = walk->requant[2 * c + 1] & 0xFF;
        walk->out[2 * pair][c] = edgeq_v6m_clamp(lower >> shift, walk->span, walk->lo);
        walk->out[2 * pair + 1][c] = edgeq_v6m_clamp(upper >> shift, walk->span, walk->lo);
    }
}

/* A group of n taps of two pixels. */
static conv2d_v6m_pair conv2d_v6m_group(conv2d_v6m_pair sum, const uint32_t *x, const int8_t *w, int32_t n) {
    uint32_t s = CONV2D_V6M_HALF;
    for (int32_t t = 0; t < n; t++) {
        const int32_t weight = w[t];
        s += x[2 * t] * (uint32_t)weight;
    }
    sum.words += s;
    sum.uppers += (uint32_t)((int32_t)s >> 16);
    return sum;
}

static void conv2d_v6m_channels(conv2d_v6m_walk *walk) {
    const int8_t *w = walk->weight;
    for (; walk->channel != 0; walk->channel++) {
        conv2d_v6m_pair sum0 = conv2d_v6m_start(walk, 0), sum1 = conv2d_v6m_start(walk, 1);
        const uint32_t *x = walk->x;
        uint32_t codes = 1;
        for (;;) {
            codes = codes == 1 ? (uint8_t)*w++ | 0x100U : codes; /* two codes and a mark behind them */
            const int32_t code = codes & 15U;
            codes >>= 4;
            if (code < CONV2D_V6M_END) {
                const int32_t n = 2 * (CONV2D_V6M_STEPS - code);
                sum0 = conv2d_v6m_group(sum0, x, w, n);
                sum1 = conv2d_v6m_group(sum1, x + 1, w, n);
                w += n;
                x += 2 * n;
            } else if (code != CONV2D_V6M_END) {
                x += 4 * (uint8_t)*w++;
                codes = 1;
            } else {
                break;
            }
        }
        conv2d_v6m_finish(walk, 0, sum0);
        conv2d_v6m_finish(walk, 1, sum1);
    }
    walk->weight = w;
}
#endif

/* How far the taps of four windows have been read. */
typedef struct {
    int32_t row, column, channel; /* of the next tap */
} conv2d_v6m_tap;

static inline uint32_t conv2d_v6m_word(int32_t lower, int32_t upper) {
    return (uint32_t)lower + ((uint32_t)upper << 16);
}

/* n > 0 taps of four pixels, given by their ends, as words. Returns the end of what it wrote. */
__attribute__((noinline)) static uint32_t *conv2d_v6m_expand(const int8_t *const ends[EDGEQ_V6M_PIXELS], int32_t n,
                                                             uint32_t *to) {
    const int8_t *a = ends[0], *b = ends[1], *c = ends[2], *d = ends[3];
    int32_t i = -n;
    do {
        to[0] = conv2d_v6m_word(a[i], b[i]);
        to[1] = conv2d_v6m_word(c[i], d[i]);
        to += 2;
        i++;
    } while (i != 0);
    return to;
}

/* The next n taps of a row of the windows, or fewer, as words; pad: in_c bytes of padding. Returns how many. */
static int32_t conv2d_v6m_row(const edgeq_conv2d_v6m_params *p, const edgeq_v6m_windows *at, const int8_t *in,
                              const int8_t *pad, int32_t n, conv2d_v6m_tap *next, uint32_t *to) {
    const edgeq_window *w = &p->window;
    const int32_t in_c = p->in_c, whole = at->inside && w->dilation_w == 1; /* then the taps of a row are neighbours */
    const int8_t *rows[EDGEQ_V6M_PIXELS], *ends[EDGEQ_V6M_PIXELS];
    int32_t done = 0;
    edgeq_v6m_rows(w, at, next->row, in, in_c, rows);
    while (done < n && next->column < w->kernel_w) {
        const int32_t columns = whole ? w->kernel_w - next->column : 1, ahead = columns * in_c - next->channel;
        const int32_t taps = edgeq_v6m_min(ahead, n - done), end = next->channel + taps;
        edgeq_v6m_column(w, at, next->column, in_c, rows, pad, end, ends);
        to = conv2d_v6m_expand(ends, taps, to);
        done += taps;
        next->channel = end;
        for (; next->channel >= in_c; next->channel -= in_c) {
            next->column++;
        }
    }
    return done;
}

/* The next n taps of the windows, as words. */
static void conv2d_v6m_gather(const edgeq_conv2d_v6m_params *p, const edgeq_v6m_windows *at, const int8_t *in,
                              const int8_t *pad, int32_t n, conv2d_v6m_tap *next, uint32_t *to) {
    while (n > 0) {
        const int32_t done = conv2d_v6m_row(p, at, in, pad, n, next, to);
        n -= done;
        to += 2 * done;
        if (next->column == p->window.kernel_w) {
            next->column = 0;
            next->row++;
        }
    }
}

EDGEQ_KERNEL void edgeq_conv2d_v6m(const edgeq_conv2d_v6m_params *p, const int8_t *in, int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t taps = p->taps, chunk = p->chunk, out_c = p->out_c;
    uint32_t *const x = (uint32_t *)scratch, *const sums = x + 2 * chunk, *const end = sums + 4 * out_c;
    int8_t *const pad = (int8_t *)(chunk < taps ? end : sums);
    edgeq_v6m_windows at;
    conv2d_v6m_walk walk;
    walk.x = x;
    walk.requant = p->requant + 2 * out_c;
    walk.sums = end;
    walk.span = p->span;
    walk.lo = p->lo;
    if (p->padded) {
        memset(pad, p->pad_value, (size_t)p->in_c);
    }
    edgeq_v6m_start(w, &at);
    for (int32_t left = w->out_h * w->out_w; left > 0; left -= EDGEQ_V6M_PIXELS) {
        conv2d_v6m_tap next = {0, 0, 0};
        edgeq_v6m_move(w, left, &at);
        for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
            out += k < left ? out_c : 0;
            walk.out[k] = out;
        }
        walk.weight = p->weight;
        for (int32_t t = 0; t < taps; t += chunk) {
            const int32_t n = edgeq_v6m_min(taps - t, chunk);
            conv2d_v6m_gather(p, &at, in, pad, n, &next, x);
            if (n % 2 != 0) { /* a step has two taps */
                x[2 * n] = x[2 * n + 1] = 0;
            }
            walk.channel = -out_c;
            walk.from_sums = t != 0;
            walk.to_sums = t + n < taps;
            conv2d_v6m_channels(&walk);
        }
    }
}
