/* lut: a function of one tensor as a table. See SPEC.md, "lut".
 *
 * in [n], out [n]; they may be the same memory.
 */
#ifndef EDGEQ_LUT_H
#define EDGEQ_LUT_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t n;
    const int8_t *table; /* [256], by the input's byte read as unsigned */
} edgeq_lut_params;

void edgeq_lut(const edgeq_lut_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_lut. */
void edgeq_lut_mve(const edgeq_lut_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
