#include "edgeq_fully_connected.h"

#include "edgeq_linear_mve.h"

EDGEQ_KERNEL void edgeq_fully_connected_mve(const edgeq_fully_connected_mve_params *p, const int8_t *in, int8_t *out,
                                            void *scratch) {
    const int8_t *x = in;
    if (p->in_n % EDGEQ_MVE_CHUNK != 0) {
        edgeq_mve_copy((int8_t *)scratch, in, p->in_n);
        x = (const int8_t *)scratch;
    }
    edgeq_mve_vector(x, p->weight, p->chunks, p->out_n, out);
    edgeq_mve_clamp(out, p->out_n, p->lo, p->hi);
}
