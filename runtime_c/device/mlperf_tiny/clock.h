/* The board's counter, extended to 64 bits. A 32-bit one wraps after nine seconds at 480 MHz: within a window. */
#ifndef MLPERF_CLOCK_H
#define MLPERF_CLOCK_H

#include <stdint.h>

/* Counts since the counter's start. Right where it is called more often than the counter wraps, every 2^32 counts: every line
 * said does, and the end of every layer. So what bounds a window is one layer: of 9 s at 480 MHz, of 67 s at 64 MHz. Between
 * commands the core sleeps, and wraps go unseen: time goes on from where it was, never back. */
uint64_t clock_now(void);

/* Counts as microseconds, rounded down. */
uint64_t clock_us(uint64_t counts);

#endif
