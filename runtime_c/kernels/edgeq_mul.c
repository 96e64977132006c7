#include "edgeq_mul.h"

static void mul_row(const edgeq_mul_params *p, const int8_t *x1, int32_t step_1, const int8_t *x2, int32_t step_2,
                    int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        const int32_t acc = (x1[i * step_1] - p->z1) * (x2[i * step_2] - p->z2) * p->m + p->bias;
        out[i] = edgeq_requantize(acc, p->shift, p->lo, p->hi);
    }
}

EDGEQ_KERNEL void edgeq_mul(const edgeq_mul_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    mul_row(p, in1, 1, in2, 1, out);
}

EDGEQ_KERNEL void edgeq_mul_broadcast(const edgeq_mul_broadcast_params *p, const int8_t *in1, const int8_t *in2,
                                      int8_t *out) {
    edgeq_broadcast_row row = {{0, 0, 0}, 0, 0};
    do {
        mul_row(&p->mul, in1 + row.offset_1, p->walk.step_1[3], in2 + row.offset_2, p->walk.step_2[3], out);
        out += p->mul.n;
    } while (edgeq_next_row(&p->walk, &row));
}

EDGEQ_KERNEL void edgeq_mul_const(const edgeq_mul_broadcast_params *p, const int8_t *in, int8_t *out) {
    edgeq_mul_broadcast(p, in, p->constant, out);
}
