#include "edgeq_pad.h"

#include <string.h>

EDGEQ_KERNEL void edgeq_pad(const edgeq_pad_params *p, const int8_t *in, int8_t *out) {
    const size_t bytes = (size_t)p->run;
    for (int32_t i = 0; i < p->out_h; i++) {
        const int32_t row = p->row[i];
        for (int32_t j = 0; j < p->out_w; j++) {
            const int32_t column = p->column[j];
            for (int32_t k = 0; k < p->out_c; k++) {
                const int32_t channel = p->channel[k];
                if (row < 0 || column < 0 || channel < 0) {
                    memset(out, p->fill, bytes);
                } else {
                    memmove(out, in + ((row * p->in_w + column) * p->in_c + channel) * p->run, bytes);
                }
                out += p->run;
            }
        }
    }
}
