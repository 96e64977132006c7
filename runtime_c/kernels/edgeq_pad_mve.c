#include "edgeq_pad.h"

#include "edgeq_mve.h"

EDGEQ_KERNEL void edgeq_pad_mve(const edgeq_pad_params *p, const int8_t *in, int8_t *out) {
    const int32_t run = p->run, out_w = p->out_w, out_c = p->out_c, in_c = p->in_c;
    const int16_t *columns = p->column, *channels = p->channel;
    for (int32_t i = 0; i < p->out_h; i++) {
        const int32_t row = p->row[i];
        for (int32_t j = 0; j < out_w; j++) {
            const int32_t column = columns[j];
            const int8_t *pixel = in + (row * p->in_w + column) * in_c * run;
            for (int32_t k = 0; k < out_c; k++) {
                const int32_t channel = channels[k];
                if ((row | column | channel) < 0) {
                    edgeq_mve_fill(out, p->fill, run);
                } else {
                    edgeq_mve_copy(out, pixel + channel * run, run);
                }
                out += run;
            }
        }
    }
}
