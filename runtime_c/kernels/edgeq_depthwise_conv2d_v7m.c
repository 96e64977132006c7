#include "edgeq_depthwise_conv2d.h"
#include "edgeq_v7m.h"

/* What computing a channel needs to know of its plane, in the order in which the assembly reads it. A plane holds lines
 * of words, padding included; its line 0 is the first output row's first. Distances in bytes. */
typedef struct {
    int32_t out_column, shift;
    int32_t back, line;         /* from line 2 to the next outputs' line 0; between lines */
    int32_t bias, rows;
    int32_t tiled, width;       /* of an output row: what whole tiles write, all */
    int32_t line_step, out_row; /* between output rows: in the plane, in the output */
} depthwise_v7m_plane;

/* The same for filling a plane: lines and pixels that are in the input; distances there in bytes, too. */
typedef struct {
    int32_t count, pixels;
    int32_t line, column, row;
} depthwise_v7m_lines;

#if EDGEQ_V7M_ASM
/* r0: the plane at the outputs' first tap, r1: weights, lr: bias. On the stack: output, end of the outputs that are written
 * alike, and from the plane out_column, shift, back, line; then this row's plane and output, rows left, the plane. */
#define DEPTHWISE_V7M_ENTER \
    ".syntax unified\n" \
    "push {r0, r4-r11, lr}\n" \
    "ldm r0, {r4-r9}\n" \
    "mov lr, r8\n" \
    "push {r2, r3, r9}\n" \
    "push {r4-r7}\n" \
    "sub sp, sp, #8\n" \
    "1:\n" \
    "ldrd r0, r2, [sp, #24]\n" \
    "ldr r8, [sp, #36]\n" \
    "ldr r4, [r8, #24]\n" \
    "add r3, r2, r4\n" \
    "strd r2, r3, [sp]\n" \
    "cmp r4, #0\n" \
    "beq 3f\n"

#define DEPTHWISE_V7M_NEXT_LINE \
    "ldr r8, [sp, #20]\n" \
    "add r0, r0, r8\n"

/* Outputs of one tap: its weight, inputs; acc: where sums come from, which go on in r9 to r12. */
#define DEPTHWISE_V7M_TAP2(weight, x0, x1, acc0, acc1) \
    "ldrsb r8, [r1, #" weight "]\n" \
    "mla r9, r8, " x0 ", " acc0 "\n" \
    "mla r10, r8, " x1 ", " acc1 "\n"

#define DEPTHWISE_V7M_TAP3(weight, x0, x1, x2, acc0, acc1, acc2) \
    DEPTHWISE_V7M_TAP2(weight, x0, x1, acc0, acc1) \
    "mla r11, r8, " x2 ", " acc2 "\n"

#define DEPTHWISE_V7M_TAP4(weight, x0, x1, x2, x3, acc0, acc1, acc2, acc3) \
    DEPTHWISE_V7M_TAP3(weight, x0, x1, x2, acc0, acc1, acc2) \
    "mla r12, r8, " x3 ", " acc3 "\n"

/* One line of four or three outputs with stride 1, of two with stride 2, of one. */
#define DEPTHWISE_V7M_FOUR(w0, w1, w2, acc0, acc1, acc2, acc3) \
    "ldm r0, {r2-r7}\n" \
    DEPTHWISE_V7M_TAP4(w0, "r2", "r3", "r4", "r5", acc0, acc1, acc2, acc3) \
    DEPTHWISE_V7M_TAP4(w1, "r3", "r4", "r5", "r6", "r9", "r10", "r11", "r12") \
    DEPTHWISE_V7M_TAP4(w2, "r4", "r5", "r6", "r7", "r9", "r10", "r11", "r12")

#define DEPTHWISE_V7M_THREE(w0, w1, w2, acc0, acc1, acc2) \
    "ldm r0, {r2-r6}\n" \
    DEPTHWISE_V7M_TAP3(w0, "r2", "r3", "r4", acc0, acc1, acc2) \
    DEPTHWISE_V7M_TAP3(w1, "r3", "r4", "r5", "r9", "r10", "r11") \
    DEPTHWISE_V7M_TAP3(w2, "r4", "r5", "r6", "r9", "r10", "r11")

