#include "edgeq_depthwise_conv2d.h"
#include "edgeq_dsp.h"

/* What computing a channel needs to know of its plane, in the order in which the assembly reads it. A plane holds lines
 * of int16, padding included; its line 0 is the first output row's first. */
typedef struct {
    int32_t shift, out_column, bias;
    int32_t pairs, line;        /* outputs of a row by twos; bytes between lines */
    int32_t line_step, out_row; /* bytes between output rows: in the plane, in the output */
    int32_t odd, rows;          /* outputs of a row beyond pairs; output rows */
} depthwise_dsp_plane;

#if EDGEQ_DSP_ASM
/* Saves what is called for; leaves shift, out_column and bias at sp, line and output at sp + 12, odd, rows and plane. */
#define DEPTHWISE_DSP_ENTER \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "ldr r12, [r0, #32]\n" \
    "push {r0, r12}\n" \
    "ldr r12, [r0, #28]\n" \
    "push {r2, r3, r12}\n" \
    "ldm r0, {r4-r6}\n" \
    "push {r4-r6}\n"

/* Loads a row of weights and makes words of the first and second, and of the second and third. */
#define DEPTHWISE_DSP_WEIGHTS(a, b, at) \
    "ldrsb " a ", [r1, #" at "]\n" \
    "ldrsb r3, [r1, #" at " + 1]\n" \
    "ldrsb " b ", [r1, #" at " + 2]\n" \
    "pkhbt " a ", " a ", r3, lsl #16\n" \
    "pkhbt " b ", r3, " b ", lsl #16\n"

/* Starts a row: r0 the plane, r1 the output, r2 pairs, r3 bytes between lines. */
#define DEPTHWISE_DSP_ROW \
    "1:\n" \
    "ldr r12, [sp, #24]\n" \
    "ldrd r0, r1, [sp, #12]\n" \
    "ldrd r2, r3, [r12, #12]\n" \
    "ldrd r10, r11, [r12, #20]\n" \
    "add r10, r10, r0\n" \
    "add r11, r11, r1\n" \
    "strd r10, r11, [sp, #12]\n" \
    "cmp r2, #0\n" \
    "beq 3f\n"

#define DEPTHWISE_DSP_WRITE_PAIR \
    "ldrd r12, lr, [sp]\n" \
    "asr r10, r10, r12\n" \
    "asr r11, r11, r12\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "strb r10, [r1]\n" \
    "strb r11, [r1, lr]\n" \
    "add r1, r1, lr, lsl #1\n" \
    "subs r2, r2, #1\n" \
    "bne 2b\n" \
    "3:\n" \
    "ldr r2, [sp, #20]\n" \
    "cmp r2, #0\n" \
    "beq 4f\n" \
    "ldr r10, [sp, #8]\n"

#define DEPTHWISE_DSP_WRITE_LAST \
    "ldr r12, [sp]\n" \
    "asr r10, r10, r12\n" \
    "ssat r10, #8, r10\n" \
    "strb r10, [r1]\n" \
    "4:\n" \
    "ldr r2, [sp, #28]\n" \
    "subs r2, r2, #1\n" \
    "str r2, [sp, #28]\n" \
    "bne 1b\n" \
    "add sp, sp, #32\n" \
    "pop {r4-r11, pc}\n"

/* One channel with stride 1, two outputs at a time. weight: its nine taps. */
__attribute__((naked, noinline)) static void depthwise_dsp_stride1(
    const depthwise_dsp_plane *plane __attribute__((unused)), const int8_t *weight __attribute__((unused)),
    const uint32_t *x __attribute__((unused)), int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_DSP_ENTER
        DEPTHWISE_DSP_WEIGHTS("r4", "r5", "0")
        DEPTHWISE_DSP_WEIGHTS("r6", "r7", "3")
        DEPTHWISE_DSP_WEIGHTS("r8", "r9", "6")
        DEPTHWISE_DSP_ROW
        "2:\n"
        "ldrd r12, lr, [r0], #4\n"
        "ldr r10, [sp, #8]\n"
        "mov r11, r10\n"
        "smlad r10, r12, r4, r10\n"
        "smlatb r11, r12, r4, r11\n"
        "smlabt r10, lr, r5, r10\n"
        "smlad r11, lr, r5, r11\n"
        "add r12, r0, r3\n"
        "ldrd r12, lr, [r12, #-4]\n"
        "smlad r10, r12, r6, r10\n"
        "smlatb r11, r12, r6, r11\n"
        "smlabt r10, lr, r7, r10\n"
        "smlad r11, lr, r7, r11\n"
        "add r12, r0, r3, lsl #1\n"
        "ldrd r12, lr, [r12, #-4]\n"
        "smlad r10, r12, r8, r10\n"
        "smlatb r11, r12, r8, r11\n"
        "smlabt r10, lr, r9, r10\n"
        "smlad r11, lr, r9, r11\n"
        DEPTHWISE_DSP_WRITE_PAIR
        "ldrd r12, lr, [r0]\n"
        "smlad r10, r12, r4, r10\n"
        "smlabt r10, lr, r5, r10\n"
        "add r12, r0, r3\n"
        "ldrd r12, lr, [r12]\n"
        "smlad r10, r12, r6, r10\n"
        "smlabt r10, lr, r7, r10\n"
        "add r12, r0, r3, lsl #1\n"
        "ldrd r12, lr, [r12]\n"
        "smlad r10, r12, r8, r10\n"
        "smlabt r10, lr, r9, r10\n"
        DEPTHWISE_DSP_WRITE_LAST);
}

