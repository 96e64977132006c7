#include "edgeq_flip_sign.h"

EDGEQ_KERNEL void edgeq_flip_sign(const edgeq_flip_sign_params *p, const int8_t *in, int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        out[i] = (int8_t)(in[i] ^ -128);
    }
}
