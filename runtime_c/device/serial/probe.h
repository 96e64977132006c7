/* Runs of the model, and what is written down as a layer ends: later its memory holds something else. */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

/* Each runs the model once, which may overwrite the inputs. Numbers are written as by frame_put32. */

/* Returns the count of the run. */
uint32_t probe_count_run(void);

/* CRC-32 of the output of each of the layers first .. first + count - 1. */
void probe_crcs(uint32_t first, uint32_t count, uint8_t *to);

/* The count of each of these layers; before them that of a layer without code, which is what counting itself takes. */
void probe_counts(uint32_t first, uint32_t count, uint8_t *to);

/* Bytes of the output of a layer. */
void probe_read(uint32_t layer, uint32_t offset, uint32_t bytes, uint8_t *to);

/* The layer in which the last run was interrupted by a fault; PROBE_NO_LAYER: in none. */
uint32_t probe_running(void);
#define PROBE_NO_LAYER 0xFFFFFFFFU

#endif