#define DEPTHWISE_V7M_TWO(w0, w1, w2, acc0, acc1) \
    "ldm r0, {r2-r6}\n" \
    DEPTHWISE_V7M_TAP2(w0, "r2", "r4", acc0, acc1) \
    DEPTHWISE_V7M_TAP2(w1, "r3", "r5", "r9", "r10") \
    DEPTHWISE_V7M_TAP2(w2, "r4", "r6", "r9", "r10")

#define DEPTHWISE_V7M_ONE(w0, w1, w2, acc) \
    "ldm r0, {r2-r4}\n" \
    "ldrsb r5, [r1, #" w0 "]\n" \
    "ldrsb r6, [r1, #" w1 "]\n" \
    "ldrsb r7, [r1, #" w2 "]\n" \
    "mla r9, r5, r2, " acc "\n" \
    "mla r9, r6, r3, r9\n" \
    "mla r9, r7, r4, r9\n"

/* r2 output, r3 end, r4 out_column, r5 shift. */
#define DEPTHWISE_V7M_READY \
    "ldm sp, {r2-r6}\n" \
    "add r0, r0, r6\n"

#define DEPTHWISE_V7M_WRITE1(a) \
    "asr " a ", " a ", r5\n" \
    "ssat " a ", #8, " a "\n" \
    "strb " a ", [r2]\n" \
    "add r2, r2, r4\n"

#define DEPTHWISE_V7M_WRITE2(a, b) \
    "asr " a ", " a ", r5\n" \
    "asr " b ", " b ", r5\n" \
    "ssat " a ", #8, " a "\n" \
    "ssat " b ", #8, " b "\n" \
    "strb " a ", [r2]\n" \
    "strb " b ", [r2, r4]\n" \
    "add r2, r2, r4, lsl #1\n"

#define DEPTHWISE_V7M_AGAIN(label) \
    "str r2, [sp]\n" \
    "cmp r2, r3\n" \
    "bne " label "\n"

/* What no tile holds, one output at a time; excess: bytes by which a tile's step is larger. Then the next row. */
#define DEPTHWISE_V7M_LEAVE(excess) \
    "3:\n" \
    "ldr r8, [sp, #36]\n" \
    "ldr r4, [r8, #28]\n" \
    "ldr r3, [sp, #28]\n" \
    "ldr r2, [sp]\n" \
    "add r3, r3, r4\n" \
    "str r3, [sp, #4]\n" \
    "cmp r2, r3\n" \
    "beq 5f\n" \
    "4:\n" \
    DEPTHWISE_V7M_ONE("0", "1", "2", "lr") \
    DEPTHWISE_V7M_NEXT_LINE \
    DEPTHWISE_V7M_ONE("3", "4", "5", "r9") \
    DEPTHWISE_V7M_NEXT_LINE \
    DEPTHWISE_V7M_ONE("6", "7", "8", "r9") \
    DEPTHWISE_V7M_READY \
    "sub r0, r0, #" excess "\n" \
    DEPTHWISE_V7M_WRITE1("r9") \
    DEPTHWISE_V7M_AGAIN("4b") \
    "5:\n" \
    "ldr r8, [sp, #36]\n" \
    "ldrd r4, r5, [r8, #32]\n" \
    "add r8, sp, #24\n" \
    "ldm r8, {r2, r3, r6}\n" \
    "add r2, r2, r4\n" \
    "add r3, r3, r5\n" \
    "subs r6, r6, #1\n" \
    "stm r8, {r2, r3, r6}\n" \
    "bne 1b\n" \
    "add sp, sp, #40\n" \
    "pop {r4-r11, pc}\n"

