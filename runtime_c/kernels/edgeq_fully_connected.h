/* fully_connected: a matrix times a vector. See SPEC.md, "fully_connected".
 *
 * in [in_n], out [out_n], no overlap between them.
 */
#ifndef EDGEQ_FULLY_CONNECTED_H
#define EDGEQ_FULLY_CONNECTED_H

#include "edgeq.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_n, out_n;
    const int8_t *weight;  /* [out_n][in_n] */
    const int32_t *bias;   /* [out_n], with zero points and rounding folded in */
    const uint8_t *shift;  /* [out_n], 0..31 */
    int32_t lo, hi;        /* -128..127 */
} edgeq_fully_connected_params;

/* Packed for Armv7E-M and Armv8-M with DSP; 4 or more outputs. */
typedef struct {
    int32_t in_n, out_n;
    int32_t early_n;       /* for edgeq_fully_connected_early_dsp: out_n rounded down to a multiple of 4, less 2 * in_n */
    const int32_t *weight; /* outputs by fours with their biases and shifts, see SPEC.md */
    int32_t lo, hi;        /* -128..127 */
} edgeq_fully_connected_dsp_params;

void edgeq_fully_connected(const edgeq_fully_connected_params *p, const int8_t *in, int8_t *out);

/* scratch: in_n rounded up to a multiple of 4, times 2, bytes, aligned to 4. */
void edgeq_fully_connected_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out, void *scratch);

/* Slower, without scratch; in_n is a multiple of 4. */
void edgeq_fully_connected_long_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out);

/* The first early_n outputs as edgeq_fully_connected_dsp, with memory of the others as scratch; those as
 * edgeq_fully_connected_long_dsp. out is aligned to 4. */
void edgeq_fully_connected_early_dsp(const edgeq_fully_connected_dsp_params *p, const int8_t *in, int8_t *out);

typedef struct {
    int32_t in_n, out_n;
    int32_t chunks;         /* in_n / 16, rounded up */
    const int8_t *weight;   /* blocks of four outputs with biases and shifts, see SPEC.md */
    int32_t lo, hi;         /* -128..127 */
} edgeq_fully_connected_mve_params;

/* Helium. scratch: 16 * chunks bytes where in_n is no multiple of 16. */
void edgeq_fully_connected_mve(const edgeq_fully_connected_mve_params *p, const int8_t *in, int8_t *out, void *scratch);

typedef struct {
    int32_t in_n, out_n;
    const int32_t *weight; /* outputs by eights: 8 biases, [in_n][8] weights, 8 shifts in two words */
    int32_t lo, hi;        /* -128..127 */
} edgeq_fully_connected_v7m_params;

/* Armv7-M; 8 or more outputs. */
void edgeq_fully_connected_v7m(const edgeq_fully_connected_v7m_params *p, const int8_t *in, int8_t *out);

/* Armv6-M, and any other; 4 or more outputs; biases are less hi << shift. */
void edgeq_fully_connected_v6m(const edgeq_fully_connected_params *p, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif
#endif
