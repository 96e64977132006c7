#include "edgeq_prelu.h"

EDGEQ_KERNEL void edgeq_prelu(const edgeq_prelu_params *p, const int8_t *in, int8_t *out) {
    for (int32_t row = 0; row < p->rows; row++) {
        for (int32_t c = 0; c < p->channels; c++) {
            const int32_t d = in[c] - p->zero_point, below = p->m_neg[c];
            const int32_t acc = d * (d >= 0 ? p->m_pos : below) + p->bias;
            out[c] = edgeq_requantize(acc, p->shift, p->lo, p->hi);
        }
        in += p->channels;
        out += p->channels;
    }
}