/* One channel with stride 1, four outputs at a time. weight: its nine taps. */
__attribute__((naked, noinline)) static void depthwise_v7m_stride1(
    const depthwise_v7m_plane *plane __attribute__((unused)), const int8_t *weight __attribute__((unused)),
    const int32_t *x __attribute__((unused)), int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_V7M_ENTER
        "2:\n"
        DEPTHWISE_V7M_FOUR("0", "1", "2", "lr", "lr", "lr", "lr")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_FOUR("3", "4", "5", "r9", "r10", "r11", "r12")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_FOUR("6", "7", "8", "r9", "r10", "r11", "r12")
        DEPTHWISE_V7M_READY
        DEPTHWISE_V7M_WRITE2("r9", "r10")
        DEPTHWISE_V7M_WRITE2("r11", "r12")
        DEPTHWISE_V7M_AGAIN("2b")
        DEPTHWISE_V7M_LEAVE("12"));
}

/* The same, three outputs at a time. */
__attribute__((naked, noinline)) static void depthwise_v7m_stride1_three(
    const depthwise_v7m_plane *plane __attribute__((unused)), const int8_t *weight __attribute__((unused)),
    const int32_t *x __attribute__((unused)), int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_V7M_ENTER
        "2:\n"
        DEPTHWISE_V7M_THREE("0", "1", "2", "lr", "lr", "lr")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_THREE("3", "4", "5", "r9", "r10", "r11")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_THREE("6", "7", "8", "r9", "r10", "r11")
        DEPTHWISE_V7M_READY
        DEPTHWISE_V7M_WRITE2("r9", "r10")
        DEPTHWISE_V7M_WRITE1("r11")
        DEPTHWISE_V7M_AGAIN("2b")
        DEPTHWISE_V7M_LEAVE("8"));
}

/* One channel with stride 2, two outputs at a time. */
__attribute__((naked, noinline)) static void depthwise_v7m_stride2(
    const depthwise_v7m_plane *plane __attribute__((unused)), const int8_t *weight __attribute__((unused)),
    const int32_t *x __attribute__((unused)), int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_V7M_ENTER
        "2:\n"
        DEPTHWISE_V7M_TWO("0", "1", "2", "lr", "lr")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_TWO("3", "4", "5", "r9", "r10")
        DEPTHWISE_V7M_NEXT_LINE
        DEPTHWISE_V7M_TWO("6", "7", "8", "r9", "r10")
        DEPTHWISE_V7M_READY
        DEPTHWISE_V7M_WRITE2("r9", "r10")
        DEPTHWISE_V7M_AGAIN("2b")
        DEPTHWISE_V7M_LEAVE("8"));
}

/* Fills a plane's lines with `pixels` each from an input of one channel. */
__attribute__((naked, noinline)) static void depthwise_v7m_fill(const depthwise_v7m_lines *l __attribute__((unused)),
                                                                const int8_t *in __attribute__((unused)),
                                                                int32_t *x __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r0, r4-r11, lr}\n"
        "ldm r0, {r3-r5, r12}\n"
        "add lr, r12, r12, lsl #1\n"
        "cmp r3, #0\n"
        "ble 6f\n"
        "1:\n"
        "mov r11, r1\n"
        "mov r0, r2\n"
        "subs r10, r4, #4\n"
        "blt 3f\n"
        "2:\n"
        "ldrsb r6, [r11]\n"
        "ldrsb r7, [r11, r12]\n"
        "ldrsb r8, [r11, r12, lsl #1]\n"
        "ldrsb r9, [r11, lr]\n"
        "stmia r0!, {r6-r9}\n"
        "add r11, r11, r12, lsl #2\n"
        "subs r10, r10, #4\n"
        "bge 2b\n"
        "3:\n"
        "adds r10, r10, #4\n"
        "beq 5f\n"
        "4:\n"
        "ldrsb r7, [r11]\n"
        "add r11, r11, r12\n"
        "str r7, [r0], #4\n"
        "subs r10, r10, #1\n"
        "bne 4b\n"
        "5:\n"
        "ldr r6, [sp]\n"
        "add r2, r2, r5\n"
        "ldr r6, [r6, #16]\n"
        "add r1, r1, r6\n"
        "subs r3, r3, #1\n"
        "bne 1b\n"
        "6:\n"
        "add sp, sp, #4\n"
        "pop {r4-r11, pc}\n");
}
#else
static int8_t depthwise_v7m_output(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x) {
    int32_t acc = plane->bias;
    for (int32_t t = 0; t < 9; t++) {
        acc += weight[t] * x[t / 3 * (plane->line / 4) + t % 3];
    }
    return edgeq_v7m_saturate(acc >> plane->shift);
}

