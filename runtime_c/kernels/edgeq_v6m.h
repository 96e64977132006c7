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

static inline int32_t edgeq_v6m_min(int32_t a, int32_t b) {
    return a < b ? a : b;
}

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

enum { EDGEQ_V6M_PIXELS = 4 }; /* that convolutions compute at a time */

/* The windows of four output pixels in row-major order; where fewer are left, of the last one again. */
typedef struct {
    int32_t y[EDGEQ_V6M_PIXELS], x[EDGEQ_V6M_PIXELS]; /* in the input, of the first tap */
    int32_t inside;                                   /* whether none reaches outside the input */
    int32_t next_y, next_x;                           /* of the window after these */
} edgeq_v6m_windows;

/* Before the first. */
static inline void edgeq_v6m_start(const edgeq_window *w, edgeq_v6m_windows *at) {
    at->next_y = -w->pad_top;
    at->next_x = -w->pad_left;
}

/* Whether all taps of a window are inside the input, along one axis. */
static inline int32_t edgeq_v6m_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size) {
    return start >= 0 && start + (kernel - 1) * dilation < size;
}

/* Moves on to the next four. left: pixels from there on. */
static inline void edgeq_v6m_move(const edgeq_window *w, int32_t left, edgeq_v6m_windows *at) {
    int32_t y = at->next_y, x = at->next_x, inside = 1;
    for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
        at->y[k] = y;
        at->x[k] = x;
        inside &= edgeq_v6m_inside(y, w->kernel_h, w->dilation_h, w->in_h);
        inside &= edgeq_v6m_inside(x, w->kernel_w, w->dilation_w, w->in_w);
        if (k + 1 < left) {
            x += w->stride_w;
            if (x == w->out_w * w->stride_w - w->pad_left) {
                x = -w->pad_left;
                y += w->stride_h;
            }
        }
    }
    at->inside = inside;
    at->next_y = y;
    at->next_x = x;
}

/* The rows of the input that row i of the windows reads, 0 for those outside it. */
static inline void edgeq_v6m_rows(const edgeq_window *w, const edgeq_v6m_windows *at, int32_t i, const int8_t *in,
                                  int32_t channels, const int8_t *rows[EDGEQ_V6M_PIXELS]) {
    const int32_t down = i * w->dilation_h, row = w->in_w * channels;
    for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
        const int32_t y = at->y[k] + down;
        rows[k] = (uint32_t)y < (uint32_t)w->in_h ? in + y * row : 0;
    }
}

/* The pixels that column j of the windows reads in these rows, or pad, and offset bytes on. */
static inline void edgeq_v6m_column(const edgeq_window *w, const edgeq_v6m_windows *at, int32_t j, int32_t channels,
                                    const int8_t *const rows[EDGEQ_V6M_PIXELS], const int8_t *pad, int32_t offset,
                                    const int8_t *to[EDGEQ_V6M_PIXELS]) {
    const int32_t right = j * w->dilation_w;
    for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
        const int32_t x = at->x[k] + right;
        to[k] = (rows[k] != 0 && (uint32_t)x < (uint32_t)w->in_w ? rows[k] + x * channels : pad) + offset;
    }
}

#endif
