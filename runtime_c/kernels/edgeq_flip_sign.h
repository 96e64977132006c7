/* flip_sign: uint8 to int8. See SPEC.md, "flip_sign".
 *
 * in [n] uint8_t, passed as int8_t as all tensors are; out [n], which may be the same memory.
 */
#ifndef EDGEQ_FLIP_SIGN_H
#define EDGEQ_FLIP_SIGN_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t n;
} edgeq_flip_sign_params;

void edgeq_flip_sign(const edgeq_flip_sign_params *p, const int8_t *in, int8_t *out);

/* Helium: as edgeq_flip_sign. */
void edgeq_flip_sign_mve(const edgeq_flip_sign_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
