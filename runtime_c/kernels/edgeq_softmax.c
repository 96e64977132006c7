#include "edgeq_softmax.h"

/* floor(256 * e / sum + 1/2) by long division, e <= sum < 2^31; without a branch, so that time does not depend on values. */
static int32_t quotient_256(uint32_t e, uint32_t sum) {
    int32_t quotient = 0;
    for (int bit = 0; bit < 8; bit++) { /* invariant: e <= sum; e == sum yields eight ones */
        const int32_t rest = (int32_t)(2 * e - sum);
        const int32_t less = rest >> 31; /* -1 where sum does not fit into 2 * e, else 0 */
        e = (uint32_t)(rest + ((int32_t)sum & less));
        quotient = 2 * quotient + 1 + less;
    }
    return quotient + (2 * e >= sum);
}

EDGEQ_KERNEL void edgeq_softmax(const edgeq_softmax_params *p, const int8_t *in, int8_t *out) {
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t max = in[0];
        for (int32_t i = 1; i < p->n; i++) {
            max = in[i] > max ? in[i] : max;
        }
        uint32_t sum = 0;
        for (int32_t i = 0; i < p->n; i++) {
            sum += p->table[max - in[i]];
        }
        for (int32_t i = 0; i < p->n; i++) {
            const int32_t quotient = quotient_256(p->table[max - in[i]], sum);
            out[i] = (int8_t)(quotient - (quotient >> 8) - 128); /* 256 becomes 127 too */
        }
        in += p->n;
        out += p->n;
    }
}
