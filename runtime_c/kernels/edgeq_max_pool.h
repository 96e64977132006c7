/* max_pool: the largest value in each window, NHWC, batch 1. See SPEC.md, "max_pool".
 *
 * in  [in_h][in_w][channels], out [out_h][out_w][channels]. Where they may overlap: SPEC.md.
 * Taps outside the input are skipped.
 */
#ifndef EDGEQ_MAX_POOL_H
#define EDGEQ_MAX_POOL_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    edgeq_window window;
    int32_t channels;
} edgeq_max_pool_params;

void edgeq_max_pool(const edgeq_max_pool_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_max_pool. */
void edgeq_max_pool_mve(const edgeq_max_pool_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
