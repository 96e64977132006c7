#include "edgeq_lut.h"

#if defined(__ARM_FEATURE_MVE)

/* out[i] = table[in[i]], i < n. */
static inline void lut_mve(const int8_t *table, const int8_t *in, int8_t *out, int32_t n) {
    __asm volatile("wlstp.8 lr, %[n], 2f\n"
                   "1:\n"
                   "vldrb.u8 q0, [%[in]], #16\n"
                   "vldrb.u8 q1, [%[table], q0]\n"
                   "vstrb.8 q1, [%[out]], #16\n"
                   "letp lr, 1b\n"
                   "2:\n"
                   : [in] "+r"(in), [out] "+r"(out)
                   : [table] "r"(table), [n] "r"(n)
                   : "lr", "q0", "q1", "memory");
}

#else

static inline void lut_mve(const int8_t *table, const int8_t *in, int8_t *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = table[(uint8_t)in[i]];
    }
}

#endif

EDGEQ_KERNEL void edgeq_lut_mve(const edgeq_lut_params *p, const int8_t *in, int8_t *out) {
    lut_mve(p->table, in, out, p->n);
}
