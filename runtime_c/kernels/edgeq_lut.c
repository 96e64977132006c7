#include "edgeq_lut.h"

EDGEQ_KERNEL void edgeq_lut(const edgeq_lut_params *p, const int8_t *in, int8_t *out) {
    const int8_t *table = p->table;
    for (int32_t i = 0; i < p->n; i++) {
        out[i] = table[(uint8_t)in[i]];
    }
}
