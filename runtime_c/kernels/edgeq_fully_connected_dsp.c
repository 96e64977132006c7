#include "edgeq_dsp.h"
#include "edgeq_fully_connected.h"

/* Four outputs at a time, until a block that is marked as the last. w: the packed weights. Writes the outputs to out,
 * saturated to int8; returns the weights after those read. */
#if EDGEQ_DSP_ASM
/* Enters a loop of 16 steps so far inside that `steps` of them are run. bytes: of a step. */
#define FULLY_CONNECTED_DSP_ENTER(bytes) \
    ".syntax unified\n" \
    "push {r0, r2, r4-r11, lr}\n" /* x, out, the caller's */ \
    "add r5, r3, #15\n" \
    "lsr r5, r5, #4\n" \
    "rsb r6, r3, r5, lsl #4\n" \
    "mov r8, #" bytes "\n" \
    "adr r7, 2f\n" \
    "mla r6, r6, r8, r7\n" \
    "orr r6, r6, #1\n" \
    "push {r5, r6}\n" \
    "1:\n" \
    "ldmia r1!, {r9-r12}\n" /* biases */ \
    "ldrd r2, r3, [sp]\n" \
    "ldr r0, [sp, #8]\n" \
    "bx r3\n" \
    ".balign 4\n" \
    "2:\n" \
    ".rept 16\n"

/* Four taps by four outputs; r7, r8: the even and odd inputs. */
#define FULLY_CONNECTED_DSP_STEP \
    "ldmia.w r1!, {r3-r6}\n" \
    "sxtb16 lr, r3\n" \
    "sxtb16 r3, r3, ror #8\n" \
    "smlad r9, lr, r7, r9\n" \
    "sxtb16 lr, r4\n" \
    "sxtb16 r4, r4, ror #8\n" \
    "smlad r10, lr, r7, r10\n" \
    "sxtb16 lr, r5\n" \
    "sxtb16 r5, r5, ror #8\n" \
    "smlad r11, lr, r7, r11\n" \
    "sxtb16 lr, r6\n" \
    "sxtb16 r6, r6, ror #8\n" \
    "smlad r12, lr, r7, r12\n" \
    "smlad r9, r3, r8, r9\n" \
    "smlad r10, r4, r8, r10\n" \
    "smlad r11, r5, r8, r11\n" \
    "smlad r12, r6, r8, r12\n"

#define FULLY_CONNECTED_DSP_LEAVE \
    ".endr\n" \
    "subs r2, r2, #1\n" \
    "bne 2b\n" \
    "ldr r3, [r1], #4\n" /* shifts in four bytes; the sign marks the last block */ \
    "ldr r2, [sp, #12]\n" \
    "lsr r4, r3, #8\n" \
    "lsr r5, r3, #16\n" \
    "ubfx r6, r3, #24, #5\n" \
    "asr r9, r9, r3\n" \
    "asr r10, r10, r4\n" \
    "asr r11, r11, r5\n" \
    "asr r12, r12, r6\n" \
    "ssat r9, #8, r9\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "ssat r12, #8, r12\n" \
    "strb r9, [r2], #1\n" \
    "strb r10, [r2], #1\n" \
    "strb r11, [r2], #1\n" \
    "strb r12, [r2], #1\n" \
    "str r2, [sp, #12]\n" \
    "cmp r3, #0\n" \
    "bpl 1b\n" \
    "mov r0, r1\n" \
    "add sp, sp, #16\n" \
    "pop {r4-r11, pc}\n"

/* x: for each step of four inputs the even, then the odd ones as int16. */
__attribute__((naked, noinline)) static const int32_t *fully_connected_dsp_expanded(
    const uint32_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm__(FULLY_CONNECTED_DSP_ENTER("72")
        "ldrd r7, r8, [r0], #8\n"
        FULLY_CONNECTED_DSP_STEP
        FULLY_CONNECTED_DSP_LEAVE);
}

