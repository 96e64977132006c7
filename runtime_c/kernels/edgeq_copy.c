#include "edgeq_copy.h"

#include <string.h>

EDGEQ_KERNEL void edgeq_copy(const edgeq_copy_params *p, const int8_t *in, int8_t *out) {
    enum { LAST = EDGEQ_COPY_AXES - 1 };
    int32_t index[EDGEQ_COPY_AXES] = {0};
    const int32_t row = p->size[LAST], step = p->step[LAST];
    int32_t at = p->offset, axis = LAST;
    while (axis >= 0) {
        if (step == 1) {
            memmove(out, in + at, (size_t)row);
        } else {
            for (int32_t i = 0; i < row; i++) {
                out[i] = in[at + i * step];
            }
        }
        out += row;
        for (axis = LAST - 1; axis >= 0; axis--) { /* next row: an odometer over the outer axes */
            at += p->step[axis];
            if (++index[axis] < p->size[axis]) {
                break;
            }
            at -= index[axis] * p->step[axis];
            index[axis] = 0;
        }
    }
}
