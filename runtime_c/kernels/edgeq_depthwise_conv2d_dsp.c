#include "edgeq_depthwise_conv2d.h"
#include "edgeq_dsp.h"

/* A block of the output is computed from lines of int16 in scratch, padding included: of each line of the input those of
 * four channels. All have one length, so that assembly knows the distances. */
enum {
    DEPTHWISE_DSP_CHANNELS = 4,
    DEPTHWISE_DSP_WORDS = 14,                                         /* of a channel's line: 28 columns */
    DEPTHWISE_DSP_LINE = DEPTHWISE_DSP_CHANNELS * DEPTHWISE_DSP_WORDS /* words between lines */
};

/* How lines of the input become lines in scratch, in the order in which the assembly reads it. */
typedef struct {
    uint32_t pad;        /* four bytes of it */
    int32_t column, row; /* bytes between columns, between rows of the input */
    int32_t pairs;       /* of columns, each a word */
    int32_t ends;        /* bit 0: before them a word that begins with padding; bit 1: after them one that ends with it */
    int32_t lines;
} depthwise_dsp_fill;

/* A block of the output, in the order in which the assembly reads it. It is computed by two rows and two columns. Of an odd
 * number the last row or column is computed with another, which is written first and to the same place. */
typedef struct {
    int32_t odd;               /* whether a column follows those by twos */
    int32_t next_x, next_out;  /* bytes from the end of two rows to the next two: of x, of the output */
    int32_t width;             /* bytes of x for columns by twos */
    int32_t column;            /* bytes between columns of the output; 0 where there is but one */
    int32_t row, last_row;     /* bytes between rows of the output; the same, or 0 where the last stands alone */
    int32_t row_pairs;         /* rows by twos, rounded up */
    const int32_t *bias;       /* [4] */
    const uint8_t *shift;      /* [4] */
    const int8_t *weight;      /* [4][9] */
} depthwise_dsp_block;

#if EDGEQ_DSP_ASM
/* Two columns of four channels, r12 and lr, to four lines. */
#define DEPTHWISE_DSP_SPREAD \
    "pkhbt r8, r12, lr, lsl #16\n" \
    "pkhtb r12, lr, r12, asr #16\n" \
    "sxtb16 lr, r8\n" \
    "sxtb16 r8, r8, ror #8\n" \
    "str lr, [r11], #4\n" \
    "str r8, [r11, #52]\n" \
    "sxtb16 lr, r12\n" \
    "sxtb16 r12, r12, ror #8\n" \
    "str lr, [r11, #108]\n" \
    "str r12, [r11, #164]\n"

#define DEPTHWISE_DSP_PAIR \
    "ldr r12, [r10]\n" \
    "ldr lr, [r10, r4]\n" \
    "add r10, r10, r4, lsl #1\n" \
    DEPTHWISE_DSP_SPREAD

__attribute__((naked, noinline)) static void depthwise_dsp_expand(
    const depthwise_dsp_fill *fill __attribute__((unused)), const int8_t *in __attribute__((unused)),
    uint32_t *x __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldm r0, {r3-r7, r9}\n" /* pad, column, row, pairs, ends, lines */
        "1:\n"
        "mov r10, r1\n"
        "mov r11, r2\n"
        "tst r7, #1\n"
        "beq 2f\n"
        "mov r12, r3\n"
        "ldr lr, [r10]\n"
        "add r10, r10, r4\n"
        DEPTHWISE_DSP_SPREAD
        "2:\n"
        "subs r0, r6, #2\n"
        "blt 4f\n"
        "3:\n"
        DEPTHWISE_DSP_PAIR
        DEPTHWISE_DSP_PAIR
        "subs r0, r0, #2\n"
        "bge 3b\n"
        "4:\n"
        "tst r6, #1\n"
        "beq 6f\n"
        DEPTHWISE_DSP_PAIR
        "6:\n"
        "tst r7, #2\n"
        "beq 5f\n"
        "ldr r12, [r10]\n"
        "mov lr, r3\n"
        DEPTHWISE_DSP_SPREAD
        "5:\n"
        "add r1, r1, r5\n"
        "add r2, r2, #224\n"
        "subs r9, r9, #1\n"
        "bne 1b\n"
        "pop {r4-r11, pc}\n");
}

