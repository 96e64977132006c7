#include "edgeq_add.h"

#include "edgeq_linear_mve.h"

#if defined(__ARM_FEATURE_MVE)

#define ADD_MVE_NARROW_16 "vqmovnb.s16 q0, q0\n vstrb.16 q0, [%[out]], #8\n"
#define ADD_MVE_NARROW_32 "vqmovnb.s32 q0, q0\n vqmovnb.s16 q0, q0\n vstrb.32 q0, [%[out]], #4\n"

/* out[i] = (m1 * x1[i] + m2 * x2[i] + bias) >> shift, saturated to 8 bits, i < n; in lanes of `bits`. */
#define ADD_MVE_LOOP(name, bits)                                                                              \
    static inline void name(const edgeq_add_params *p, const int8_t *x1, const int8_t *x2, int8_t *out) {     \
        register const int8_t *a __asm("r0") = x1;                                                            \
        register const int8_t *b __asm("r1") = x2;                                                            \
        register int8_t *to __asm("r3") = out;                                                                \
        register int32_t m1 __asm("r4") = p->m1;                                                              \
        register int32_t m2 __asm("r5") = p->m2;                                                              \
        register int32_t bias __asm("r6") = p->bias;                                                          \
        register int32_t shift __asm("r8") = -(int32_t)p->shift;                                              \
        register int32_t n __asm("r12") = p->n;                                                               \
        __asm volatile("dlstp." #bits " lr, %[n]\n"                                                            \
                       "1:\n vldrb.s" #bits " q0, [%[a]], #128/" #bits "\n"                                     \
                       "vldrb.s" #bits " q1, [%[b]], #128/" #bits "\n"                                          \
                       "vmul.i" #bits " q0, q0, %[m1]\n vmla.s" #bits " q0, q1, %[m2]\n"                        \
                       "vadd.i" #bits " q0, q0, %[bias]\n vshl.s" #bits " q0, %[shift]\n" ADD_MVE_NARROW_##bits \
                       "letp lr, 1b\n"                                                                        \
                       : [a] "+r"(a), [b] "+r"(b), [out] "+r"(to)                                             \
                       : [m1] "r"(m1), [m2] "r"(m2), [bias] "r"(bias), [shift] "r"(shift), [n] "r"(n)         \
                       : "lr", "q0", "q1", "memory");                                                         \
    }

ADD_MVE_LOOP(add_mve_16, 16)
ADD_MVE_LOOP(add_mve_32, 32)

#else

static inline void add_mve_16(const edgeq_add_params *p, const int8_t *x1, const int8_t *x2, int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        const int16_t acc = (int16_t)((int16_t)p->m1 * x1[i] + (int16_t)p->m2 * x2[i] + (int16_t)p->bias);
        out[i] = edgeq_requantize(acc, p->shift, -128, 127);
    }
}

static inline void add_mve_32(const edgeq_add_params *p, const int8_t *x1, const int8_t *x2, int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        out[i] = edgeq_requantize(p->m1 * x1[i] + p->m2 * x2[i] + p->bias, p->shift, -128, 127);
    }
}

#endif

EDGEQ_KERNEL void edgeq_add_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    add_mve_32(p, in1, in2, out);
    edgeq_mve_clamp(out, p->n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_add_16_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    add_mve_16(p, in1, in2, out);
    edgeq_mve_clamp(out, p->n, p->lo, p->hi);
}
