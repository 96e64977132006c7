/* The Helium intrinsics that edgeq's kernels use, in plain C: for compiling and testing them on other machines. Exact in
 * every bit, slow. Inactive lanes of predicated loads read nothing and are 0; those of stores write nothing. */
#ifndef EDGEQ_HOST_ARM_MVE_H
#define EDGEQ_HOST_ARM_MVE_H

#include <stdint.h>

typedef struct { int8_t lane[16]; } int8x16_t;
typedef struct { uint8_t lane[16]; } uint8x16_t;
typedef struct { int16_t lane[8]; } int16x8_t;
typedef struct { uint16_t lane[8]; } uint16x8_t;
typedef struct { int32_t lane[4]; } int32x4_t;
typedef struct { uint32_t lane[4]; } uint32x4_t;
typedef uint16_t mve_pred16_t; /* a bit for each byte of a vector */

#define EDGEQ_HOST_EACH(i, n) for (int i = 0; i < (n); i++)

/* The first n bytes. */
static inline mve_pred16_t vctp8q(uint32_t n) {
    return (mve_pred16_t)(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

/* The first n halfwords. */
static inline mve_pred16_t vctp16q(uint32_t n) {
    return vctp8q(n >= 8 ? 16 : 2 * n);
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

static inline int8_t vmaxvq_p_s8(int8_t most, int8x16_t v, mve_pred16_t p) {
    EDGEQ_HOST_EACH(i, 16) { most = p >> i & 1 && v.lane[i] > most ? v.lane[i] : most; }
    return most;
}

static inline uint8x16_t vldrbq_u8(const uint8_t *from) {
    uint8x16_t r;
    EDGEQ_HOST_EACH(i, 16) { r.lane[i] = from[i]; }
    return r;
}

static inline int8x16_t vldrbq_gather_offset_s8(const int8_t *from, uint8x16_t at) {
    int8x16_t r;
    EDGEQ_HOST_EACH(i, 16) { r.lane[i] = from[at.lane[i]]; }
    return r;
}

/* Products of the even and of the odd lanes. */
static inline int16x8_t vmullbq_int_s8(int8x16_t a, int8x16_t b) {
    int16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = (int16_t)(a.lane[2 * i] * b.lane[2 * i]); }
    return r;
}

static inline int16x8_t vmulltq_int_s8(int8x16_t a, int8x16_t b) {
    int16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = (int16_t)(a.lane[2 * i + 1] * b.lane[2 * i + 1]); }
    return r;
}

/* Eight halfwords. */

static inline int16x8_t vdupq_n_s16(int16_t v) {
    int16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = v; }
    return r;
}

static inline int16x8_t vldrbq_z_s16(const int8_t *from, mve_pred16_t p) {
    int16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = p >> 2 * i & 1 ? from[i] : 0; }
    return r;
}

static inline uint16x8_t vreinterpretq_u16_s16(int16x8_t v) {
    uint16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = (uint16_t)v.lane[i]; }
    return r;
}

/* at: in halfwords. */
static inline uint16x8_t vldrhq_gather_shifted_offset_z_u16(const uint16_t *from, uint16x8_t at, mve_pred16_t p) {
    uint16x8_t r;
    EDGEQ_HOST_EACH(i, 8) { r.lane[i] = (uint16_t)(p >> 2 * i & 1 ? from[at.lane[i]] : 0); }
    return r;
}

static inline uint32_t vaddvaq_u16(uint32_t sum, uint16x8_t v) {
    EDGEQ_HOST_EACH(i, 8) { sum += v.lane[i]; }
    return sum;
}

static inline int16x8_t vsubq_s16(int16x8_t a, int16x8_t b) {
    EDGEQ_HOST_EACH(i, 8) { a.lane[i] = (int16_t)(a.lane[i] - b.lane[i]); }
    return a;
}

/* The even lanes of r become v, saturated; the odd ones stay. Then the other way round. */
static inline int8x16_t vqmovnbq_s16(int8x16_t r, int16x8_t v) {
    EDGEQ_HOST_EACH(i, 8) { r.lane[2 * i] = (int8_t)(v.lane[i] < -128 ? -128 : v.lane[i] > 127 ? 127 : v.lane[i]); }
    return r;
}

