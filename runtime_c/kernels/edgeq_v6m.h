/* What the kernels for Armv6-M share. Each block of assembly has a twin in C of the same meaning, which other processors
 * compile. The assembly is Thumb-1 and runs on every Cortex-M. */
#ifndef EDGEQ_V6M_H
#define EDGEQ_V6M_H

#include "edgeq.h"

#if defined(__thumb__) && defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define EDGEQ_V6M_ASM 1
#else
#define EDGEQ_V6M_ASM 0
#endif

/* clamp(v + hi, lo, hi), with span = hi - lo: Armv6-M has no SSAT; this takes six instructions and no branch. */
static inline int8_t edgeq_v6m_clamp(int32_t v, int32_t span, int32_t lo) {
    v = (v & (v >> 31)) + span;
    return (int8_t)((v & ~(v >> 31)) + lo);
}

/* The same in assembly, with low registers: v is clamped, free is overwritten. */
#define EDGEQ_V6M_CLAMP(v, free, span, lo) \
    "asrs " free ", " v ", #31\n" \
    "ands " v ", " free "\n" \
    "adds " v ", " v ", " span "\n" \
    "asrs " free ", " v ", #31\n" \
    "bics " v ", " free "\n" \
    "adds " v ", " v ", " lo "\n"

#endif
