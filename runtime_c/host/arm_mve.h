/* The Helium intrinsics that edgeq's kernels use, in plain C: for compiling and testing them on other machines. Exact in
 * every bit, slow. Inactive lanes of predicated loads read nothing and are 0; those of stores write nothing. */
#ifndef EDGEQ_HOST_ARM_MVE_H
#define EDGEQ_HOST_ARM_MVE_H

#include <stdint.h>

typedef struct { int8_t lane[16]; } int8x16_t;
typedef struct { int16_t lane[8]; } int16x8_t;
typedef struct { int32_t lane[4]; } int32x4_t;
typedef uint16_t mve_pred16_t; /* a bit for each byte of a vector */

#define EDGEQ_HOST_EACH(i, n) for (int i = 0; i < (n); i++)

/* The first n bytes. */
static inline mve_pred16_t vctp8q(uint32_t n) {
    return (mve_pred16_t)(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

static inline int8x16_t vdupq_n_s8(int8_t v) {
    int8x16_t r;
    EDGEQ_HOST_EACH(i, 16) { r.lane[i] = v; }
    return r;
}

static inline int8x16_t vldrbq_s8(const int8_t *from) {
    int8x16_t r;
    EDGEQ_HOST_EACH(i, 16) { r.lane[i] = from[i]; }
    return r;
}

static inline int8x16_t vldrbq_z_s8(const int8_t *from, mve_pred16_t p) {
    int8x16_t r;
    EDGEQ_HOST_EACH(i, 16) { r.lane[i] = (int8_t)(p >> i & 1 ? from[i] : 0); }
    return r;
}

static inline void vstrbq_p_s8(int8_t *to, int8x16_t v, mve_pred16_t p) {
    EDGEQ_HOST_EACH(i, 16) {
        if (p >> i & 1) {
            to[i] = v.lane[i];
        }
    }
}

static inline int8x16_t vmaxq_s8(int8x16_t a, int8x16_t b) {
    EDGEQ_HOST_EACH(i, 16) { a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }
    return a;
}

static inline int8x16_t vminq_s8(int8x16_t a, int8x16_t b) {
    EDGEQ_HOST_EACH(i, 16) { a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }
    return a;
}

static inline int32_t vmladavaq_s8(int32_t acc, int8x16_t a, int8x16_t b) {
    EDGEQ_HOST_EACH(i, 16) { acc += a.lane[i] * b.lane[i]; }
    return acc;
}

#endif
