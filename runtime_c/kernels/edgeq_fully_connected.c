#include "edgeq_fully_connected.h"

#include "edgeq_linear.h"

EDGEQ_KERNEL void edgeq_fully_connected(const edgeq_fully_connected_params *p, const int8_t *in, int8_t *out) {
    edgeq_linear(in, p->weight, p->bias, p->shift, p->in_n, p->out_n, p->lo, p->hi, out);
}
