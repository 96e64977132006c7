/* Text to the serial port: what printf would do, without its size, its stack and its heap. */
#ifndef MLPERF_TEXT_H
#define MLPERF_TEXT_H

#include <stdint.h>

void text_put(const char *text);

void text_unsigned(uint64_t value);

/* Two digits. */
void text_hex(uint8_t byte);

/* Nine decimals, half up: all digits of a multiple of 2^-9. nan, and inf from 1.8e10 on, as there are no more digits. */
void text_real(double value);

#endif
