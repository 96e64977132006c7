#include "edgeq_prelu.h"

#include "edgeq_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* One row, saturated to 8 bits. */
static inline void prelu_mve_row(const edgeq_prelu_params *p, const int8_t *in, int8_t *out) {
    register const int8_t *x __asm("r0") = in;
    register const int32_t *m_neg __asm("r1") = p->m_neg;
    register int8_t *to __asm("r3") = out;
    register int32_t z __asm("r4") = p->zero_point;
    register int32_t m_pos __asm("r5") = p->m_pos;
    register int32_t bias __asm("r6") = p->bias;
    register int32_t shift __asm("r8") = -(int32_t)p->shift;
    register int32_t n __asm("r12") = p->channels;
    __asm volatile("vdup.32 q2, %[m_pos]\n"
                   "dlstp.32 lr, %[n]\n"
                   "1:\n"
                   "vldrb.s32 q0, [%[x]], #4\n vldrw.32 q1, [%[m_neg]], #16\n"
                   "vsub.i32 q0, q0, %[z]\n"
                   "vpt.s32 ge, q0, zr\n vmovt q1, q2\n"
                   "vmul.i32 q0, q0, q1\n vadd.i32 q0, q0, %[bias]\n vshl.s32 q0, %[shift]\n"
                   "vqmovnb.s32 q0, q0\n vqmovnb.s16 q0, q0\n vstrb.32 q0, [%[out]], #4\n"
                   "letp lr, 1b\n"
                   : [x] "+r"(x), [m_neg] "+r"(m_neg), [out] "+r"(to)
                   : [z] "r"(z), [m_pos] "r"(m_pos), [bias] "r"(bias), [shift] "r"(shift), [n] "r"(n)
                   : "lr", "q0", "q1", "q2", "cc", "memory");
}

#else

static inline void prelu_mve_row(const edgeq_prelu_params *p, const int8_t *in, int8_t *out) {
    for (int32_t c = 0; c < p->channels; c++) {
        const int32_t d = in[c] - p->zero_point;
        out[c] = edgeq_requantize(d * (d >= 0 ? p->m_pos : p->m_neg[c]) + p->bias, p->shift, -128, 127);
    }
}

#endif

EDGEQ_KERNEL void edgeq_prelu_mve(const edgeq_prelu_params *p, const int8_t *in, int8_t *out) {
    const int32_t channels = p->channels;
    for (int32_t row = 0; row < p->rows; row++) {
        prelu_mve_row(p, in + row * channels, out + row * channels);
    }
    edgeq_mve_clamp(out, p->rows * channels, p->lo, p->hi);
}
