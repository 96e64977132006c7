/* What the kernels for Armv7-M without DSP share. Each block of assembly has a twin in C of the same meaning, which other
 * processors compile. */
#ifndef EDGEQ_V7M_H
#define EDGEQ_V7M_H

#include "edgeq.h"

#if defined(__thumb2__) && defined(__ARM_FEATURE_SAT)
#define EDGEQ_V7M_ASM 1
#else
#define EDGEQ_V7M_ASM 0
#endif

#if EDGEQ_V7M_ASM
static inline int8_t edgeq_v7m_saturate(int32_t v) {
    int32_t out;
    __asm__("ssat %0, #8, %1" : "=r"(out) : "r"(v));
    return (int8_t)out;
}
#else
static inline int8_t edgeq_v7m_saturate(int32_t v) {
    return edgeq_clamp(v, -128, 127);
}
#endif

/* For bounds tighter than int8, which saturating blocks do not know; without branches on data. */
static inline void edgeq_v7m_clamp(int8_t *out, int32_t n, int32_t lo, int32_t hi) {
    if (lo > -128 || hi < 127) {
        for (int32_t i = 0; i < n; i++) {
            const int32_t above = hi - out[i], v = out[i] + (above & above >> 31), below = v - lo;
            out[i] = (int8_t)(v - (below & below >> 31));
        }
    }
}

#endif
