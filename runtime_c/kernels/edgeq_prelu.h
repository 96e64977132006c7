/* prelu: x above zero, slope[c] * x below. See SPEC.md, "prelu".
 *
 * in and out [rows][channels]; they may be the same memory.
 * d = in - zero_point; out = clamp((d * (d >= 0 ? m_pos : m_neg[c]) + bias) >> shift, lo, hi).
 */
#ifndef EDGEQ_PRELU_H
#define EDGEQ_PRELU_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows, channels;
    int16_t zero_point;    /* of the input */
    int32_t m_pos;         /* ratio of the scales times 2^shift */
    const int32_t *m_neg;  /* [channels], the same times the slope */
    int32_t bias;          /* the output's zero point and rounding */
    uint8_t shift;         /* 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_prelu_params;

void edgeq_prelu(const edgeq_prelu_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_prelu. */
void edgeq_prelu_mve(const edgeq_prelu_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
