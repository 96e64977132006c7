/* The matrix-vector product inside conv2d, 1x1 convolution and fully_connected. */
#ifndef EDGEQ_LINEAR_H
#define EDGEQ_LINEAR_H

#include "edgeq.h"

/* out[o] = clamp((bias[o] + sum_k weight[o * k_n + k] * x[k]) >> shift[o]), o < out_n */
static inline void edgeq_linear(const int8_t *x, const int8_t *weight, const int32_t *bias, const uint8_t *shift,
                                int32_t k_n, int32_t out_n, int32_t lo, int32_t hi, int8_t *out) {
    for (int32_t o = 0; o < out_n; o++) {
        int32_t acc = bias[o];
        for (int32_t k = 0; k < k_n; k++) {
            acc += weight[k] * x[k];
        }
        weight += k_n;
        out[o] = edgeq_requantize(acc, shift[o], lo, hi);
    }
}

#endif