/* sp + 0: shift and, from bit 8, row; column, end of x of the columns by twos, shift, bias; + 20: block, x, out, channel;
 * + 36: rows by twos left. */
#define DEPTHWISE_DSP_ENTER \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "mov r3, #0\n" \
    "push {r0-r4}\n" \
    "sub sp, sp, #20\n" \
    "1:\n" /* a channel */ \
    "ldr r12, [sp, #20]\n" \
    "ldr lr, [sp, #32]\n" \
    "ldr r10, [r12, #28]\n" \
    "ldr r4, [r12, #32]\n" \
    "ldr r5, [r12, #36]\n" \
    "ldr r1, [r12, #40]\n" \
    "ldr r4, [r4, lr, lsl #2]\n" \
    "ldrb r5, [r5, lr]\n" \
    "strd r5, r4, [sp, #12]\n" \
    "str r10, [sp, #36]\n" \
    "add r1, r1, lr\n" \
    "add r1, r1, lr, lsl #3\n"

/* Loads a row of weights and makes words of the first and second, and of the second and third. */
#define DEPTHWISE_DSP_WEIGHTS(a, b, at) \
    "ldrsb " a ", [r1, #" at "]\n" \
    "ldrsb r3, [r1, #" at " + 1]\n" \
    "ldrsb " b ", [r1, #" at " + 2]\n" \
    "pkhbt " a ", " a ", r3, lsl #16\n" \
    "pkhbt " b ", r3, " b ", lsl #16\n"

/* Starts the first two rows; r0: x, r1: out. */
#define DEPTHWISE_DSP_ROWS \
    "ldrd r0, r1, [sp, #24]\n" \
    "ldrd r2, r3, [r12, #12]\n" \
    "add r2, r2, r0\n" \
    "strd r3, r2, [sp, #4]\n" \
    "cmp r10, #1\n" \
    "b 8f\n" \
    "2:\n" /* the next two: lr are left */ \
    "str lr, [sp, #36]\n" \
    "cmp lr, #1\n" \
    "bne 3f\n" \
    "8:\n" \
    "ite eq\n" \
    "ldreq r2, [r12, #24]\n" /* last_row */ \
    "ldrne r2, [r12, #20]\n" /* row */ \
    "ldr r3, [sp, #12]\n" \
    "orr r3, r3, r2, lsl #8\n" \
    "str r3, [sp]\n" \
    "3:\n" \
    "ldr r11, [sp, #16]\n"

/* One row of weights, w12 the second and third, of two outputs; x: r12, lr. from0, from1: what is added to. */
#define DEPTHWISE_DSP_MAC1(out0, from0, out1, from1, w01, w12) \
    "smlad " out0 ", r12, " w01 ", " from0 "\n" \
    "smlatb " out1 ", r12, " w01 ", " from1 "\n" \
    "smlabt " out0 ", lr, " w12 ", " out0 "\n" \
    "smlad " out1 ", lr, " w12 ", " out1 "\n"

/* The same for stride 2; x: r9, r12, lr; w2 with half, b or t: the third weight. */
#define DEPTHWISE_DSP_MAC2(out0, from0, out1, from1, w01, half, w2) \
    "smlad " out0 ", r9, " w01 ", " from0 "\n" \
    "smlad " out1 ", r12, " w01 ", " from1 "\n" \
    "smlab" half " " out0 ", r12, " w2 ", " out0 "\n" \
    "smlab" half " " out1 ", lr, " w2 ", " out1 "\n"

