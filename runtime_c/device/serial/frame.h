/* Messages on a serial line, between zero bytes: COBS of the message and its CRC-32. SPEC.md, "Serial protocol". */
#ifndef FRAME_H
#define FRAME_H

#include <stdint.h>

/* The largest payload in bytes, at least 256. A program has two buffers of this size. */
#ifndef FRAME_PAYLOAD
#define FRAME_PAYLOAD 1024
#endif
#if FRAME_PAYLOAD < 256 || FRAME_PAYLOAD > 65535
#error "FRAME_PAYLOAD is 256 to 65535"
#endif

enum { FRAME_HEADER = 6, FRAME_CRC = 4, FRAME_BYTES = FRAME_HEADER + FRAME_PAYLOAD + FRAME_CRC };

/* All zero to begin with. */
typedef struct {
    uint8_t bytes[FRAME_BYTES]; /* what has been decoded of the frame that is arriving */
    uint32_t length;            /* counts on where it does not fit */
    uint8_t block, left;        /* COBS: the block's code byte; its bytes to come */
} frame_receiver;

/* Takes the next byte of the line. Returns how long the message in `bytes` is, without CRC, where the byte ends an intact
 * one; otherwise 0. */
uint32_t frame_receive(frame_receiver *receiver, uint8_t byte);

/* Writes the message to the line, with port_write. `message` has room for FRAME_CRC bytes more. */
void frame_send(uint8_t *message, uint32_t length);

/* CRC-32 of ISO-HDLC, as zlib's crc32(0, data, bytes). */
uint32_t frame_crc(const void *data, uint32_t bytes);

/* Numbers are little-endian on the line, at any address. */
uint32_t frame_get16(const uint8_t *from);
uint32_t frame_get32(const uint8_t *from);
uint8_t *frame_put16(uint8_t *to, uint32_t value); /* returns where the next field begins */
uint8_t *frame_put32(uint8_t *to, uint32_t value);

#endif
