/* Bytes from an interrupt to the program, for port.c where the UART itself keeps too few. */
#ifndef RING_H
#define RING_H

#include <stdint.h>

enum { RING_BYTES = 256 }; /* a power of two; receive_bytes in board.toml */

typedef struct {
    volatile uint32_t put, got; /* counted modulo 2^32; each is written on one side only */
    volatile uint8_t bytes[RING_BYTES];
} ring;

/* In the interrupt. A byte that finds the ring full is lost: the protocol finds that out. */
static inline void ring_put(ring *r, uint8_t byte) {
    if (r->put - r->got < RING_BYTES) {
        r->bytes[r->put % RING_BYTES] = byte;
        r->put++;
    }
}

/* In the program. The next byte, or -1. */
static inline int32_t ring_get(ring *r) {
    if (r->put == r->got) {
        return -1;
    }
    const uint8_t byte = r->bytes[r->got % RING_BYTES];
    r->got++;
    return byte;
}

/* In the program. Sleeps where the ring is empty. An interrupt between the look and the sleep stays pending and ends it. */
static inline void ring_wait(const ring *r) {
    __asm volatile("cpsid i" ::: "memory");
    if (r->put == r->got) {
        __asm volatile("dsb\n wfi" ::: "memory");
    }
    __asm volatile("cpsie i" ::: "memory");
}

#endif