static void depthwise_v7m_channel(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x, int8_t *out,
                                  int32_t stride, int32_t tile) {
    for (int32_t y = 0; y < plane->rows; y++) {
        const int32_t *window = x;
        int32_t at = 0;
        while (at != plane->tiled) {
            for (int32_t k = 0; k < tile; k++) {
                out[at] = depthwise_v7m_output(plane, weight, window + k * stride);
                at += plane->out_column;
            }
            window += (2 * plane->line + plane->back) / 4;
        }
        while (at != plane->width) {
            out[at] = depthwise_v7m_output(plane, weight, window);
            at += plane->out_column;
            window += stride;
        }
        x += plane->line_step / 4;
        out += plane->out_row;
    }
}

static void depthwise_v7m_stride1(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x, int8_t *out) {
    depthwise_v7m_channel(plane, weight, x, out, 1, 4);
}

static void depthwise_v7m_stride1_three(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x, int8_t *out) {
    depthwise_v7m_channel(plane, weight, x, out, 1, 3);
}

static void depthwise_v7m_stride2(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x, int8_t *out) {
    depthwise_v7m_channel(plane, weight, x, out, 2, 2);
}

static void depthwise_v7m_fill(const depthwise_v7m_lines *l, const int8_t *in, int32_t *x) {
    for (int32_t y = 0; y < l->count; y++) {
        for (int32_t i = 0; i < l->pixels; i++) {
            x[i] = in[i * l->column];
        }
        x += l->line / 4;
        in += l->row;
    }
}
#endif

typedef void depthwise_v7m_function(const depthwise_v7m_plane *plane, const int8_t *weight, const int32_t *x, int8_t *out);

EDGEQ_KERNEL void edgeq_depthwise_conv2d_3x3_v7m(const edgeq_depthwise_conv2d_3x3_v7m_params *p, const int8_t *in,
                                                 int8_t *out, void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t tile = p->tile, room = p->line - w->pad_left;
    depthwise_v7m_function *channel = tile == 4 ? depthwise_v7m_stride1 : depthwise_v7m_stride2;
    if (tile == 3) {
        channel = depthwise_v7m_stride1_three;
    }
    int32_t *const x = (int32_t *)scratch;
    depthwise_v7m_plane plane;
    plane.out_column = p->out_column;
    plane.line = 4 * p->line;
    plane.back = 4 * tile * w->stride_w - 2 * plane.line;
    plane.tiled = w->out_w / tile * tile * p->out_column;
    plane.width = w->out_w * p->out_column;
    plane.line_step = plane.line * w->stride_h;
    plane.out_row = p->out_row;
    depthwise_v7m_lines fill;
    fill.pixels = w->in_w < room ? w->in_w : room;
    fill.line = plane.line;
    fill.column = p->in_column;
    fill.row = p->in_row;
    for (int32_t oy = 0; oy < w->out_h; oy += p->band) {
        plane.rows = w->out_h - oy < p->band ? w->out_h - oy : p->band;
        const int32_t top = oy * w->stride_h - w->pad_top, lines = (plane.rows - 1) * w->stride_h + 3, end = top + lines;
        const int32_t from = top > 0 ? top : 0;
        fill.count = (end < w->in_h ? end : w->in_h) - from;
        for (int32_t k = 0; k < lines * p->line; k++) { /* padding, which stays for all channels */
            x[k] = p->pad_value;
        }
        for (int32_t c = 0; c < p->channels; c++) {
            depthwise_v7m_fill(&fill, in + from * p->in_row + c, x + (from - top) * p->line + w->pad_left);
            plane.bias = p->bias[c];
            plane.shift = p->shift[c];
            channel(&plane, p->weight + 9 * c, x, out + oy * p->out_row + c);
        }
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->channels, p->lo, p->hi);
}

