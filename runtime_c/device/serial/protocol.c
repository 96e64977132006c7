#include "protocol.h"

#include "device.h"
#include "device_model.h"
#include "frame.h"
#include "probe.h"

enum { VERSION = 1, LONGEST_NAME = 39 };

/* Where things are in a message. */
enum { SESSION = 0, ID = 2, COMMAND = 4, STATUS = 5, PAYLOAD = FRAME_HEADER };

enum { HELLO = 1, WRITE, READ, RUN, CRCS, COUNTS, OUTPUT, STACK, RESET, REPLY = 0x80 };

enum { OK, UNKNOWN_COMMAND, WRONG_LENGTH, OUT_OF_RANGE, NO_SESSION };

static frame_receiver receiver;
static uint32_t session;           /* of the host that last said hello; 0: none since the reset */
static uint8_t reply[FRAME_BYTES]; /* the last one stays, for a host that it does not reach */
static uint32_t reply_length;

static uint8_t *put_name(uint8_t *to, const char *name) {
    uint8_t *const length = to++;
    while (*name != 0 && to - length <= LONGEST_NAME) {
        *to++ = (uint8_t)*name++;
    }
    *length = (uint8_t)(to - length - 1);
    return to;
}

static uint8_t *put_hello(uint8_t *to, uint32_t host) {
    device_fault fault;
    *to++ = VERSION;
    to = frame_put16(to, session);
    session = host;
    to = frame_put16(to, FRAME_PAYLOAD);
    to = frame_put32(to, device_model.hash);
    to = frame_put32(to, BOARD_CLOCK_HZ);
    to = frame_put32(to, BOARD_COUNTER_HZ);
    to = frame_put32(to, device_model.arena_bytes);
    to = frame_put16(to, device_model.input_count);
    to = frame_put16(to, device_model.output_count);
    to = frame_put16(to, device_model.layer_count);
    to = put_name(to, device_model.name);
    to = put_name(to, device_model.edgeq);
    to = put_name(to, device_model.target);
    to = put_name(to, device_model.board);
    if (device_take_fault(&fault)) {
        const uint32_t words[] = {fault.exception, fault.pc,   fault.lr,    fault.sp,   fault.exc_return,
                                  fault.cfsr,      fault.hfsr, fault.mmfar, fault.bfar, probe_running()};
        for (uint32_t i = 0; i < sizeof words / sizeof *words; i++) {
            to = frame_put32(to, words[i]);
        }
    }
    return to;
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = from[i];
    }
}

/* Whether these bytes of this tensor exist. */
static int holds(const device_tensor *tensors, uint32_t count, uint32_t index, uint32_t offset, uint32_t bytes) {
    return index < count && offset <= tensors[index].bytes && bytes <= tensors[index].bytes - offset;
}

static uint32_t write_input(const uint8_t *in, uint32_t length) {
    const uint32_t input = frame_get16(in), offset = frame_get32(in + 2), bytes = length - 6;
    if (!holds(device_model.inputs, device_model.input_count, input, offset, bytes)) {
        return OUT_OF_RANGE;
    }
    copy(device_model.arena + device_model.inputs[input].offset + offset, in + 6, bytes);
    return OK;
}

/* Of an output now, or of a layer's output in a run. */
static uint32_t read_tensor(uint32_t command, const uint8_t *in, uint8_t **to) {
    const device_tensor *const tensors = command == READ ? device_model.outputs : device_model.layers;
    const uint32_t tensor_count = command == READ ? device_model.output_count : device_model.layer_count;
    const uint32_t index = frame_get16(in), offset = frame_get32(in + 2), bytes = frame_get16(in + 6);
    if (bytes > FRAME_PAYLOAD || !holds(tensors, tensor_count, index, offset, bytes)) {
        return OUT_OF_RANGE;
    }
    if (command == READ) {
        copy(*to, device_model.arena + tensors[index].offset + offset, bytes);
    } else {
        probe_read(index, offset, bytes, *to);
    }
    *to += bytes;
    return OK;
}

static uint32_t run(const uint8_t *in, uint8_t **to) {
    const uint32_t times = frame_get16(in);
    uint32_t least = 0xFFFFFFFFU, most = 0;
    if (times == 0) {
        return OUT_OF_RANGE;
    }
    for (uint32_t i = 0; i < times; i++) {
        const uint32_t count = probe_count_run();
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    *to = frame_put32(frame_put32(*to, least), most);
    return OK;
}

static uint32_t measure_layers(uint32_t command, const uint8_t *in, uint8_t **to) {
    const uint32_t first = frame_get16(in), count = frame_get16(in + 2);
    const uint32_t bytes = 4 * (count + (command == COUNTS));
    if (bytes > FRAME_PAYLOAD || first + count > device_model.layer_count) {
        return OUT_OF_RANGE;
    }
    if (command == COUNTS) {
        probe_counts(first, count, *to);
    } else {
        probe_crcs(first, count, *to);
    }
    *to += bytes;
    return OK;
}

/* Returns the status; `to` is where the reply's payload begins and then where it ends. */
static uint32_t carry_out(uint32_t host, uint32_t command, const uint8_t *in, uint32_t length, uint8_t **to) {
    static const uint8_t lengths[] = {
        [HELLO] = 0, [WRITE] = 6, [READ] = 8, [RUN] = 2, [CRCS] = 4, [COUNTS] = 4, [OUTPUT] = 8, [STACK] = 0, [RESET] = 0,
    };
    if (command < HELLO || command > RESET) {
        return UNKNOWN_COMMAND;
    }
    if (length < lengths[command] || (length > lengths[command] && command != WRITE)) {
        return WRONG_LENGTH;
    }
    switch (command) {
    case HELLO:
        *to = put_hello(*to, host);
        return OK;
    case WRITE:
        return write_input(in, length);
    case READ:
    case OUTPUT:
        return read_tensor(command, in, to);
    case RUN:
        return run(in, to);
    case CRCS:
    case COUNTS:
        return measure_layers(command, in, to);
    case STACK:
        *to = frame_put32(*to, device_stack_used());
        return OK;
    default:
        device_reset();
    }
}

void protocol_receive(uint8_t byte) {
    const uint32_t length = frame_receive(&receiver, byte);
    const uint8_t *const request = receiver.bytes;
    if (length == 0 || (request[COMMAND] & REPLY) != 0) { /* a line may send back what it gets */
        return;
    }
    const uint32_t command = request[COMMAND], host = frame_get16(request + SESSION), id = frame_get16(request + ID);
    const int repeated = reply[COMMAND] == (command | REPLY) && frame_get16(reply + SESSION) == host &&
                         frame_get16(reply + ID) == id;
    if (!repeated) {
        const int known = host != 0 && (host == session || command == HELLO);
        uint8_t *end = reply + PAYLOAD;
        copy(reply, request, COMMAND);
        reply[COMMAND] = (uint8_t)(command | REPLY);
        reply[STATUS] = (uint8_t)(known ? carry_out(host, command, request + PAYLOAD, length - PAYLOAD, &end) : NO_SESSION);
        reply_length = (uint32_t)(end - reply);
    }
    frame_send(reply, reply_length);
}
