/* edgeq runtime: what every kernel shares. Plain C99, integers only. Contract: SPEC.md. */
#ifndef EDGEQ_H
#define EDGEQ_H

#include <stdint.h>

/* Kernels and generated code must be of one release: generated code checks this number. */
#define EDGEQ_RUNTIME_VERSION 1

/* 1 where a model was built with --optimize size: loops that are unrolled for speed then are not. */
#define EDGEQ_SMALL 0

/* Kernels are weak, so that several models in one program may each bring their copy. */
#if defined(__ICCARM__)
#define EDGEQ_KERNEL __weak
#else
#define EDGEQ_KERNEL __attribute__((weak))
#endif

/* Constants may be read as aligned 32-bit words. */
#if defined(__ICCARM__)
#define EDGEQ_ALIGNED _Pragma("data_alignment=4")
#else
#define EDGEQ_ALIGNED __attribute__((aligned(4)))
#endif

/* Geometry of a sliding window, in elements. Padding at the bottom and right follows from out_h and out_w. */
typedef struct {
    int16_t in_h, in_w, out_h, out_w;
    int16_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int16_t pad_top, pad_left;
} edgeq_window;

static inline int8_t edgeq_clamp(int32_t v, int32_t lo, int32_t hi) {
    v = v < lo ? lo : v;
    return (int8_t)(v > hi ? hi : v);
}

/* acc already holds the rounding constant: one arithmetic shift and one clamp. */
static inline int8_t edgeq_requantize(int32_t acc, unsigned shift, int32_t lo, int32_t hi) {
    return edgeq_clamp(acc >> shift, lo, hi);
}

#endif
