/* mul: the product of two operands, element by element. See SPEC.md, "mul".
 *
 * out = clamp(((in1 - z1) * (in2 - z2) * m + bias) >> shift, lo, hi).
 * Where out may overlap an operand: SPEC.md.
 */
#ifndef EDGEQ_MUL_H
#define EDGEQ_MUL_H

#include "edgeq_broadcast.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t n;       /* elements in a row; edgeq_mul has one row */
    int16_t z1, z2;  /* zero points of the operands */
    int32_t m;       /* ratio of the scales times 2^shift */
    int32_t bias;    /* the output's zero point and rounding */
    uint8_t shift;   /* 0..31 */
    int32_t lo, hi;  /* -128..127 */
} edgeq_mul_params;

typedef struct {
    edgeq_mul_params mul;
    edgeq_broadcast walk;
    const int8_t *constant; /* second operand of edgeq_mul_const, otherwise unused */
} edgeq_mul_broadcast_params;

/* Two tensors of n elements. */
void edgeq_mul(const edgeq_mul_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* Two tensors, either of them broadcast. */
void edgeq_mul_broadcast(const edgeq_mul_broadcast_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* A tensor and p->constant, either of them broadcast. */
void edgeq_mul_const(const edgeq_mul_broadcast_params *p, const int8_t *in, int8_t *out);

/* Helium: the same. */
void edgeq_mul_mve(const edgeq_mul_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);
void edgeq_mul_broadcast_mve(const edgeq_mul_broadcast_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);
void edgeq_mul_const_mve(const edgeq_mul_broadcast_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
