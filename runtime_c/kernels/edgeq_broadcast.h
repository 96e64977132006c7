/* The walk over two operands of which either may stand still along an axis. */
#ifndef EDGEQ_BROADCAST_H
#define EDGEQ_BROADCAST_H

#include "edgeq.h"

/* Four nested loops, outermost first; the last is the row. Steps are in elements, 0 where the operand stands still. */
typedef struct {
    const int32_t *size;   /* [4] */
    const int32_t *step_1; /* [4], of the first operand */
    const int32_t *step_2; /* [4], of the second operand */
} edgeq_broadcast;

/* The start of a row in both operands; all zero at first. */
typedef struct {
    int32_t at[3];
    int32_t offset_1, offset_2;
} edgeq_broadcast_row;

/* Moves to the next row; 0 after the last. */
static inline int edgeq_next_row(const edgeq_broadcast *walk, edgeq_broadcast_row *row) {
    for (int d = 2; d >= 0; d--) {
        row->offset_1 += walk->step_1[d];
        row->offset_2 += walk->step_2[d];
        row->at[d]++;
        if (row->at[d] < walk->size[d]) {
            return 1;
        }
        row->offset_1 -= walk->size[d] * walk->step_1[d];
        row->offset_2 -= walk->size[d] * walk->step_2[d];
        row->at[d] = 0;
    }
    return 0;
}

#endif
