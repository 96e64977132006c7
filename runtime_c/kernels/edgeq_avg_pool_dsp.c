#include "edgeq_avg_pool.h"
#include "edgeq_dsp.h"

enum { AVG_POOL_DSP_RUN = 255 }; /* pixels whose sum fits int16 */

EDGEQ_KERNEL void edgeq_avg_pool_whole_dsp(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const int32_t pixels = p->window.in_h * p->window.in_w, half = (1 << p->pre_shift) >> 1;
    for (int32_t c = 0; c < p->channels; c += 4) {
        const int8_t *pixel = in + c;
        int32_t sum[4];
        for (int32_t i = 0; i < 4; i++) {
            sum[i] = half - pixels * p->zero_point;
        }
        for (int32_t left = pixels; left > 0; left -= AVG_POOL_DSP_RUN) {
            uint32_t even = 0, odd = 0;
            for (int32_t n = left < AVG_POOL_DSP_RUN ? left : AVG_POOL_DSP_RUN; n > 0; n--) {
                const uint32_t word = edgeq_dsp_load4(pixel);
                even = edgeq_dsp_add_even(even, word);
                odd = edgeq_dsp_add_odd(odd, word);
                pixel += p->channels;
            }
            sum[0] += (int16_t)(uint16_t)even;
            sum[1] += (int16_t)(uint16_t)odd;
            sum[2] += (int16_t)(uint16_t)(even >> 16);
            sum[3] += (int16_t)(uint16_t)(odd >> 16);
        }
        for (int32_t i = 0; i < 4; i++) {
            out[c + i] = edgeq_requantize((sum[i] >> p->pre_shift) * p->m + p->bias, p->shift, p->lo, p->hi);
        }
    }
}