/* One channel with stride 2, two outputs at a time. */
__attribute__((naked, noinline)) static void depthwise_dsp_stride2(
    const depthwise_dsp_plane *plane __attribute__((unused)), const int8_t *weight __attribute__((unused)),
    const uint32_t *x __attribute__((unused)), int8_t *out __attribute__((unused))) {
    __asm__(DEPTHWISE_DSP_ENTER
        DEPTHWISE_DSP_WEIGHTS("r4", "r7", "0")
        DEPTHWISE_DSP_WEIGHTS("r5", "r8", "3")
        DEPTHWISE_DSP_WEIGHTS("r6", "r9", "6")
        "pkhtb r7, r8, r7, asr #16\n" /* the third weights of rows 0 and 1 */
        "mov r8, r9\n"
        DEPTHWISE_DSP_ROW
        "2:\n"
        "ldm r0, {r9, r12, lr}\n"
        "ldr r10, [sp, #8]\n"
        "mov r11, r10\n"
        "smlad r10, r9, r4, r10\n"
        "smlad r11, r12, r4, r11\n"
        "smlabb r10, r12, r7, r10\n"
        "smlabb r11, lr, r7, r11\n"
        "add r9, r0, r3\n"
        "ldm r9, {r9, r12, lr}\n"
        "smlad r10, r9, r5, r10\n"
        "smlad r11, r12, r5, r11\n"
        "smlabt r10, r12, r7, r10\n"
        "smlabt r11, lr, r7, r11\n"
        "add r9, r0, r3, lsl #1\n"
        "ldm r9, {r9, r12, lr}\n"
        "smlad r10, r9, r6, r10\n"
        "smlad r11, r12, r6, r11\n"
        "smlabt r10, r12, r8, r10\n"
        "smlabt r11, lr, r8, r11\n"
        "add r0, r0, #8\n"
        DEPTHWISE_DSP_WRITE_PAIR
        "ldrd r12, lr, [r0]\n"
        "smlad r10, r12, r4, r10\n"
        "smlabb r10, lr, r7, r10\n"
        "add r12, r0, r3\n"
        "ldrd r12, lr, [r12]\n"
        "smlad r10, r12, r5, r10\n"
        "smlabt r10, lr, r7, r10\n"
        "add r12, r0, r3, lsl #1\n"
        "ldrd r12, lr, [r12]\n"
        "smlad r10, r12, r6, r10\n"
        "smlabt r10, lr, r8, r10\n"
        DEPTHWISE_DSP_WRITE_LAST);
}
#else
static void depthwise_dsp_channel(const depthwise_dsp_plane *plane, const int8_t *weight, const uint32_t *x, int8_t *out,
                                  int32_t stride) {
    const int32_t line = plane->line / 4;
    for (int32_t y = 0; y < plane->rows; y++) {
        for (int32_t i = 0; i < 2 * plane->pairs + plane->odd; i++) {
            int32_t acc = plane->bias;
            for (int32_t t = 0; t < 9; t++) {
                const int32_t column = i * stride + t % 3;
                const uint32_t word = x[t / 3 * line + column / 2];
                acc += weight[t] * (int16_t)(uint16_t)(column % 2 != 0 ? word >> 16 : word);
            }
            out[i * plane->out_column] = edgeq_dsp_saturate(acc >> plane->shift);
        }
        x += plane->line_step / 4;
        out += plane->out_row;
    }
}

static void depthwise_dsp_stride1(const depthwise_dsp_plane *plane, const int8_t *weight, const uint32_t *x, int8_t *out) {
    depthwise_dsp_channel(plane, weight, x, out, 1);
}