enum { DEPTHWISE_V7M_CHANNELS = 4 }; /* at a time, of any window */

/* Adds the products of n taps that are `step` bytes apart to the sums of four channels. Returns the weights after theirs. */
static inline const int8_t *depthwise_v7m_taps(const int8_t *x, int32_t step, int32_t n, const int8_t *weight, int32_t *sum) {
    int32_t sum0 = sum[0], sum1 = sum[1], sum2 = sum[2], sum3 = sum[3];
    for (; n > 0; n--) {
        sum0 += weight[0] * x[0];
        sum1 += weight[1] * x[1];
        sum2 += weight[2] * x[2];
        sum3 += weight[3] * x[3];
        weight += DEPTHWISE_V7M_CHANNELS;
        x += step;
    }
    sum[0] = sum0;
    sum[1] = sum1;
    sum[2] = sum2;
    sum[3] = sum3;
    return weight;
}

/* The columns of a window: its first tap's, and how many of its taps are left of the input and inside it. */
typedef struct {
    int32_t first, left, inside;
} depthwise_v7m_columns;

static depthwise_v7m_columns depthwise_v7m_columns_at(const edgeq_window *w, int32_t first) {
    depthwise_v7m_columns columns = {first, 0, 0};
    for (int32_t j = 0; j < w->kernel_w; j++) {
        const int32_t x = first + j * w->dilation_w;
        columns.left += x < 0;
        columns.inside += x >= 0 && x < w->in_w;
    }
    return columns;
}

/* Four channels from c of the window with rows from y. weight: theirs. */
static inline void depthwise_v7m_window(const edgeq_depthwise_conv2d_v7m_params *p, const int8_t *in, int32_t y,
                                        const depthwise_v7m_columns *columns, int32_t c, const int8_t *weight, int32_t *sum) {
    const edgeq_window *w = &p->window;
    const int32_t step = w->dilation_w * p->channels, start = columns->first * p->channels + columns->left * step + c;
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        if (iy < 0 || iy >= w->in_h) {
            weight = depthwise_v7m_taps(p->pad, 0, w->kernel_w, weight, sum);
        } else {
            weight = depthwise_v7m_taps(p->pad, 0, columns->left, weight, sum);
            weight = depthwise_v7m_taps(in + iy * w->in_w * p->channels + start, step, columns->inside, weight, sum);
            weight = depthwise_v7m_taps(p->pad, 0, w->kernel_w - columns->left - columns->inside, weight, sum);
        }
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_v7m(const edgeq_depthwise_conv2d_v7m_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t taps = w->kernel_h * w->kernel_w, last = p->channels - DEPTHWISE_V7M_CHANNELS;
    int8_t *to = out;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const depthwise_v7m_columns columns = depthwise_v7m_columns_at(w, ox * w->stride_w - w->pad_left);
            const int8_t *weight = p->weight;
            for (int32_t c0 = 0; c0 < p->channels; c0 += DEPTHWISE_V7M_CHANNELS) {
                const int32_t c = c0 < last ? c0 : last;
                int32_t sum[DEPTHWISE_V7M_CHANNELS] = {p->bias[c], p->bias[c + 1], p->bias[c + 2], p->bias[c + 3]};
                depthwise_v7m_window(p, in, oy * w->stride_h - w->pad_top, &columns, c, weight, sum);
                to[c] = edgeq_v7m_saturate(sum[0] >> p->shift[c]);
                to[c + 1] = edgeq_v7m_saturate(sum[1] >> p->shift[c + 1]);
                to[c + 2] = edgeq_v7m_saturate(sum[2] >> p->shift[c + 2]);
                to[c + 3] = edgeq_v7m_saturate(sum[3] >> p->shift[c + 3]);
                weight += DEPTHWISE_V7M_CHANNELS * taps;
            }
            to += p->channels;
        }
    }
    edgeq_v7m_clamp(out, w->out_h * w->out_w * p->channels, p->lo, p->hi);
}
