#include "edgeq_fully_connected.h"
#include "edgeq_v6m.h"

enum { FULLY_CONNECTED_V6M_BLOCK = 4 }; /* outputs at a time */

/* sum[i] += the products of n inputs, given by their end, with the weights of output i; row: the first one's weights. */
#if EDGEQ_V6M_ASM
#define FULLY_CONNECTED_V6M_OUTPUT(weights, sum) \
    "ldrsb r2, [" weights ", r7]\n" \
    "muls r2, r1\n" \
    "add " sum ", r2\n"

__attribute__((naked, noinline)) static void fully_connected_v6m_block(
    const int8_t *end __attribute__((unused)), const int8_t *row __attribute__((unused)), int32_t n __attribute__((unused)),
    int32_t sum[FULLY_CONNECTED_V6M_BLOCK] __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r3-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r4-r7}\n"
        "ldmia r3!, {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "adds r3, r1, r2\n" /* ends of the rows */
        "adds r4, r3, r2\n"
        "adds r5, r4, r2\n"
        "adds r6, r5, r2\n"
        "negs r7, r2\n" /* counts up to 0; the loop has 8 steps of 28 bytes, of which the first time some are left out */
        "movs r2, #7\n"
        "ands r2, r7\n"
        "movs r1, #28\n"
        "muls r2, r1\n"
        "add pc, r2\n"
        "nop\n"
        "1:\n"
        ".rept 8\n"
        "ldrsb r1, [r0, r7]\n"
        FULLY_CONNECTED_V6M_OUTPUT("r3", "r8")
        FULLY_CONNECTED_V6M_OUTPUT("r4", "r9")
        FULLY_CONNECTED_V6M_OUTPUT("r5", "r10")
        FULLY_CONNECTED_V6M_OUTPUT("r6", "r11")
        "adds r7, #1\n"
        ".endr\n"
        "bne 1b\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "ldr r3, [sp, #16]\n"
        "stmia r3!, {r4-r7}\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r3-r7, pc}\n");
}
#else
static void fully_connected_v6m_block(const int8_t *end, const int8_t *row, int32_t n,
                                      int32_t sum[FULLY_CONNECTED_V6M_BLOCK]) {
    for (int32_t i = 0; i < FULLY_CONNECTED_V6M_BLOCK; i++) {
        row += n;
        for (int32_t k = -n; k != 0; k++) {
            sum[i] += row[k] * end[k];
        }
    }
}
#endif

EDGEQ_KERNEL void edgeq_fully_connected_v6m(const edgeq_fully_connected_params *p, const int8_t *in, int8_t *out) {
    const int32_t last = p->out_n - FULLY_CONNECTED_V6M_BLOCK, span = p->hi - p->lo;
    int32_t o = 0;
    do {
        const int32_t first = edgeq_v6m_min(o, last); /* the last four, some of them perhaps again */
        int32_t sum[FULLY_CONNECTED_V6M_BLOCK];
        for (int32_t i = 0; i < FULLY_CONNECTED_V6M_BLOCK; i++) {
            sum[i] = p->bias[first + i];
        }
        fully_connected_v6m_block(in + p->in_n, p->weight + first * p->in_n, p->in_n, sum);
        for (int32_t i = 0; i < FULLY_CONNECTED_V6M_BLOCK; i++) {
            out[first + i] = edgeq_v6m_clamp(sum[i] >> p->shift[first + i], span, p->lo);
        }
        o = first + FULLY_CONNECTED_V6M_BLOCK;
    } while (o != p->out_n);
}
