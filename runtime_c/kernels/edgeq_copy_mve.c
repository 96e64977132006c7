#include "edgeq_copy.h"

#include "edgeq_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* to[i] = from[i * step], i < n. */
static inline void copy_mve_row(int8_t *to, const int8_t *from, int32_t n, int32_t step) {
    register int8_t *t __asm("r1") = to;
    register int32_t zero __asm("r2") = 0;
    __asm volatile("vidup.u32 q1, %[zero], #1\n"
                   "vmul.i32 q1, q1, %[step]\n"
                   "wlstp.32 lr, %[n], 2f\n"
                   "1:\n"
                   "vldrb.s32 q0, [%[from], q1]\n"
                   "vstrb.32 q0, [%[to]], #4\n"
                   "add %[from], %[from], %[next]\n"
                   "letp lr, 1b\n"
                   "2:\n"
                   : [to] "+r"(t), [from] "+r"(from), [zero] "+r"(zero)
                   : [n] "r"(n), [step] "r"(step), [next] "r"(4 * step)
                   : "lr", "q0", "q1", "memory");
}

#else

static inline void copy_mve_row(int8_t *to, const int8_t *from, int32_t n, int32_t step) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = from[i * step];
    }
}

#endif

EDGEQ_KERNEL void edgeq_copy_mve(const edgeq_copy_params *p, const int8_t *in, int8_t *out) {
    enum { LAST = EDGEQ_COPY_AXES - 1 };
    int32_t index[EDGEQ_COPY_AXES] = {0};
    const int32_t row = p->size[LAST], step = p->step[LAST];
    int32_t at = p->offset, axis = LAST;
    while (axis >= 0) {
        if (step == 1) {
            edgeq_mve_copy(out, in + at, row);
        } else {
            copy_mve_row(out, in + at, row, step);
        }
        out += row;
        for (axis = LAST - 1; axis >= 0; axis--) { /* next row: an odometer over the outer axes */
            at += p->step[axis];
            if (++index[axis] < p->size[axis]) {
                break;
            }
            at -= index[axis] * p->step[axis];
            index[axis] = 0;
        }
    }
}