static void depthwise_dsp_stride2(const depthwise_dsp_plane *plane, const int8_t *weight, const uint32_t *x, int8_t *out) {
    depthwise_dsp_channel(plane, weight, x, out, 2);
}
#endif

/* Two int16 as a word. */
static inline uint32_t depthwise_dsp_word(int32_t first, int32_t second) {
    return (uint32_t)(uint16_t)first | (uint32_t)second << 16;
}

/* Two channels of two pixels. */
static inline uint32_t depthwise_dsp_load22(const int8_t *first, const int8_t *second) {
    uint16_t pixel0, pixel1;
    memcpy(&pixel0, first, 2);
    memcpy(&pixel1, second, 2);
    return pixel0 | (uint32_t)pixel1 << 16;
}

/* Which words of a line hold pixels of the input: one that begins with padding or none, pairs, one that ends so or none. */
typedef struct {
    int32_t left, pairs, right;
} depthwise_dsp_words;

/* One line of two channels into two planes. in: the two channels of its first pixel. */
static inline void depthwise_dsp_line(const depthwise_dsp_words *words, int32_t step, int32_t pad, const int8_t *in,
                                      uint32_t *a, uint32_t *b) {
    if (words->left != 0) {
        *a++ = depthwise_dsp_word(pad, in[0]);
        *b++ = depthwise_dsp_word(pad, in[1]);
        in += step;
    }
    int32_t n = words->pairs;
    for (; n >= 2; n -= 2) {
        const uint32_t word0 = depthwise_dsp_load22(in, in + step);
        in += 2 * step;
        const uint32_t word1 = depthwise_dsp_load22(in, in + step);
        in += 2 * step;
        a[0] = edgeq_dsp_even(word0);
        b[0] = edgeq_dsp_odd(word0);
        a[1] = edgeq_dsp_even(word1);
        b[1] = edgeq_dsp_odd(word1);
        a += 2;
        b += 2;
    }
    if (n > 0) {
        const uint32_t word = depthwise_dsp_load22(in, in + step);
        in += 2 * step;
        *a++ = edgeq_dsp_even(word);
        *b++ = edgeq_dsp_odd(word);
    }
    if (words->right != 0) {
        *a = depthwise_dsp_word(in[0], pad);
        *b = depthwise_dsp_word(in[1], pad);
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_3x3_dsp(const edgeq_depthwise_conv2d_dsp_params *p, const int8_t *in, int8_t *out,
                                                 void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t left = w->pad_left % 2, pixels = w->in_w - left;
    const depthwise_dsp_words words = {left, pixels / 2, pixels % 2};
    const int32_t plane_words = ((p->band - 1) * w->stride_h + 3) * p->line;
    uint32_t *const a = (uint32_t *)scratch, *const b = a + plane_words;
    depthwise_dsp_plane plane;
    plane.out_column = p->out_column;
    plane.out_row = p->out_row;
    plane.pairs = w->out_w / 2;
    plane.odd = w->out_w % 2;
    plane.line = 4 * p->line;
    plane.line_step = 4 * p->line * w->stride_h;
    for (int32_t oy = 0; oy < w->out_h; oy += p->band) {
        plane.rows = w->out_h - oy < p->band ? w->out_h - oy : p->band;
        const int32_t top = oy * w->stride_h - w->pad_top, end = top + (plane.rows - 1) * w->stride_h + 3;
        const int32_t from = top > 0 ? top : 0, to = end < w->in_h ? end : w->in_h;
        for (int32_t k = 0; k < 2 * plane_words; k++) { /* padding, which stays for all channels */
            a[k] = depthwise_dsp_word(p->pad_value, p->pad_value);
        }
        for (int32_t c0 = 0; c0 < p->channels; c0 += 2) {
            const int32_t c = c0 + 1 < p->channels ? c0 : c0 - 1; /* the last of an odd number with the one before */
            int32_t at = (from - top) * p->line + w->pad_left / 2;
            for (int32_t y = from; y < to; y++) {
                depthwise_dsp_line(&words, p->in_column, p->pad_value, in + y * p->in_row + c, a + at, b + at);
                at += p->line;
            }
            for (int32_t k = 0; k < 2; k++) {
                plane.bias = p->bias[c + k];
                plane.shift = p->shift[c + k];
                (w->stride_w == 1 ? depthwise_dsp_stride1 : depthwise_dsp_stride2)(
                    &plane, p->weight + 9 * (c + k), k == 0 ? a : b, out + oy * p->out_row + c + k);
            }
        }
    }
    edgeq_dsp_clamp(out, w->out_h * w->out_w * p->channels, p->lo, p->hi);
}
