#include "edgeq_dsp.h"
#include "edgeq_fully_connected.h"

/* Four outputs at a time, until a block that is marked as the last. w: the packed weights, two outputs in a word. Writes the
 * outputs to out, saturated to int8; returns the weights after those read. */
#if EDGEQ_DSP_ASM
/* r9, r11: sums of outputs 0 and 2; r10, r12: 256 times those of outputs 1 and 3 more. Enters a loop of 16 steps so far
 * inside that `steps` of them are run. bytes: of a step. */
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
    "push {r5-r8}\n" /* rounds, entry; room for two sums */ \
    "1:\n" \
    "ldm r1!, {r9-r12}\n"

#define FULLY_CONNECTED_DSP_LOOP \
    "ldrd r2, r3, [sp]\n" \
    "ldr r0, [sp, #16]\n" \
    "bx r3\n" \
    ".balign 4\n" \
    "2:\n" \
    ".rept 16\n"

/* Four taps by four outputs; r7, r8: the even and odd inputs. */
#define FULLY_CONNECTED_DSP_STEP \
    "ldmia.w r1!, {r3-r6}\n" \
    "sxtb16 lr, r3\n" \
    "smlad r10, r3, r7, r10\n" \
    "smlad r9, lr, r7, r9\n" \
    "sxtb16 lr, r5\n" \
    "smlad r12, r5, r7, r12\n" \
    "smlad r11, lr, r7, r11\n" \
    "sxtb16 lr, r4\n" \
    "smlad r10, r4, r8, r10\n" \
    "smlad r9, lr, r8, r9\n" \
    "sxtb16 lr, r6\n" \
    "smlad r12, r6, r8, r12\n" \
    "smlad r11, lr, r8, r11\n"

/* r10, r12: 256 times the sums of outputs 1 and 3. */
#define FULLY_CONNECTED_DSP_SECONDS \
    "sub r10, r10, r9\n" \
    "sub r12, r12, r11\n"

/* r10, r12: these sums, added to r3 and r4. */
#define FULLY_CONNECTED_DSP_ADD_SECONDS \
    FULLY_CONNECTED_DSP_SECONDS \
    "add r10, r3, r10, asr #8\n" \
    "add r12, r4, r12, asr #8\n"

/* r6: shifts in four bytes; the sign marks the last block. */
#define FULLY_CONNECTED_DSP_LEAVE \
    "ldr r2, [sp, #20]\n" \
    "lsr r3, r6, #8\n" \
    "lsr r4, r6, #16\n" \
    "ubfx r5, r6, #24, #5\n" \
    "asr r9, r9, r6\n" \
    "asr r10, r10, r3\n" \
    "asr r11, r11, r4\n" \
    "asr r12, r12, r5\n" \
    "ssat r9, #8, r9\n" \
    "ssat r10, #8, r10\n" \
    "ssat r11, #8, r11\n" \
    "ssat r12, #8, r12\n" \
    "strb r9, [r2], #1\n" \
    "strb r10, [r2], #1\n" \
    "strb r11, [r2], #1\n" \
    "strb r12, [r2], #1\n" \
    "str r2, [sp, #20]\n" \
    "cmp r6, #0\n" \
    "bpl 1b\n" \
    "mov r0, r1\n" \
    "add sp, sp, #24\n" \
    "pop {r4-r11, pc}\n"

/* x: for each step of four inputs the even, then the odd ones as int16. */
__attribute__((naked, noinline)) static const int32_t *fully_connected_dsp_expanded(
    const uint32_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm__(FULLY_CONNECTED_DSP_ENTER("56")
        FULLY_CONNECTED_DSP_LOOP
        "ldrd r7, r8, [r0], #8\n"
        FULLY_CONNECTED_DSP_STEP
        ".endr\n"
        "subs r2, r2, #1\n"
        "bne 2b\n"
        "ldr r6, [r1], #4\n"
        FULLY_CONNECTED_DSP_SECONDS
        FULLY_CONNECTED_DSP_LEAVE);
}

