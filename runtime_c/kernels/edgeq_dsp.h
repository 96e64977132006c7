/* What the kernels for Armv7E-M and Armv8-M with DSP share. Each block of assembly has a twin in C of the same meaning,
 * which other processors compile, little-endian ones only: words of packed bytes are loaded as they are. */
#ifndef EDGEQ_DSP_H
#define EDGEQ_DSP_H

#include <string.h>

#include "edgeq.h"

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define EDGEQ_DSP_ASM 1
#else
#define EDGEQ_DSP_ASM 0
#endif

/* Four bytes at any address as a word, the first lowest. */
static inline uint32_t edgeq_dsp_load4(const void *from) {
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}

static inline void edgeq_dsp_store4(void *to, uint32_t word) {
    memcpy(to, &word, 4);
}

/* even, odd: bytes 0 and 2, or 1 and 3, of a word as two int16. */
#if EDGEQ_DSP_ASM
static inline uint32_t edgeq_dsp_even(uint32_t word) {
    uint32_t out;
    __asm__("sxtb16 %0, %1" : "=r"(out) : "r"(word));
    return out;
}

static inline uint32_t edgeq_dsp_odd(uint32_t word) {
    uint32_t out;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(out) : "r"(word));
    return out;
}

/* acc + both products of int16s, modulo 2^32. */
static inline int32_t edgeq_dsp_mac2(uint32_t a, uint32_t b, int32_t acc) {
    int32_t out;
    __asm__("smlad %0, %1, %2, %3" : "=r"(out) : "r"(a), "r"(b), "r"(acc));
    return out;
}

/* The low, or high, halves of two words: the first's low. */
static inline uint32_t edgeq_dsp_bottoms(uint32_t a, uint32_t b) {
    uint32_t out;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(out) : "r"(a), "r"(b));
    return out;
}

static inline uint32_t edgeq_dsp_tops(uint32_t a, uint32_t b) {
    uint32_t out;
    __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(out) : "r"(a), "r"(b));
    return out;
}

/* Two int16 sums, each plus one of the even, or odd, bytes of a word. */
static inline uint32_t edgeq_dsp_add_even(uint32_t sums, uint32_t word) {
    uint32_t out;
    __asm__("sxtab16 %0, %1, %2" : "=r"(out) : "r"(sums), "r"(word));
    return out;
}

static inline uint32_t edgeq_dsp_add_odd(uint32_t sums, uint32_t word) {
    uint32_t out;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(out) : "r"(sums), "r"(word));
    return out;
}

static inline int8_t edgeq_dsp_saturate(int32_t v) {
    int32_t out;
    __asm__("ssat %0, #8, %1" : "=r"(out) : "r"(v));
    return (int8_t)out;
}

/* Of each two signed bytes the larger, or the smaller. */
static inline uint32_t edgeq_dsp_max4(uint32_t a, uint32_t b) {
    uint32_t out;
    __asm__("ssub8 %0, %1, %2\n sel %0, %1, %2" : "=&r"(out) : "r"(a), "r"(b) : "cc");
    return out;
}

static inline uint32_t edgeq_dsp_min4(uint32_t a, uint32_t b) {
    uint32_t out;
    __asm__("ssub8 %0, %1, %2\n sel %0, %2, %1" : "=&r"(out) : "r"(a), "r"(b) : "cc");
    return out;
}
#else
static inline uint32_t edgeq_dsp_even(uint32_t word) {
    const uint32_t signs = word & 0x00800080U;
    return (word & 0x00FF00FFU) | ((signs << 9) - (signs << 1));
}

static inline uint32_t edgeq_dsp_odd(uint32_t word) {
    return edgeq_dsp_even(word >> 8);
}

static inline int32_t edgeq_dsp_mac2(uint32_t a, uint32_t b, int32_t acc) {
    const int32_t low = (int16_t)(uint16_t)a * (int16_t)(uint16_t)b;
    const int32_t high = (int16_t)(uint16_t)(a >> 16) * (int16_t)(uint16_t)(b >> 16);
    return (int32_t)((uint32_t)acc + (uint32_t)low + (uint32_t)high);
}

static inline uint32_t edgeq_dsp_bottoms(uint32_t a, uint32_t b) {
    return (a & 0xFFFFU) | b << 16;
}

static inline uint32_t edgeq_dsp_tops(uint32_t a, uint32_t b) {
    return a >> 16 | (b & 0xFFFF0000U);
}

static inline uint32_t edgeq_dsp_add_even(uint32_t sums, uint32_t word) {
    const uint32_t more = edgeq_dsp_even(word);
    return ((sums + more) & 0xFFFFU) | ((sums & 0xFFFF0000U) + (more & 0xFFFF0000U));
}

static inline uint32_t edgeq_dsp_add_odd(uint32_t sums, uint32_t word) {
    return edgeq_dsp_add_even(sums, word >> 8);
}

static inline int8_t edgeq_dsp_saturate(int32_t v) {
    return edgeq_clamp(v, -128, 127);
}

static inline uint32_t edgeq_dsp_max4(uint32_t a, uint32_t b) {
    uint32_t out = 0;
    for (int32_t i = 0; i < 32; i += 8) {
        const int8_t x = (int8_t)(uint8_t)(a >> i), y = (int8_t)(uint8_t)(b >> i);
        out |= (uint32_t)(uint8_t)(x > y ? x : y) << i;
    }
    return out;
}

static inline uint32_t edgeq_dsp_min4(uint32_t a, uint32_t b) {
    return ~edgeq_dsp_max4(~a, ~b);
}
#endif

/* a - b, modulo 2^32. Where weights of two channels share a word, its int16s are 256 * second + first: products with the word
 * as it is sum to 256 * second + first, products with its even bytes to first. The difference is 256 * second, exactly, if
 * second has 24 bits; on the way, sums may leave int32. */
static inline int32_t edgeq_dsp_less(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/* A byte as all four of a word. */
static inline uint32_t edgeq_dsp_all4(int32_t v) {
    return (uint8_t)v * 0x01010101U;
}

/* For bounds tighter than int8, which saturating blocks do not know. */
__attribute__((noinline, unused)) static void edgeq_dsp_clamp(int8_t *out, int32_t n, int32_t lo, int32_t hi) {
    if (lo == -128 && hi == 127) {
        return;
    }
    const uint32_t least = edgeq_dsp_all4(lo), most = edgeq_dsp_all4(hi);
    const int8_t *const end = out + n;
    while (end - out >= 4) {
        edgeq_dsp_store4(out, edgeq_dsp_min4(edgeq_dsp_max4(edgeq_dsp_load4(out), least), most));
        out += 4;
    }
    while (out != end) {
        *out = (int8_t)(uint8_t)edgeq_dsp_min4(edgeq_dsp_max4((uint8_t)*out, least), most);
        out++;
    }
}

#endif
