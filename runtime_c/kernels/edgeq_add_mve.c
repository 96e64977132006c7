#include "edgeq_add.h"

#include "edgeq_binary_mve.h"

static inline edgeq_mve_weights add_mve_weights(const edgeq_add_params *p) {
    const edgeq_mve_weights w = {p->m1, p->m2, p->bias, p->shift};
    return w;
}

EDGEQ_KERNEL void edgeq_add_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    const edgeq_mve_weights w = add_mve_weights(p);
    edgeq_mve_sum_32(&w, in1, in2, out, p->n);
    edgeq_mve_clamp(out, p->n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_add_16_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out) {
    const edgeq_mve_weights w = add_mve_weights(p);
    edgeq_mve_sum_16(&w, in1, in2, out, p->n);
    edgeq_mve_clamp(out, p->n, p->lo, p->hi);
}

EDGEQ_KERNEL void edgeq_add_broadcast_mve(const edgeq_add_broadcast_params *p, const int8_t *in1, const int8_t *in2,
                                          int8_t *out) {
    const int32_t n = p->add.n, step_1 = p->walk.step_1[3], step_2 = p->walk.step_2[3];
    edgeq_broadcast_row row = {{0, 0, 0}, 0, 0};
    do {
        const int8_t *x1 = in1 + row.offset_1, *x2 = in2 + row.offset_2;
        edgeq_mve_weights w = add_mve_weights(&p->add);
        if (step_1 == 0) { /* one element for the whole row goes into the bias */
            w.bias += w.m1 * *x1;
            w.m1 = 0;
            x1 = x2;
        }
        if (step_2 == 0) {
            w.bias += w.m2 * *x2;
            w.m2 = 0;
            x2 = x1;
        }
        edgeq_mve_sum_32(&w, x1, x2, out, n);
        edgeq_mve_clamp(out, n, p->add.lo, p->add.hi);
        out += n;
    } while (edgeq_next_row(&p->walk, &row));
}

EDGEQ_KERNEL void edgeq_add_const_mve(const edgeq_add_broadcast_params *p, const int8_t *in, int8_t *out) {
    edgeq_add_broadcast_mve(p, in, p->constant, out);
}
