/* add: the sum or difference of two operands, element by element. See SPEC.md, "add".
 *
 * out = clamp((m1 * in1 + m2 * in2 + bias) >> shift, lo, hi).
 * Where out may overlap an operand: SPEC.md.
 */
#ifndef EDGEQ_ADD_H
#define EDGEQ_ADD_H

#include "edgeq_broadcast.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t n;       /* elements in a row; edgeq_add has one row */
    int32_t m1, m2;  /* negative for a subtracted operand */
    int32_t bias;    /* zero points and rounding */
    uint8_t shift;   /* 0..31 */
    int32_t lo, hi;  /* -128..127 */
} edgeq_add_params;

typedef struct {
    edgeq_add_params add;
    edgeq_broadcast walk;
    const int8_t *constant; /* second operand of edgeq_add_const, otherwise unused */
} edgeq_add_broadcast_params;

/* Two tensors of n elements. */
void edgeq_add(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* Two tensors, either of them broadcast. */
void edgeq_add_broadcast(const edgeq_add_broadcast_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* A tensor and p->constant, either of them broadcast. */
void edgeq_add_const(const edgeq_add_broadcast_params *p, const int8_t *in, int8_t *out);

/* As edgeq_add, for Armv7E-M and Armv8-M with DSP; m1 and m2 are in the range of int16. */
void edgeq_add_dsp(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* Helium: as edgeq_add; the second where (|m1| + |m2|) * 128 + |bias| fits 16 bits and shift is at most 15. */
void edgeq_add_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);
void edgeq_add_16_mve(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* Armv7-M: as edgeq_add. */
void edgeq_add_v7m(const edgeq_add_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

typedef struct {
    int32_t n;
    int32_t m1, m2;   /* negative for a subtracted operand */
    int32_t bias;     /* zero points and rounding, less hi << shift */
    int32_t shift;    /* 0..31 */
    int32_t span, lo; /* hi - lo, lo */
} edgeq_add_v6m_params;

/* As edgeq_add, for Armv6-M, and any other. */
void edgeq_add_v6m(const edgeq_add_v6m_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);

/* Helium: as edgeq_add_broadcast and edgeq_add_const. */
void edgeq_add_broadcast_mve(const edgeq_add_broadcast_params *p, const int8_t *in1, const int8_t *in2, int8_t *out);
void edgeq_add_const_mve(const edgeq_add_broadcast_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