/* bytes: of x for two columns. */
#define DEPTHWISE_DSP_LEAVE(bytes) \
    "ldrd r12, lr, [sp]\n" \
    "asr r2, r2, r12\n" \
    "asr r3, r3, r12\n" \
    "asr r10, r10, r12\n" \
    "asr r11, r11, r12\n" \
    "ssat r2, #8, r2\n" \
    "ssat r3, #8, r3\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "add r12, r1, r12, asr #8\n" \
    "strb r11, [r12, lr]\n" \
    "strb r10, [r12]\n" \
    "strb r3, [r1, lr]\n" \
    "strb r2, [r1]\n" \
    "ldr r12, [sp, #8]\n" \
    "add r1, r1, lr, lsl #1\n" \
    "cmp r0, r12\n" \
    "bne 3b\n" \
    "ldr r12, [sp, #20]\n" \
    "ldm r12, {r2, r3, r10, r11}\n" /* odd, next_x, next_out, width */ \
    "cmp r2, #0\n" \
    "bne 5f\n" \
    "4:\n" \
    "add r0, r0, r3\n" \
    "add r1, r1, r10\n" \
    "add r11, r11, r0\n" \
    "str r11, [sp, #8]\n" \
    "ldr lr, [sp, #36]\n" \
    "subs lr, lr, #1\n" \
    "bne 2b\n" \
    "ldrd r10, r11, [sp, #24]\n" \
    "ldr lr, [sp, #32]\n" \
    "add r10, r10, #56\n" \
    "add r11, r11, #1\n" \
    "strd r10, r11, [sp, #24]\n" \
    "add lr, lr, #1\n" \
    "str lr, [sp, #32]\n" \
    "cmp lr, #4\n" \
    "bne 1b\n" \
    "add sp, sp, #40\n" \
    "pop {r4-r11, pc}\n" \
    "5:\n" /* an odd column, unless it was just done */ \
    "ldr r2, [r12, #16]\n" \
    "cmp lr, #0\n" \
    "it ne\n" \
    "movne r2, #0\n" \
    "str r2, [sp, #4]\n" \
    "beq 4b\n" \
    "add r11, r0, #" bytes "\n" \
    "str r11, [sp, #8]\n" \
    "b 3b\n"

/* Four channels with stride 1. */
__attribute__((naked, noinline)) static void depthwise_dsp_stride1(
    const depthwise_dsp_block *block __attribute__((unused)), const uint32_t *x __attribute__((unused)),
    int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_DSP_ENTER
        DEPTHWISE_DSP_WEIGHTS("r4", "r5", "0")
        DEPTHWISE_DSP_WEIGHTS("r6", "r7", "3")
        DEPTHWISE_DSP_WEIGHTS("r8", "r9", "6")
        DEPTHWISE_DSP_ROWS
        "ldr r12, [r0], #4\n"
        "ldr lr, [r0]\n"
        DEPTHWISE_DSP_MAC1("r2", "r11", "r3", "r11", "r4", "r5")
        "ldrd r12, lr, [r0, #220]\n"
        DEPTHWISE_DSP_MAC1("r2", "r2", "r3", "r3", "r6", "r7")
        DEPTHWISE_DSP_MAC1("r10", "r11", "r11", "r11", "r4", "r5")
        "ldrd r12, lr, [r0, #444]\n"
        DEPTHWISE_DSP_MAC1("r2", "r2", "r3", "r3", "r8", "r9")
        DEPTHWISE_DSP_MAC1("r10", "r10", "r11", "r11", "r6", "r7")
        "ldrd r12, lr, [r0, #668]\n"
        DEPTHWISE_DSP_MAC1("r10", "r10", "r11", "r11", "r8", "r9")
        DEPTHWISE_DSP_LEAVE("4"));
}

/* Loads columns at r0 + at. */
#define DEPTHWISE_DSP_LOAD(at) \
    "ldr r9, [r0, #" at "]\n" \
    "ldr r12, [r0, #" at " + 4]\n" \
    "ldr lr, [r0, #" at " + 8]\n"