/* x: four inputs a step. */
__attribute__((naked, noinline)) static const int32_t *fully_connected_dsp_direct(
    const int8_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm__(FULLY_CONNECTED_DSP_ENTER("80")
        "ldr.w r8, [r0], #4\n"
        "sxtb16 r7, r8\n"
        "sxtb16 r8, r8, ror #8\n"
        FULLY_CONNECTED_DSP_STEP
        FULLY_CONNECTED_DSP_LEAVE);
}
#else
static const int32_t *fully_connected_dsp_direct(const int8_t *x, const int32_t *w, int8_t *out, int32_t steps) {
    uint32_t shifts;
    do {
        int32_t acc[4];
        for (int32_t i = 0; i < 4; i++) {
            acc[i] = *w++;
        }
        for (int32_t s = 0; s < steps; s++) {
            const uint32_t word = edgeq_dsp_load4(x + 4 * s);
            for (int32_t i = 0; i < 4; i++) {
                const uint32_t weights = (uint32_t)*w++;
                acc[i] = edgeq_dsp_mac2(edgeq_dsp_even(weights), edgeq_dsp_even(word), acc[i]);
                acc[i] = edgeq_dsp_mac2(edgeq_dsp_odd(weights), edgeq_dsp_odd(word), acc[i]);
            }
        }
        shifts = (uint32_t)*w++;
        for (int32_t i = 0; i < 4; i++) {
            *out++ = edgeq_dsp_saturate(acc[i] >> (shifts >> 8 * i & 31));
        }
    } while (shifts >> 31 == 0);
    return w;
}

static const int32_t *fully_connected_dsp_expanded(const uint32_t *x, const int32_t *w, int8_t *out, int32_t steps) {
    uint32_t shifts;
    do {
        int32_t acc[4];
        for (int32_t i = 0; i < 4; i++) {
            acc[i] = *w++;
        }
        for (int32_t s = 0; s < steps; s++) {
            for (int32_t i = 0; i < 4; i++) {
                const uint32_t weights = (uint32_t)*w++;
                acc[i] = edgeq_dsp_mac2(edgeq_dsp_even(weights), x[2 * s], acc[i]);
                acc[i] = edgeq_dsp_mac2(edgeq_dsp_odd(weights), x[2 * s + 1], acc[i]);
            }
        }
        shifts = (uint32_t)*w++;
        for (int32_t i = 0; i < 4; i++) {
            *out++ = edgeq_dsp_saturate(acc[i] >> (shifts >> 8 * i & 31));
        }
    } while (shifts >> 31 == 0);
    return w;
}
#endif

EDGEQ_KERNEL void edgeq_fully_connected_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out,
                                            void *scratch) {
    uint32_t *x = (uint32_t *)scratch;
    const int32_t whole = p->in_n / 4, rest = p->in_n % 4, steps = whole + (rest > 0);
    uint32_t *to = x;
    for (int32_t s = whole / 2; s > 0; s--) {
        const uint32_t word0 = edgeq_dsp_load4(in), word1 = edgeq_dsp_load4(in + 4);
        to[0] = edgeq_dsp_even(word0);
        to[1] = edgeq_dsp_odd(word0);
        to[2] = edgeq_dsp_even(word1);
        to[3] = edgeq_dsp_odd(word1);
        in += 8;
        to += 4;
    }
    if (whole % 2 != 0) {
        const uint32_t word = edgeq_dsp_load4(in);
        *to++ = edgeq_dsp_even(word);
        *to++ = edgeq_dsp_odd(word);
        in += 4;
    }
    if (rest > 0) {
        uint32_t word = 0;
        memcpy(&word, in, (size_t)rest);
        to[0] = edgeq_dsp_even(word);
        to[1] = edgeq_dsp_odd(word);
    }
    const int32_t *w = fully_connected_dsp_expanded(x, p->weight, out, steps);
    if (p->out_n % 4 != 0) { /* the last four again, as a run of their own */
        fully_connected_dsp_expanded(x, w, out + p->out_n - 4, steps);
    }
    edgeq_dsp_clamp(out, p->out_n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_fully_connected_long_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out) {
    const int32_t *w = fully_connected_dsp_direct(in, p->weight, out, p->in_n / 4);
    if (p->out_n % 4 != 0) {
        fully_connected_dsp_direct(in, w, out + p->out_n - 4, p->in_n / 4);
    }
    edgeq_dsp_clamp(out, p->out_n, p->lo, p->hi);
}
