#include "edgeq_add.h"
#include "edgeq_v6m.h"

/* n elements of either operand and the output, given by their ends; p->bias less hi << shift. */
#if EDGEQ_V6M_ASM
__attribute__((naked, noinline)) static void add_v6m_elements(
    const edgeq_add_v6m_params *p __attribute__((unused)), const int8_t *end1 __attribute__((unused)),
    const int8_t *end2 __attribute__((unused)), int8_t *end __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r4-r7}\n"
        "ldmia r0!, {r4-r7}\n" /* n, m1, m2, bias */
        "mov r8, r6\n"
        "mov r9, r7\n"
        "mov r7, r5\n"
        "ldmia r0!, {r5, r6}\n" /* shift, span */
        "mov r10, r5\n"
        "mov r11, r6\n"
        "ldr r5, [r0]\n"
        "mov r12, r5\n"
        "negs r0, r4\n" /* counts up to 0; the loop has 4 steps of 34 bytes, of which the first time some are left out */
        "movs r4, #3\n"
        "ands r4, r0\n"
        "movs r5, #34\n"
        "muls r4, r5\n"
        "add pc, r4\n"
        "nop\n"
        "1:\n"
        ".rept 4\n"
        "ldrsb r4, [r1, r0]\n"
        "ldrsb r5, [r2, r0]\n"
        "mov r6, r8\n"
        "muls r4, r7\n"
        "muls r5, r6\n"
        "mov r6, r10\n"
        "adds r4, r4, r5\n"
        "add r4, r9\n"
        "asrs r4, r6\n"
        "asrs r5, r4, #31\n"
        "ands r4, r5\n"
        "add r4, r11\n"
        "asrs r5, r4, #31\n"
        "bics r4, r5\n"
        "add r4, r12\n"
        "strb r4, [r3, r0]\n"
        "adds r0, #1\n"
        ".endr\n"
        "bne 1b\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r4-r7, pc}\n");
}
#else
static void add_v6m_elements(const edgeq_add_v6m_params *p, const int8_t *end1, const int8_t *end2, int8_t *end) {
    for (int32_t i = -p->n; i != 0; i++) {
        const int32_t acc = p->m1 * end1[i] + p->m2 * end2[i] + p->bias;
        end[i] = edgeq_v6m_clamp(acc >> p->shift, p->span, p->lo);
    }
}
#endif

EDGEQ_KERNEL void edgeq_add_v6m(const edgeq_add_v6m_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    add_v6m_elements(p, in1 + p->n, in2 + p->n, out + p->n);
}