/* Four channels with stride 2. */
__attribute__((naked, noinline)) static void depthwise_dsp_stride2(
    const depthwise_dsp_block *block __attribute__((unused)), const uint32_t *x __attribute__((unused)),
    int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_DSP_ENTER
        DEPTHWISE_DSP_WEIGHTS("r4", "r7", "0")
        DEPTHWISE_DSP_WEIGHTS("r5", "r8", "3")
        DEPTHWISE_DSP_WEIGHTS("r6", "r9", "6")
        "pkhtb r7, r8, r7, asr #16\n" /* the third weights of rows 0 and 1 */
        "mov r8, r9\n"
        DEPTHWISE_DSP_ROWS
        DEPTHWISE_DSP_LOAD("0")
        DEPTHWISE_DSP_MAC2("r2", "r11", "r3", "r11", "r4", "b", "r7")
        DEPTHWISE_DSP_LOAD("224")
        DEPTHWISE_DSP_MAC2("r2", "r2", "r3", "r3", "r5", "t", "r7")
        DEPTHWISE_DSP_LOAD("448")
        DEPTHWISE_DSP_MAC2("r2", "r2", "r3", "r3", "r6", "t", "r8")
        DEPTHWISE_DSP_MAC2("r10", "r11", "r11", "r11", "r4", "b", "r7")
        DEPTHWISE_DSP_LOAD("672")
        DEPTHWISE_DSP_MAC2("r10", "r10", "r11", "r11", "r5", "t", "r7")
        DEPTHWISE_DSP_LOAD("896")
        DEPTHWISE_DSP_MAC2("r10", "r10", "r11", "r11", "r6", "t", "r8")
        "add r0, r0, #8\n"
        DEPTHWISE_DSP_LEAVE("8"));
}
#else
static void depthwise_dsp_expand(const depthwise_dsp_fill *fill, const int8_t *in, uint32_t *x) {
    const int32_t before = fill->ends & 1, columns = 2 * (before + fill->pairs) + (fill->ends >> 1);
    for (int32_t line = 0; line < fill->lines; line++) {
        for (int32_t i = 0; i < columns + columns % 2; i += 2) {
            for (int32_t c = 0; c < DEPTHWISE_DSP_CHANNELS; c++) {
                const int8_t pad = (int8_t)(uint8_t)fill->pad;
                const int8_t *from = in + (i - before) * fill->column + c;
                const int32_t first = i < before ? pad : from[0], second = i + 1 == columns ? pad : from[fill->column];
                x[c * DEPTHWISE_DSP_WORDS + i / 2] = edgeq_dsp_bottoms((uint32_t)first, (uint32_t)second);
            }
        }
        in += fill->row;
        x += DEPTHWISE_DSP_LINE;
    }
}

static int8_t depthwise_dsp_output(const depthwise_dsp_block *block, const uint32_t *x, int32_t channel, int32_t column) {
    int32_t acc = block->bias[channel];
    for (int32_t t = 0; t < 9; t++) {
        const int32_t at = column + t % 3;
        const uint32_t word = x[t / 3 * DEPTHWISE_DSP_LINE + at / 2];
        acc += block->weight[9 * channel + t] * (int16_t)(uint16_t)(at % 2 != 0 ? word >> 16 : word);
    }
    return edgeq_dsp_saturate(acc >> block->shift[channel]);
}

/* Two rows of channel c, two columns at a time from x to end. */
static int8_t *depthwise_dsp_rows(const depthwise_dsp_block *block, const uint32_t *x, const uint32_t *end, int8_t *out,
                                  int32_t c, int32_t stride, int32_t row, int32_t column) {
    do {
        for (int32_t k = 3; k >= 0; k--) {
            out[k / 2 * row + k % 2 * column] =
                depthwise_dsp_output(block, x + k / 2 * stride * DEPTHWISE_DSP_LINE, c, k % 2 * stride);
        }
        x += stride;
        out += 2 * column;
    } while (x != end);
    return out;
}

static void depthwise_dsp_channels(const depthwise_dsp_block *block, const uint32_t *x, int8_t *out, int32_t stride) {
    for (int32_t c = 0; c < DEPTHWISE_DSP_CHANNELS; c++) {
        const uint32_t *line = x + c * DEPTHWISE_DSP_WORDS;
        int8_t *to = out + c;
        for (int32_t left = block->row_pairs; left > 0; left--) {
            const uint32_t *end = line + block->width / 4;
            const int32_t row = left == 1 ? block->last_row : block->row;
            to = depthwise_dsp_rows(block, line, end, to, c, stride, row, block->column);
            if (block->odd != 0) {
                depthwise_dsp_rows(block, end, end + stride, to, c, stride, row, 0);
                end += stride;
            }
            line = end + block->next_x / 4;
            to += block->next_out;
        }
    }
}

static void depthwise_dsp_stride1(const depthwise_dsp_block *block, const uint32_t *x, int8_t *out) {
    depthwise_dsp_channels(block, x, out, 1);
}

static void depthwise_dsp_stride2(const depthwise_dsp_block *block, const uint32_t *x, int8_t *out) {
    depthwise_dsp_channels(block, x, out, 2);
}
#endif

static inline int32_t depthwise_dsp_least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* Which lines, or columns, of the input a block reads; there are some. */
typedef struct {
    int32_t before, from, n; /* padding before; the first, how many */
} depthwise_dsp_range;

