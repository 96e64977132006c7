#include "edgeq_mul.h"

#include "edgeq_binary_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* out[i] = ((x1[i] - z1) * (x2[i] - z2) * m + bias) >> shift, saturated to 8 bits, i < n. n > 0. */
static inline void mul_mve_product(const edgeq_mul_params *p, const int8_t *x1, const int8_t *x2, int8_t *out) {
    register const int8_t *a __asm("r0") = x1;
    register const int8_t *b __asm("r1") = x2;
    register int8_t *to __asm("r3") = out;
    register int32_t z1 __asm("r4") = p->z1;
    register int32_t z2 __asm("r5") = p->z2;
    register int32_t bias __asm("r6") = p->bias;
    register int32_t shift __asm("r8") = -(int32_t)p->shift;
    register int32_t m __asm("r10") = p->m;
    register int32_t n __asm("r12") = p->n;
    __asm volatile("vdup.32 q2, %[m]\n"
                   "dlstp.32 lr, %[n]\n"
                   "1:\n"
                   "vldrb.s32 q0, [%[a]], #4\n vldrb.s32 q1, [%[b]], #4\n"
                   "vsub.i32 q0, q0, %[z1]\n vsub.i32 q1, q1, %[z2]\n"
                   "vmul.i32 q0, q0, q1\n vmlas.s32 q0, q2, %[bias]\n vshl.s32 q0, %[shift]\n" EDGEQ_MVE_NARROW_32
                   "letp lr, 1b\n"
                   : [a] "+r"(a), [b] "+r"(b), [out] "+r"(to)
                   : [z1] "r"(z1), [z2] "r"(z2), [m] "r"(m), [bias] "r"(bias), [shift] "r"(shift), [n] "r"(n)
                   : "lr", "q0", "q1", "q2", "memory");
}

#else

static inline void mul_mve_product(const edgeq_mul_params *p, const int8_t *x1, const int8_t *x2, int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        const int32_t acc = (x1[i] - p->z1) * (x2[i] - p->z2) * p->m + p->bias;
        out[i] = edgeq_requantize(acc, p->shift, -128, 127);
    }
}

#endif

/* The same with one element, `still`, whose zero point is z_still, in the place of x2 or x1. */
static inline void mul_mve_scaled(const edgeq_mul_params *p, const int8_t *x, int32_t z, int32_t still, int32_t z_still,
                                  int8_t *out) {
    const int32_t m = (still - z_still) * p->m;
    const edgeq_mve_weights w = {m, 0, p->bias - z * m, p->shift};
    edgeq_mve_sum_32(&w, x, x, out, p->n);
}

EDGEQ_KERNEL void edgeq_mul_mve(const edgeq_mul_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    mul_mve_product(p, in1, in2, out);
    edgeq_mve_clamp(out, p->n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_mul_broadcast_mve(const edgeq_mul_broadcast_params *p, const int8_t *in1, const int8_t *in2,
                                          int8_t *out) {
    const edgeq_mul_params *mul = &p->mul;
    const int32_t step_1 = p->walk.step_1[3], step_2 = p->walk.step_2[3];
    edgeq_broadcast_row row = {{0, 0, 0}, 0, 0};
    do {
        const int8_t *x1 = in1 + row.offset_1, *x2 = in2 + row.offset_2;
        if (step_1 == 0) {
            mul_mve_scaled(mul, x2, mul->z2, *x1, mul->z1, out);
        } else if (step_2 == 0) {
            mul_mve_scaled(mul, x1, mul->z1, *x2, mul->z2, out);
        } else {
            mul_mve_product(mul, x1, x2, out);
        }
        edgeq_mve_clamp(out, mul->n, mul->lo, mul->hi);
        out += mul->n;
    } while (edgeq_next_row(&p->walk, &row));
}

EDGEQ_KERNEL void edgeq_mul_const_mve(const edgeq_mul_broadcast_params *p, const int8_t *in, int8_t *out) {
    edgeq_mul_broadcast_mve(p, in, p->constant, out);
}
