/* copy: a strided walk over the input. See SPEC.md, "copy".
 *
 * out[i] = in[offset + sum of index[d] * step[d]], the last axis fastest. Where they may overlap: SPEC.md.
 */
#ifndef EDGEQ_COPY_H
#define EDGEQ_COPY_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { EDGEQ_COPY_AXES = 6 };

typedef struct {
    int32_t offset;
    const int32_t *size; /* [6], outermost first; unused axes come first and have size 1 */
    const int32_t *step; /* [6], in bytes of the input; may be negative or 0 */
} edgeq_copy_params;

void edgeq_copy(const edgeq_copy_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_copy. */
void edgeq_copy_mve(const edgeq_copy_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
