#include "frame.h"

#include "port.h"

enum { FULL = 0xFF }; /* the code of a block of 254 bytes, after which no zero is meant */

uint32_t frame_get16(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8;
}

uint32_t frame_get32(const uint8_t *from) {
    return frame_get16(from) | frame_get16(from + 2) << 16;
}

uint8_t *frame_put16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    return to + 2;
}

uint8_t *frame_put32(uint8_t *to, uint32_t value) {
    return frame_put16(frame_put16(to, value), value >> 16);
}

/* Four bits at a time: 64 bytes of table instead of 1024. */
uint32_t frame_crc(const void *data, uint32_t bytes) {
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    const uint8_t *const from = (const uint8_t *)data;
    uint32_t crc = 0xFFFFFFFFU;
    for (uint32_t i = 0; i < bytes; i++) {
        crc ^= from[i];
        crc = crc >> 4 ^ table[crc & 15U];
        crc = crc >> 4 ^ table[crc & 15U];
    }
    return ~crc;
}

static void keep(frame_receiver *r, uint8_t byte) {
    if (r->length < sizeof r->bytes) {
        r->bytes[r->length] = byte;
    }
    r->length++;
}

uint32_t frame_receive(frame_receiver *r, uint8_t byte) {
    if (byte != 0) {
        if (r->left != 0) {
            r->left--;
            keep(r, byte);
        } else {
            if (r->block != 0 && r->block != FULL) {
                keep(r, 0);
            }
            r->block = byte;
            r->left = (uint8_t)(byte - 1U);
        }
        return 0;
    }
    const uint32_t length = r->length - FRAME_CRC; /* huge where there is less */
    const int whole = r->left == 0 && length >= FRAME_HEADER && length <= sizeof r->bytes - FRAME_CRC;
    r->length = r->block = r->left = 0;
    return whole && frame_get32(r->bytes + length) == frame_crc(r->bytes, length) ? length : 0;
}

void frame_send(uint8_t *message, uint32_t length) {
    const uint8_t *const end = frame_put32(message + length, frame_crc(message, length));
    const uint8_t *from = message;
    port_write(0); /* ends what the line may have made up before */
    for (;;) {
        uint8_t block = 1;
        while (block != FULL && from + block - 1 != end && from[block - 1] != 0) {
            block++;
        }
        port_write(block);
        for (uint8_t i = 1; i < block; i++) {
            port_write(*from++);
        }
        if (from == end) {
            break;
        }
        from += block != FULL; /* the zero that the block's end stands for */
    }
    port_write(0);
}
