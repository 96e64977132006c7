/* The matrix-vector product inside conv2d, 1x1 convolution and fully_connected. */
#ifndef EDGEQ_LINEAR_H
#define EDGEQ_LINEAR_H

#include "edgeq.h"

/* out[o] = clamp((bias[o] + sum_k weight[o * k_n + k] * x[k]) >> shift[o], lo, hi), o < out_n.
 * Two outputs at a time share the loads of x. */
static inline void edgeq_linear(const int8_t *x, const int8_t *weight, const int32_t *bias, const uint8_t *shift,
                                int32_t k_n, int32_t out_n, int32_t lo, int32_t hi, int8_t *out) {
    int32_t o = 0;
    for (; o + 1 < out_n; o += 2) {
        const int8_t *second = weight + k_n;
        int32_t acc0 = bias[o], acc1 = bias[o + 1];
        for (int32_t k = 0; k < k_n; k++) {
            acc0 += weight[k] * x[k];
            acc1 += second[k] * x[k];
        }
        weight = second + k_n;
        out[o] = edgeq_requantize(acc0, shift[o], lo, hi);
        out[o + 1] = edgeq_requantize(acc1, shift[o + 1], lo, hi);
    }
    if (o < out_n) {
        int32_t acc = bias[o];
        for (int32_t k = 0; k < k_n; k++) {
            acc += weight[k] * x[k];
        }
        out[o] = edgeq_requantize(acc, shift[o], lo, hi);
    }
}

#endif
