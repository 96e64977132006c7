#include "edgeq_add.h"
#include "edgeq_v7m.h"

EDGEQ_KERNEL void edgeq_add_v7m(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    const int32_t m1 = p->m1, m2 = p->m2, bias = p->bias, shift = p->shift, whole = p->n / 4 * 4;
    int8_t *to = out;
    for (const int8_t *const end = in1 + whole; in1 != end;) {
        const int32_t sum0 = m2 * in2[0] + (m1 * in1[0] + bias);
        const int32_t sum1 = m2 * in2[1] + (m1 * in1[1] + bias);
        const int32_t sum2 = m2 * in2[2] + (m1 * in1[2] + bias);
        const int32_t sum3 = m2 * in2[3] + (m1 * in1[3] + bias);
        in1 += 4;
        in2 += 4;
        to[0] = edgeq_v7m_saturate(sum0 >> shift);
        to[1] = edgeq_v7m_saturate(sum1 >> shift);
        to[2] = edgeq_v7m_saturate(sum2 >> shift);
        to[3] = edgeq_v7m_saturate(sum3 >> shift);
        to += 4;
    }
    for (int32_t i = 0; i < p->n - whole; i++) {
        to[i] = edgeq_v7m_saturate((m2 * in2[i] + (m1 * in1[i] + bias)) >> shift);
    }
    edgeq_v7m_clamp(out, p->n, p->lo, p->hi);
}
