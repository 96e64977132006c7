#include "edgeq_flip_sign.h"

#if defined(__ARM_FEATURE_MVE)

static inline void flip_sign_mve(const int8_t *in, int8_t *out, int32_t n) {
    __asm volatile("vmov.i8 q1, #0x80\n"
                   "wlstp.8 lr, %[n], 2f\n"
                   "1:\n"
                   "vldrb.8 q0, [%[in]], #16\n"
                   "veor q0, q0, q1\n"
                   "vstrb.8 q0, [%[out]], #16\n"
                   "letp lr, 1b\n"
                   "2:\n"
                   : [in] "+r"(in), [out] "+r"(out)
                   : [n] "r"(n)
                   : "lr", "q0", "q1", "memory");
}

#else

static inline void flip_sign_mve(const int8_t *in, int8_t *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = (int8_t)(in[i] ^ -128);
    }
}

#endif

EDGEQ_KERNEL void edgeq_flip_sign_mve(const edgeq_flip_sign_params *p, const int8_t *in, int8_t *out) {
    flip_sign_mve(in, out, p->n);
}
