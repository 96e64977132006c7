/* concat: places one input's rows in the rows of the output; called once an input. See SPEC.md, "concat".
 *
 * in [rows][width], out [rows][out_width]. Where they may overlap: SPEC.md.
 */
#ifndef EDGEQ_CONCAT_H
#define EDGEQ_CONCAT_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows, width, out_width;
    int32_t start; /* of this input within a row of the output */
} edgeq_concat_params;

void edgeq_concat(const edgeq_concat_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_concat. */
void edgeq_concat_mve(const edgeq_concat_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