static inline int8x16_t vqmovntq_s16(int8x16_t r, int16x8_t v) {
    EDGEQ_HOST_EACH(i, 8) { r.lane[2 * i + 1] = (int8_t)(v.lane[i] < -128 ? -128 : v.lane[i] > 127 ? 127 : v.lane[i]); }
    return r;
}

/* The even and the odd lanes. */
static inline int32x4_t vmovlbq_s16(int16x8_t v) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = v.lane[2 * i]; }
    return r;
}

static inline int32x4_t vmovltq_s16(int16x8_t v) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = v.lane[2 * i + 1]; }
    return r;
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

static inline int32x4_t vshlq_s32(int32x4_t a, int32x4_t by) {
    EDGEQ_HOST_EACH(i, 4) {
        const int32_t n = by.lane[i];
        a.lane[i] = n < 0 ? a.lane[i] >> -n : (int32_t)((uint32_t)a.lane[i] << n);
    }
    return a;
}

static inline int32x4_t vldrwq_s32(const int32_t *from) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = from[i]; }
    return r;
}

static inline int32x4_t vsubq_s32(int32x4_t a, int32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = (int32_t)((uint32_t)a.lane[i] - (uint32_t)b.lane[i]); }
    return a;
}

static inline int32x4_t vsubq_n_s32(int32x4_t a, int32_t b) {
    return vsubq_s32(a, vdupq_n_s32(b));
}

/* The even lanes of r become v, saturated; the odd ones stay. Then the other way round. */
static inline int16x8_t vqmovnbq_s32(int16x8_t r, int32x4_t v) {
    EDGEQ_HOST_EACH(i, 4) {
        r.lane[2 * i] = (int16_t)(v.lane[i] < -32768 ? -32768 : v.lane[i] > 32767 ? 32767 : v.lane[i]);
    }
    return r;
}

static inline int16x8_t vqmovntq_s32(int16x8_t r, int32x4_t v) {
    EDGEQ_HOST_EACH(i, 4) {
        r.lane[2 * i + 1] = (int16_t)(v.lane[i] < -32768 ? -32768 : v.lane[i] > 32767 ? 32767 : v.lane[i]);
    }
    return r;
}

/* Four words without a sign. */

static inline uint32x4_t vreinterpretq_u32_s32(int32x4_t v) {
    uint32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = (uint32_t)v.lane[i]; }
    return r;
}

static inline int32x4_t vreinterpretq_s32_u32(uint32x4_t v) {
    int32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = (int32_t)v.lane[i]; }
    return r;
}

static inline uint32x4_t vdupq_n_u32(uint32_t v) {
    uint32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = v; }
    return r;
}

/* at: in halfwords. */
static inline uint32x4_t vldrhq_gather_shifted_offset_z_u32(const uint16_t *from, uint32x4_t at, mve_pred16_t p) {
    uint32x4_t r;
    EDGEQ_HOST_EACH(i, 4) { r.lane[i] = p >> 4 * i & 1 ? from[at.lane[i]] : 0; }
    return r;
}

static inline uint32x4_t vaddq_u32(uint32x4_t a, uint32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] += b.lane[i]; }
    return a;
}

static inline uint32x4_t vminq_u32(uint32x4_t a, uint32x4_t b) {
    EDGEQ_HOST_EACH(i, 4) { a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }
    return a;
}

static inline mve_pred16_t vcmpcsq_u32(uint32x4_t a, uint32x4_t b) {
    mve_pred16_t p = 0;
    EDGEQ_HOST_EACH(i, 4) { p = (mve_pred16_t)(p | (a.lane[i] >= b.lane[i] ? 15 << 4 * i : 0)); }
    return p;
}

/* Lanes of p; the others are of `inactive`. */
static inline uint32x4_t vsubq_m_u32(uint32x4_t inactive, uint32x4_t a, uint32x4_t b, mve_pred16_t p) {
    EDGEQ_HOST_EACH(i, 4) { inactive.lane[i] = p >> 4 * i & 1 ? a.lane[i] - b.lane[i] : inactive.lane[i]; }
    return inactive;
}

static inline uint32x4_t vaddq_m_n_u32(uint32x4_t inactive, uint32x4_t a, uint32_t b, mve_pred16_t p) {
    EDGEQ_HOST_EACH(i, 4) { inactive.lane[i] = p >> 4 * i & 1 ? a.lane[i] + b : inactive.lane[i]; }
    return inactive;
}

#endif
