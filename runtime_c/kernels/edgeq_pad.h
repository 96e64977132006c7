/* pad: copies a tensor into a larger one. See SPEC.md, "pad".
 *
 * in [..][in_w][in_c][run], out [out_h][out_w][out_c][run]. Where they may overlap: SPEC.md.
 * out[i][j][k] = in[row[i]][column[j]][channel[k]], or fill where one of the three is -1.
 */
#ifndef EDGEQ_PAD_H
#define EDGEQ_PAD_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t run;             /* elements moved together */
    const int16_t *row;      /* [out_h], -1 or a row of the input */
    const int16_t *column;   /* [out_w] */
    const int16_t *channel;  /* [out_c] */
    int8_t fill;
} edgeq_pad_params;

void edgeq_pad(const edgeq_pad_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_pad. */
void edgeq_pad_mve(const edgeq_pad_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
