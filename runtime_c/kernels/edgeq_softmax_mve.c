#include "edgeq_softmax.h"

#include <arm_mve.h>

enum { SOFTMAX_MVE_BYTES = 16, SOFTMAX_MVE_HALVES = 8, SOFTMAX_MVE_WORDS = 4 };

static int32_t softmax_mve_max(const int8_t *in, int32_t n) {
    int8_t max = -128;
    for (int32_t i = 0; i < n; i += SOFTMAX_MVE_BYTES) {
        const mve_pred16_t inside = vctp8q((uint32_t)(n - i));
        max = vmaxvq_p_s8(max, vldrbq_z_s8(in + i, inside), inside);
    }
    return max;
}

static uint32_t softmax_mve_sum(const uint16_t *table, const int8_t *in, int32_t n, int32_t max) {
    const int16x8_t top = vdupq_n_s16((int16_t)max);
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i += SOFTMAX_MVE_HALVES) {
        const mve_pred16_t inside = vctp16q((uint32_t)(n - i));
        const int16x8_t d = vsubq_s16(top, vldrbq_z_s16(in + i, inside));
        sum = vaddvaq_u16(sum, vldrhq_gather_shifted_offset_z_u16(table, vreinterpretq_u16_s16(d), inside));
    }
    return sum;
}

/* floor(256 * e / sum + 1/2) by long division, e <= sum < 2^31. */
static inline uint32x4_t softmax_mve_quotient(uint32x4_t e, uint32x4_t sum) {
    uint32x4_t quotient = vdupq_n_u32(0);
    for (int bit = 0; bit < 8; bit++) { /* invariant: e <= sum; e == sum yields eight ones */
        e = vaddq_u32(e, e);
        quotient = vaddq_u32(quotient, quotient);
        const mve_pred16_t one = vcmpcsq_u32(e, sum);
        e = vsubq_m_u32(e, e, sum, one);
        quotient = vaddq_m_n_u32(quotient, quotient, 1, one);
    }
    return vaddq_m_n_u32(quotient, quotient, 1, vcmpcsq_u32(vaddq_u32(e, e), sum));
}

EDGEQ_KERNEL void edgeq_softmax_mve(const edgeq_softmax_params *p, const int8_t *in, int8_t *out) {
    const int32_t n = p->n;
    for (int32_t row = p->rows; row > 0; row--) {
        const int32_t max = softmax_mve_max(in, n);
        const int32x4_t top = vdupq_n_s32(max);
        const uint32x4_t sum = vdupq_n_u32(softmax_mve_sum(p->table, in, n, max));
        for (int32_t i = 0; i < n; i += SOFTMAX_MVE_WORDS) {
            const mve_pred16_t inside = vctp32q((uint32_t)(n - i));
            const int32x4_t d = vsubq_s32(top, vldrbq_z_s32(in + i, inside));
            const uint32x4_t e = vldrhq_gather_shifted_offset_z_u32(p->table, vreinterpretq_u32_s32(d), inside);
            const uint32x4_t q = vminq_u32(softmax_mve_quotient(e, sum), vdupq_n_u32(255));
            vstrbq_p_s32(out + i, vsubq_n_s32(vreinterpretq_s32_u32(q), 128), inside);
        }
        in += n;
        out += n;
    }
}
