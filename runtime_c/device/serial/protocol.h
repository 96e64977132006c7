/* What a host may ask of the model over a serial line: SPEC.md, "Serial protocol". */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

/* Takes the next byte of the line. Where it ends a request, carries it out and writes the reply with port_write. */
void protocol_receive(uint8_t byte);

#endif
