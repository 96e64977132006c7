#include "edgeq_depthwise_conv2d.h"
#include "edgeq_dsp.h"

/* Four channels of a window at a time, until four marked as the last: 20 instructions for 8 products. in: the first four
 * channels of the input, taps: the distance of each tap from there in bytes. w: the packed weights. pad: see below.
 * Writes the channels saturated to int8; returns the weights after those read. */
#if EDGEQ_DSP_ASM
__attribute__((naked, noinline)) static const int32_t *depthwise_any_dsp_channels(
    const int8_t *in __attribute__((unused)), const int32_t *taps __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int32_t pairs __attribute__((unused)), int8_t *out __attribute__((unused)), const int8_t *pad __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r0, r1, r3-r11, lr}\n" /* in, taps, pairs */
        "1:\n"
        "ldm r2!, {r4-r7}\n" /* biases */
        "ldm sp, {r0, r1, r3}\n"
        "2:\n"
        "ldrd r8, r9, [r1], #8\n"
        "ldr r8, [r0, r8]\n"
        "ldr r9, [r0, r9]\n"
        "ldrd r10, r11, [r2], #8\n"
        "pkhbt r12, r8, r9, lsl #16\n" /* channels 0 and 1 of both taps */
        "pkhtb r9, r9, r8, asr #16\n"  /* 2 and 3 */
        "sxtb16 r8, r12\n"
        "sxtb16 lr, r10\n"
        "smlad r4, r8, lr, r4\n"
        "sxtb16 r12, r12, ror #8\n"
        "sxtb16 r10, r10, ror #8\n"
        "smlad r5, r12, r10, r5\n"
        "sxtb16 r8, r9\n"
        "sxtb16 lr, r11\n"
        "smlad r6, r8, lr, r6\n"
        "sxtb16 r9, r9, ror #8\n"
        "sxtb16 r11, r11, ror #8\n"
        "smlad r7, r9, r11, r7\n"
        "subs r3, r3, #1\n"
        "bne 2b\n"
        "add r0, r0, #4\n"
        "str r0, [sp]\n"
        "ldr r3, [r2], #4\n" /* shifts in four bytes; the sign marks the last four */
        "ldr r1, [sp, #48]\n"
        "lsr r8, r3, #8\n"
        "lsr r9, r3, #16\n"
        "ubfx r10, r3, #24, #5\n"
        "asr r4, r4, r3\n"
        "asr r5, r5, r8\n"
        "asr r6, r6, r9\n"
        "asr r7, r7, r10\n"
        "ssat r4, #8, r4\n"
        "ssat r5, #8, r5\n"
        "ssat r6, #8, r6\n"
        "ssat r7, #8, r7\n"
        "strb r4, [r1], #1\n"
        "strb r5, [r1], #1\n"
        "strb r6, [r1], #1\n"
        "strb r7, [r1], #1\n"
        "str r1, [sp, #48]\n"
        "cmp r3, #0\n"
        "bpl 1b\n"
        "mov r0, r2\n"
        "add sp, sp, #12\n"
        "pop {r4-r11, pc}\n");
}

/* The distance from `in` to padding. */
static inline int32_t depthwise_any_dsp_outside(const int8_t *in, const int8_t *pad) {
    return (int32_t)((uint32_t)pad - (uint32_t)in);
}
#else
/* Elsewhere an address may be wider than int32: a mark instead. */
static inline int32_t depthwise_any_dsp_outside(const int8_t *in, const int8_t *pad) {
    (void)in;
    (void)pad;
    return INT32_MIN;
}

static const int32_t *depthwise_any_dsp_channels(const int8_t *in, const int32_t *taps, const int32_t *w, int32_t pairs,
                                                 int8_t *out, const int8_t *pad) {
    uint32_t shifts;
    do {
        int32_t acc[4] = {w[0], w[1], w[2], w[3]};
        w += 4;
        for (int32_t t = 0; t < 2 * pairs; t += 2) {
            const uint32_t word0 = edgeq_dsp_load4(taps[t] == INT32_MIN ? pad : in + taps[t]);
            const uint32_t word1 = edgeq_dsp_load4(taps[t + 1] == INT32_MIN ? pad : in + taps[t + 1]);
            const uint32_t low = edgeq_dsp_bottoms(word0, word1), high = edgeq_dsp_tops(word0, word1);
            const uint32_t w01 = (uint32_t)w[0], w23 = (uint32_t)w[1];
            acc[0] = edgeq_dsp_mac2(edgeq_dsp_even(low), edgeq_dsp_even(w01), acc[0]);
            acc[1] = edgeq_dsp_mac2(edgeq_dsp_odd(low), edgeq_dsp_odd(w01), acc[1]);
            acc[2] = edgeq_dsp_mac2(edgeq_dsp_even(high), edgeq_dsp_even(w23), acc[2]);
            acc[3] = edgeq_dsp_mac2(edgeq_dsp_odd(high), edgeq_dsp_odd(w23), acc[3]);
            w += 2;
        }
        shifts = (uint32_t)*w++;
        for (int32_t c = 0; c < 4; c++) {
            *out++ = edgeq_dsp_saturate(acc[c] >> (shifts >> 8 * c & 31));
        }
        in += 4;
    } while (shifts >> 31 == 0);
    return w;
}
#endif

EDGEQ_KERNEL void edgeq_depthwise_conv2d_any_dsp(const edgeq_depthwise_conv2d_any_dsp_params *p, const int8_t *in, int8_t *out,
                                                 void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels, last = channels - 4, pairs = (w->kernel_h * w->kernel_w + 1) / 2;
    int32_t *const taps = (int32_t *)scratch;
    int8_t *const pad = (int8_t *)(taps + 2 * pairs);
    const int32_t outside = depthwise_any_dsp_outside(in, pad);
    int8_t *to = out;
    for (int32_t c = 0; c < channels; c++) {
        pad[c] = p->pad_value;
    }
    taps[2 * pairs - 1] = outside; /* of an odd number of taps the last is paired with nothing: its weight is 0 */
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            int32_t *tap = taps;
            for (int32_t i = 0; i < w->kernel_h; i++) {
                const int32_t y = oy * w->stride_h - w->pad_top + i * w->dilation_h;
                for (int32_t j = 0; j < w->kernel_w; j++) {
                    const int32_t x = ox * w->stride_w - w->pad_left + j * w->dilation_w;
                    const int inside = y >= 0 && y < w->in_h && x >= 0 && x < w->in_w;
                    *tap++ = inside ? (y * w->in_w + x) * channels : outside;
                }
            }
            const int32_t *rest = depthwise_any_dsp_channels(in, taps, p->weight, pairs, to, pad);
            if (channels % 4 != 0) { /* the last four again, as a run of their own */
                depthwise_any_dsp_channels(in + last, taps, rest, pairs, to + last, pad + last);
            }
            to += channels;
        }
    }
    edgeq_dsp_clamp(out, w->out_h * w->out_w * channels, p->lo, p->hi);
}
