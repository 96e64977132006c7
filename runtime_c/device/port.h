/* What a board provides to the programs that talk over its serial port: port.c in its folder. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

/* Sets up clocks, the UART (8 bits, no parity, 1 stop bit, no flow control, at board.toml's rate) and the counter. */
void port_start(void);

/* The next byte received, or -1. Never waits. What arrives between two calls is kept: up to `receive_bytes` of board.toml
 * (the UART's own, where port.c has no buffer). */
int32_t port_read(void);

/* Sleeps until a byte may have arrived; may return before that. A program that finds nothing to read calls it before it
 * looks again: the core rests, and QEMU, whose model of some UARTs takes the next byte only while the core does, goes on.
 * */
void port_wait(void);

/* Waits until the UART has taken the byte. */
void port_write(uint8_t byte);

/* Counts up freely, modulo 2^32, at board.toml's rate; what it counts stands there too. */
uint32_t port_count(void);

/* Restarts the counter at 0, in phase with the core: where time passes only as instructions do (QEMU -icount), what follows
 * then takes the same count each time. */
void port_count_restart(void);

#endif
