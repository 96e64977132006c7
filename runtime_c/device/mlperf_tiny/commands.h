/* The serial interface of MLPerf Tiny (EEMBC's ULPMark-ML), performance and accuracy mode. The benchmark's runner sends
 * commands that end in '%' and reads lines until one is m-ready; README.md has the table. */
#ifndef MLPERF_COMMANDS_H
#define MLPERF_COMMANDS_H

#include <stdint.h>

/* What a device says when it is on. */
void commands_start(void);

/* Takes the next byte received. The one that ends a command executes it: the answer ends in m-ready, whatever the bytes
 * were, and nothing is said before. */
void commands_take(uint8_t byte);

#endif