/* x: four inputs a step. Biases of outputs 1 and 3 are added to their sums, every eight rounds, before these leave 24 bits. */
__attribute__((naked, noinline)) static const int32_t *fully_connected_dsp_direct(
    const int8_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm__(FULLY_CONNECTED_DSP_ENTER("64")
        "strd r10, r12, [sp, #8]\n"
        "mov r10, r9\n"
        "mov r12, r11\n"
        FULLY_CONNECTED_DSP_LOOP
        "ldr.w r8, [r0], #4\n"
        "sxtb16 r7, r8\n"
        "sxtb16 r8, r8, ror #8\n"
        FULLY_CONNECTED_DSP_STEP
        ".endr\n"
        "subs r2, r2, #1\n"
        "tst r2, #7\n"
        "bne 2b\n"
        "ldrd r3, r4, [sp, #8]\n"
        FULLY_CONNECTED_DSP_ADD_SECONDS
        "cmp r2, #0\n"
        "beq 3f\n"
        "strd r10, r12, [sp, #8]\n"
        "mov r10, r9\n"
        "mov r12, r11\n"
        "b 2b\n"
        "3:\n"
        "ldr r6, [r1], #4\n"
        FULLY_CONNECTED_DSP_LEAVE);
}
#else
/* x: for each step four inputs, as they are where direct, otherwise as int16, the even ones first. */
static const int32_t *fully_connected_dsp_blocks(const int8_t *x, int direct, const int32_t *w, int8_t *out, int32_t steps) {
    uint32_t shifts;
    do {
        int32_t first[2] = {w[0], w[2]}, second[2] = {w[1], w[3]};
        int32_t both[2] = {direct ? w[0] : w[1], direct ? w[2] : w[3]};
        const int8_t *from = x;
        w += 4;
        for (int32_t left = steps; left > 0; left--) {
            const uint32_t word = edgeq_dsp_load4(from), more = direct ? word >> 8 : edgeq_dsp_load4(from + 4);
            const uint32_t even = direct ? edgeq_dsp_even(word) : word, odd = direct ? edgeq_dsp_even(more) : more;
            for (int32_t i = 0; i < 2; i++) {
                const uint32_t weights = (uint32_t)w[2 * i], others = (uint32_t)w[2 * i + 1];
                both[i] = edgeq_dsp_mac2(others, odd, edgeq_dsp_mac2(weights, even, both[i]));
                first[i] = edgeq_dsp_mac2(edgeq_dsp_even(others), odd, edgeq_dsp_mac2(edgeq_dsp_even(weights), even, first[i]));
                if (direct) {
                    second[i] += edgeq_dsp_less(both[i], first[i]) >> 8;
                    both[i] = first[i];
                }
            }
            w += 4;
            from += direct ? 4 : 8;
        }
        shifts = (uint32_t)*w++;
        for (int32_t i = 0; i < 2; i++) {
            second[i] = direct ? second[i] : edgeq_dsp_less(both[i], first[i]);
            *out++ = edgeq_dsp_saturate(first[i] >> (shifts >> 16 * i & 31));
            *out++ = edgeq_dsp_saturate(second[i] >> (shifts >> (16 * i + 8) & 31));
        }
    } while (shifts >> 31 == 0);
    return w;
}

static const int32_t *fully_connected_dsp_direct(const int8_t *x, const int32_t *w, int8_t *out, int32_t steps) {
    return fully_connected_dsp_blocks(x, 1, w, out, steps);
}

static const int32_t *fully_connected_dsp_expanded(const uint32_t *x, const int32_t *w, int8_t *out, int32_t steps) {
    return fully_connected_dsp_blocks((const int8_t *)x, 0, w, out, steps);
}
#endif

/* The steps of n inputs. */
static void fully_connected_dsp_expand(const int8_t *in, int32_t n, uint32_t *x) {
    const int32_t whole = n / 4, rest = n % 4;
    for (int32_t s = whole / 2; s > 0; s--) {
        const uint32_t word0 = edgeq_dsp_load4(in), word1 = edgeq_dsp_load4(in + 4);
        x[0] = edgeq_dsp_even(word0);
        x[1] = edgeq_dsp_odd(word0);
        x[2] = edgeq_dsp_even(word1);
        x[3] = edgeq_dsp_odd(word1);
        in += 8;
        x += 4;
    }
    if (whole % 2 != 0) {
        const uint32_t word = edgeq_dsp_load4(in);
        *x++ = edgeq_dsp_even(word);
        *x++ = edgeq_dsp_odd(word);
        in += 4;
    }
    if (rest > 0) {
        uint32_t word = 0;
        memcpy(&word, in, (size_t)rest);
        x[0] = edgeq_dsp_even(word);
        x[1] = edgeq_dsp_odd(word);
    }
}

EDGEQ_KERNEL void edgeq_fully_connected_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out,
                                            void *scratch) {
    uint32_t *const x = (uint32_t *)scratch;
    const int32_t steps = (p->in_n + 3) / 4;
    fully_connected_dsp_expand(in, p->in_n, x);
    const int32_t *w = fully_connected_dsp_expanded(x, p->weight, out, steps);
    if (p->out_n % 4 != 0) { /* the last four again, as a run of their own */
        fully_connected_dsp_expanded(x, w, out + p->out_n - 4, steps);
    }
    edgeq_dsp_clamp(out, p->out_n, p->lo, p->hi);
}

/* The outputs from `first` on, directly, and the clamp of all. */
static void fully_connected_dsp_rest(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out,
                                     const int32_t *w, int32_t first) {
    w = fully_connected_dsp_direct(in, w, out + first, p->in_n / 4);
    if (p->out_n % 4 != 0) {
        fully_connected_dsp_direct(in, w, out + p->out_n - 4, p->in_n / 4);
    }
    edgeq_dsp_clamp(out, p->out_n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_fully_connected_long_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out) {
    fully_connected_dsp_rest(p, in, out, p->weight, 0);
}

EDGEQ_KERNEL void edgeq_fully_connected_early_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out) {
    uint32_t *const x = (uint32_t *)(void *)(out + p->early_n);
    fully_connected_dsp_expand(in, p->in_n, x);
    const int32_t *w = fully_connected_dsp_expanded(x, p->weight, out, p->in_n / 4);
    fully_connected_dsp_rest(p, in, out, w, p->early_n);
}
