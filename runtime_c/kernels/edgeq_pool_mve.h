/* Helium: which taps of a pool's window are inside the input. */
#ifndef EDGEQ_POOL_MVE_H
#define EDGEQ_POOL_MVE_H

#include "edgeq.h"

/* The taps of a window, start + i * dilation for i in first .. end - 1, that are in 0 .. size - 1. */
typedef struct {
    int32_t first, end;
} edgeq_mve_taps;

static inline edgeq_mve_taps edgeq_mve_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size) {
    edgeq_mve_taps t = {0, kernel};
    while (t.first < kernel && start + t.first * dilation < 0) {
        t.first++;
    }
    while (t.end > t.first && start + (t.end - 1) * dilation >= size) {
        t.end--;
    }
    return t;
}

#endif
