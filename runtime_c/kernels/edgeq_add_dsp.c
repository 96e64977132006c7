#include "edgeq_add.h"
#include "edgeq_dsp.h"

EDGEQ_KERNEL void edgeq_add_dsp(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    const uint32_t m = (uint32_t)(uint16_t)p->m1 | (uint32_t)p->m2 << 16;
    const int32_t bias = p->bias, shift = p->shift, whole = p->n / 4 * 4;
    int8_t *to = out;
    for (const int8_t *const end = in1 + whole; in1 != end;) {
        const uint32_t word1 = edgeq_dsp_load4(in1), word2 = edgeq_dsp_load4(in2);
        const uint32_t even1 = edgeq_dsp_even(word1), odd1 = edgeq_dsp_odd(word1);
        const uint32_t even2 = edgeq_dsp_even(word2), odd2 = edgeq_dsp_odd(word2);
        const int32_t sum0 = edgeq_dsp_mac2(edgeq_dsp_bottoms(even1, even2), m, bias);
        const int32_t sum1 = edgeq_dsp_mac2(edgeq_dsp_bottoms(odd1, odd2), m, bias);
        const int32_t sum2 = edgeq_dsp_mac2(edgeq_dsp_tops(even1, even2), m, bias);
        const int32_t sum3 = edgeq_dsp_mac2(edgeq_dsp_tops(odd1, odd2), m, bias);
        in1 += 4;
        in2 += 4;
        to[0] = edgeq_dsp_saturate(sum0 >> shift);
        to[1] = edgeq_dsp_saturate(sum1 >> shift);
        to[2] = edgeq_dsp_saturate(sum2 >> shift);
        to[3] = edgeq_dsp_saturate(sum3 >> shift);
        to += 4;
    }
    for (int32_t i = 0; i < p->n - whole; i++) {
        to[i] = edgeq_dsp_saturate((p->m1 * in1[i] + p->m2 * in2[i] + bias) >> shift);
    }
    edgeq_dsp_clamp(out, p->n, p->lo, p->hi);
}