/* n outputs from `first` on; pad: before the input, size: of the input. */
__attribute__((noinline)) static depthwise_dsp_range depthwise_dsp_inside(int32_t first, int32_t n, int32_t stride, int32_t pad,
                                                                          int32_t size) {
    const int32_t begin = first * stride - pad, end = begin + (n - 1) * stride + 3;
    const int32_t before = begin < 0 ? -begin : 0;
    const depthwise_dsp_range inside = {before, begin + before, depthwise_dsp_least(end, size) - begin - before};
    return inside;
}

static inline int depthwise_dsp_alike(const depthwise_dsp_range *a, const depthwise_dsp_range *b) {
    return a->before == b->before && a->n == b->n;
}

static depthwise_dsp_block depthwise_dsp_block_of(const edgeq_depthwise_conv2d_dsp_params *p, int32_t rows, int32_t columns) {
    const int alone = columns == 1;
    const int32_t stride = p->window.stride_w, pairs = alone ? 1 : columns / 2;
    depthwise_dsp_block block;
    block.odd = alone ? 0 : columns % 2;
    block.column = alone ? 0 : p->out_column;
    block.width = 4 * stride * pairs;
    block.next_x = stride * (2 * 4 * DEPTHWISE_DSP_LINE - 4 * (pairs + block.odd));
    block.next_out = 2 * (p->out_row - pairs * block.column);
    block.row = p->out_row;
    block.last_row = rows % 2 != 0 ? 0 : p->out_row;
    block.row_pairs = (rows + 1) / 2;
    return block;
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_3x3_dsp(const edgeq_depthwise_conv2d_dsp_params *p, const int8_t *in, int8_t *out,
                                                 void *scratch) {
    const edgeq_window *w = &p->window;
    const uint32_t pad = edgeq_dsp_bottoms((uint32_t)p->pad_value, (uint32_t)p->pad_value);
    uint32_t *const x = (uint32_t *)scratch;
    depthwise_dsp_range padded_down = {-1, -1, -1}, padded_across = padded_down; /* of the block before */
    for (int32_t oy = 0; oy < w->out_h; oy += p->band) {
        const int32_t rows = depthwise_dsp_least(w->out_h - oy, p->band);
        const depthwise_dsp_range down = depthwise_dsp_inside(oy, rows, w->stride_h, w->pad_top, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox += p->strip) {
            const int32_t columns = depthwise_dsp_least(w->out_w - ox, p->strip);
            const depthwise_dsp_range across = depthwise_dsp_inside(ox, columns, w->stride_w, w->pad_left, w->in_w);
            const int32_t begins = across.before % 2, rest = across.n - begins;
            const depthwise_dsp_fill fill = {edgeq_dsp_all4(p->pad_value), p->in_column, p->in_row, rest / 2,
                                             begins + rest % 2 * 2, down.n};
            depthwise_dsp_block block = depthwise_dsp_block_of(p, rows, columns);
            const int8_t *const from = in + down.from * p->in_row + across.from * p->in_column;
            int8_t *const to = out + oy * p->out_row + ox * p->out_column;
            if (!depthwise_dsp_alike(&down, &padded_down) || !depthwise_dsp_alike(&across, &padded_across)) {
                for (int32_t k = 0; k < p->lines * DEPTHWISE_DSP_LINE; k += 4) { /* otherwise padding is where it was */
                    x[k] = pad;
                    x[k + 1] = pad;
                    x[k + 2] = pad;
                    x[k + 3] = pad;
                }
                padded_down = down;
                padded_across = across;
            }
            for (int32_t c0 = 0; c0 < p->channels; c0 += DEPTHWISE_DSP_CHANNELS) {
                const int32_t c = depthwise_dsp_least(c0, p->channels - DEPTHWISE_DSP_CHANNELS);
                depthwise_dsp_expand(&fill, from + c, x + down.before * DEPTHWISE_DSP_LINE + across.before / 2);
                block.bias = p->bias + c;
                block.shift = p->shift + c;
                block.weight = p->weight + 9 * c;
                (w->stride_w == 1 ? depthwise_dsp_stride1 : depthwise_dsp_stride2)(&block, x, to + c);
            }
        }
    }
    edgeq_dsp_clamp(out, w->out_h * w->out_w * p->channels, p->lo, p->hi);
}
