#include "edgeq_fully_connected.h"
#include "edgeq_v7m.h"

enum { FULLY_CONNECTED_V7M_BLOCK = 8 };

/* Eight outputs. w: their biases, the weights of each input, their shifts. Returns the end of what it read. */
#if EDGEQ_V7M_ASM
#define FULLY_CONNECTED_V7M_TWO(acc0, acc1) \
    "ldrsb r12, [r1], #1\n" \
    "ldrsb lr, [r1], #1\n" \
    "mla " acc0 ", r12, r2, " acc0 "\n" \
    "mla " acc1 ", lr, r2, " acc1 "\n"

/* One input by eight outputs. */
#define FULLY_CONNECTED_V7M_INPUT \
    "ldrsb r2, [r0], #1\n" \
    FULLY_CONNECTED_V7M_TWO("r4", "r5") \
    FULLY_CONNECTED_V7M_TWO("r6", "r7") \
    FULLY_CONNECTED_V7M_TWO("r8", "r9") \
    FULLY_CONNECTED_V7M_TWO("r10", "r11")

#define FULLY_CONNECTED_V7M_WRITE(acc) \
    "ldrb r2, [r1], #1\n" \
    "asr " acc ", " acc ", r2\n" \
    "ssat " acc ", #8, " acc "\n" \
    "strb " acc ", [r0], #1\n"

__attribute__((naked, noinline)) static const int32_t *fully_connected_v7m_block(
    const int8_t *x __attribute__((unused)), const int32_t *w __attribute__((unused)),
    int8_t *out __attribute__((unused)), int32_t n __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r2, r4-r11, lr}\n"
        "ldmia r1!, {r4-r11}\n"
        "b 2f\n"
        "1:\n"
        ".rept 4\n"
        FULLY_CONNECTED_V7M_INPUT
        ".endr\n"
        "2:\n"
        "subs r3, r3, #4\n"
        "bge 1b\n"
        "adds r3, r3, #4\n"
        "beq 4f\n"
        "3:\n"
        FULLY_CONNECTED_V7M_INPUT
        "subs r3, r3, #1\n"
        "bne 3b\n"
        "4:\n"
        "pop {r0}\n"
        FULLY_CONNECTED_V7M_WRITE("r4")
        FULLY_CONNECTED_V7M_WRITE("r5")
        FULLY_CONNECTED_V7M_WRITE("r6")
        FULLY_CONNECTED_V7M_WRITE("r7")
        FULLY_CONNECTED_V7M_WRITE("r8")
        FULLY_CONNECTED_V7M_WRITE("r9")
        FULLY_CONNECTED_V7M_WRITE("r10")
        FULLY_CONNECTED_V7M_WRITE("r11")
        "mov r0, r1\n"
        "pop {r4-r11, pc}\n");
}
#else
static const int32_t *fully_connected_v7m_block(const int8_t *x, const int32_t *w, int8_t *out, int32_t n) {
    const int8_t *weight = (const int8_t *)(w + FULLY_CONNECTED_V7M_BLOCK);
    const uint8_t *shift = (const uint8_t *)weight + FULLY_CONNECTED_V7M_BLOCK * n;
    for (int32_t o = 0; o < FULLY_CONNECTED_V7M_BLOCK; o++) {
        int32_t acc = w[o];
        for (int32_t k = 0; k < n; k++) {
            acc += weight[FULLY_CONNECTED_V7M_BLOCK * k + o] * x[k];
        }
        out[o] = edgeq_v7m_saturate(acc >> shift[o]);
    }
    return w + FULLY_CONNECTED_V7M_BLOCK + (n + 1) * (FULLY_CONNECTED_V7M_BLOCK / 4);
}
#endif

EDGEQ_KERNEL void edgeq_fully_connected_v7m(const edgeq_fully_connected_v7m_params *p, const int8_t *in, int8_t *out) {
    const int32_t *w = p->weight;
    for (int32_t o = 0; o < p->out_n; o += FULLY_CONNECTED_V7M_BLOCK) {
        const int32_t last = p->out_n - FULLY_CONNECTED_V7M_BLOCK; /* of a number that is no multiple the last eight */
        w = fully_connected_v7m_block(in, w, out + (o < last ? o : last), p->in_n);
    }
    edgeq_v7m_clamp(out, p->out_n, p->lo, p->hi);
}
