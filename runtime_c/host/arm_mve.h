/* The Helium intrinsics that edgeq's kernels use, in plain C: for compiling and testing them on other machines. Exact in
 * every bit, slow. Inactive lanes of predicated loads read nothing and are 0; those of stores write nothing. */
#ifndef EDGEQ_HOST_ARM_MVE_H
#define EDGEQ_HOST_ARM_MVE_H

#include <stdint.h>

typedef struct { int8_t lane[16]; } int8x16_t;
typedef struct { int32_t lane[4]; } int32x4_t;
typedef uint16_t mve_pred16_t; /* a bit for each byte of a vector */

#define EDGEQ_HOST_EACH(i, n) for (int i = 0; i < (n); i++)

/* The first n bytes. */
static inline mve_pred16_t vctp8q(uint32_t n) {
    return (mve_pred16_t)(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

/* The first n words. */
static inline mve_pred16_t vctp32q(uint32_t n) {
    return vctp8q(n >= 4 ? 16 : 4 * n);
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

/* Four words; they wrap around. */

static inline int32x4_t vdupq_n_s32(int32_t v) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = v; }
    return r;
}

static inline int32x4_t vldrbq_z_s32(const int8_t *from, mve_pred16_t p) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = p >> 4 * i & 1 ? from[i] : 0; }
    return r;
}

static inline void vstrbq_p_s32(int8_t *to, int32x4_t v, mve_pred16_t p) {
    EDGEQ_HOST_EACH(i, 4) {
        if (p >> 4 * i & 1) {
            to[i] = (int8_t)v.lane[i];
        }
    }
}

static inline int32x4_t vaddq_s32(int32x4_t a, int32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]); }
    return a;
}

static inline int32x4_t vaddq_n_s32(int32x4_t a, int32_t b) {
    return vaddq_s32(a, vdupq_n_s32(b));
}

static inline int32x4_t vmulq_n_s32(int32x4_t a, int32_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = (int32_t)((uint32_t)a.lane[i] * (uint32_t)b); }
    return a;
}

static inline int32x4_t vmaxq_s32(int32x4_t a, int32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }
    return a;
}

static inline int32x4_t vminq_s32(int32x4_t a, int32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }
    return a;
}

/* by: -31..31; a negative one shifts right. */
static inline int32x4_t vshlq_r_s32(int32x4_t a, int32_t by) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = by < 0 ? a.lane[i] >> -by : (int32_t)((uint32_t)a.lane[i] << by); }
    return a;
}

#endif
