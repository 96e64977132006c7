#include "edgeq_add.h"

static void add_row(const edgeq_add_params *p, const int8_t *x1, int32_t step_1, const int8_t *x2, int32_t step_2,
                    int8_t *out) {
    for (int32_t i = 0; i < p->n; i++) {
        const int32_t acc = p->m1 * x1[i * step_1] + p->m2 * x2[i * step_2] + p->bias;
        out[i] = edgeq_requantize(acc, p->shift, p->lo, p->hi);
    }
}

EDGEQ_KERNEL void edgeq_add(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    add_row(p, in1, 1, in2, 1, out);
}

EDGEQ_KERNEL void edgeq_add_broadcast(const edgeq_add_broadcast_params *p, const int8_t *in1, const int8_t *in2,
                                      int8_t *out) {
    edgeq_broadcast_row row = {{0, 0, 0}, 0, 0};
    do {
        add_row(&p->add, in1 + row.offset_1, p->walk.step_1[3], in2 + row.offset_2, p->walk.step_2[3], out);
        out += p->add.n;
    } while (edgeq_next_row(&p->walk, &row));
}

EDGEQ_KERNEL void edgeq_add_const(const edgeq_add_broadcast_params *p, const int8_t *in, int8_t *out) {
    edgeq_add_broadcast(p, in, p->constant, out);
}
