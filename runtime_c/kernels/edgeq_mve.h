/* Helium: moving and clamping bytes.
 *
 * The loops in assembler have their twins in C below them, which other machines compile.
 */
#ifndef EDGEQ_MVE_H
#define EDGEQ_MVE_H

#include <arm_mve.h>

#include "edgeq.h"

enum { EDGEQ_MVE_BYTES = 16 }; /* in a vector */

#if defined(__ARM_FEATURE_MVE)

/* to[i] = from[i], i < n; no overlap. */
static inline void edgeq_mve_copy(int8_t *to, const int8_t *from, int32_t n) {
    __asm volatile("wlstp.8 lr, %[n], 2f\n"
                   "1:\n"
                   "vldrb.8 q0, [%[from]], #16\n"
                   "vstrb.8 q0, [%[to]], #16\n"
                   "letp lr, 1b\n"
                   "2:\n"
                   : [to] "+r"(to), [from] "+r"(from)
                   : [n] "r"(n)
                   : "lr", "q0", "memory");
}

/* to[i] = value, i < n. */
static inline void edgeq_mve_fill(int8_t *to, int8_t value, int32_t n) {
    __asm volatile("vdup.8 q0, %[value]\n"
                   "wlstp.8 lr, %[n], 2f\n"
                   "1:\n"
                   "vstrb.8 q0, [%[to]], #16\n"
                   "letp lr, 1b\n"
                   "2:\n"
                   : [to] "+r"(to)
                   : [n] "r"(n), [value] "r"(value)
                   : "lr", "q0", "memory");
}

#else

static inline void edgeq_mve_copy(int8_t *to, const int8_t *from, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static inline void edgeq_mve_fill(int8_t *to, int8_t value, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = value;
    }
}

#endif

/* out[i] = clamp(out[i], lo, hi), i < n; nothing to do for the whole range of int8. */
static inline void edgeq_mve_clamp(int8_t *out, int32_t n, int32_t lo, int32_t hi) {
    if (lo == -128 && hi == 127) {
        return;
    }
    const int8x16_t low = vdupq_n_s8((int8_t)lo), high = vdupq_n_s8((int8_t)hi);
    for (int32_t i = 0; i < n; i += EDGEQ_MVE_BYTES) {
        const mve_pred16_t in_row = vctp8q((uint32_t)(n - i));
        vstrbq_p_s8(out + i, vminq_s8(vmaxq_s8(vldrbq_z_s8(out + i, in_row), low), high), in_row);
    }
}

#endif
