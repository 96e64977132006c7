/* Helium: the weighted sum of two rows, inside add and mul. */
#ifndef EDGEQ_BINARY_MVE_H
#define EDGEQ_BINARY_MVE_H

#include "edgeq_mve.h"

/* How a weighted sum becomes an output: (m1 * x1 + m2 * x2 + bias) >> shift, saturated to 8 bits. */
typedef struct {
    int32_t m1, m2, bias, shift;
} edgeq_mve_weights;

#if defined(__ARM_FEATURE_MVE)

#define EDGEQ_MVE_NARROW_16 "vqmovnb.s16 q0, q0\n vstrb.16 q0, [%[out]], #8\n"
#define EDGEQ_MVE_NARROW_32 "vqmovnb.s32 q0, q0\n vqmovnb.s16 q0, q0\n vstrb.32 q0, [%[out]], #4\n"

/* out[i] = the weighted sum of x1[i] and x2[i], i < n, in lanes of `bits`. n > 0. */
#define EDGEQ_MVE_SUM(bits)                                                                                       \
    static inline void edgeq_mve_sum_##bits(const edgeq_mve_weights *w, const int8_t *x1, const int8_t *x2,       \
                                            int8_t *out, int32_t n) {                                             \
        register const int8_t *a __asm("r0") = x1;                                                                \
        register const int8_t *b __asm("r1") = x2;                                                                \
        register int8_t *to __asm("r3") = out;                                                                    \
        register int32_t m1 __asm("r4") = w->m1;                                                                  \
        register int32_t m2 __asm("r5") = w->m2;                                                                  \
        register int32_t bias __asm("r6") = w->bias;                                                              \
        register int32_t shift __asm("r8") = -w->shift;                                                           \
        register int32_t left __asm("r12") = n;                                                                   \
        __asm volatile("dlstp." #bits " lr, %[left]\n"                                                            \
                       "1:\n vldrb.s" #bits " q0, [%[a]], #128/" #bits "\n"                                       \
                       "vldrb.s" #bits " q1, [%[b]], #128/" #bits "\n"                                            \
                       "vmul.i" #bits " q0, q0, %[m1]\n vmla.s" #bits " q0, q1, %[m2]\n"                          \
                       "vadd.i" #bits " q0, q0, %[bias]\n vshl.s" #bits " q0, %[shift]\n" EDGEQ_MVE_NARROW_##bits \
                       "letp lr, 1b\n"                                                                            \
                       : [a] "+r"(a), [b] "+r"(b), [out] "+r"(to)                                                 \
                       : [m1] "r"(m1), [m2] "r"(m2), [bias] "r"(bias), [shift] "r"(shift), [left] "r"(left)       \
                       : "lr", "q0", "q1", "memory");                                                             \
    }

EDGEQ_MVE_SUM(16)
EDGEQ_MVE_SUM(32)

#else

static inline void edgeq_mve_sum_16(const edgeq_mve_weights *w, const int8_t *x1, const int8_t *x2, int8_t *out,
                                    int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        const int16_t acc = (int16_t)((int16_t)w->m1 * x1[i] + (int16_t)w->m2 * x2[i] + (int16_t)w->bias);
        out[i] = edgeq_requantize(acc, (unsigned)w->shift, -128, 127);
    }
}

static inline void edgeq_mve_sum_32(const edgeq_mve_weights *w, const int8_t *x1, const int8_t *x2, int8_t *out,
                                    int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = edgeq_requantize(w->m1 * x1[i] + w->m2 * x2[i] + w->bias, (unsigned)w->shift, -128, 127);
    }
}

#endif

#endif
