/* The serial interface of MLPerf Tiny (EEMBC's ULPMark-ML), performance and accuracy mode. The benchmark's runner sends
 * commands that end in '%' and reads lines until one is m-ready; README.md has the table. */
#ifndef MLPERF_COMMANDS_H
#define MLPERF_COMMANDS_H

#include "device.h"

/* What a device says when it is on. fault: which one ended the run before, or 0. */
void commands_start(const device_fault *fault);

/* Takes the next byte received. The one that ends a command executes it: the answer ends in m-ready, whatever the bytes
 * were, and nothing is said before. */
void commands_take(uint8_t byte);

#endif
