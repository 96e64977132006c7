/* softmax: exp(x) over the row's sum of exp(x). See SPEC.md, "softmax".
 *
 * in and out [rows][n]; they may be the same memory. out has 8 frac_bits and zero point -128.
 */
#ifndef EDGEQ_SOFTMAX_H
#define EDGEQ_SOFTMAX_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows;
    int32_t n;              /* 1..32768 */
    const uint16_t *table;  /* [256], 65535 * exp(-d * scale of the input) */
} edgeq_softmax_params;

void edgeq_softmax(const edgeq_softmax_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_softmax. */
void edgeq_softmax_mve(const edgeq_softmax_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
