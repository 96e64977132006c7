/* libFuzzer's target for the protocol. The first bytes of an input say what is sent: bytes as they are, or requests in intact
 * frames, which no fuzzer would find by itself. Whatever it is, answers are intact frames for the request, only a request that
 * is carried out has an effect, and memory is accessed where it may be. */
#include "protocol.c" /* for its state, which begins anew with each input */

#include <assert.h>
#include <setjmp.h>
#include <string.h>

#include "port.h"

enum { LAYERS = 300, ARENA = 6000, LINE = 2 * FRAME_BYTES };

static uint8_t arena[ARENA];
static uint32_t runs;
static uint8_t line[LINE];
static uint32_t line_length;
static uint8_t last[STATUS]; /* the beginning of the last request */
static jmp_buf reset;

static const device_tensor inputs[] = {{.offset = 0, .bytes = 5000}, {.offset = 5999, .bytes = 1}};
static const device_tensor outputs[] = {{.offset = 100, .bytes = 5900}, {.offset = 6000, .bytes = 0}};
static device_tensor layers[LAYERS];

static void run_layers(void *to) {
    runs++;
    for (uint32_t i = 0; i < LAYERS; i++) {
        device_layer_begin(i);
        memset((uint8_t *)to + layers[i].offset, (int)i, layers[i].bytes);
        device_layer_end(i);
    }
}

const device_model_type device_model = {
    .name = "a name that is longer than the protocol has room for", .edgeq = "1", .target = "", .board = "fuzz",
    .hash = 0x12345678, .arena = arena, .arena_bytes = ARENA, .input_count = 2, .output_count = 2, .layer_count = LAYERS,
    .inputs = inputs, .outputs = outputs, .layers = layers, .run = run_layers,
};

void port_write(uint8_t byte) {
    assert(line_length < LINE);
    line[line_length++] = byte;
}

uint32_t port_count(void) {
    return 1;
}

void port_count_restart(void) {
}

uint32_t device_stack_used(void) {
    return 1;
}

void device_reset(void) {
    longjmp(reset, 1);
}

int device_take_fault(device_fault *to) {
    *to = (device_fault){.pc = 1};
    return 1;
}

/* The bytes of a request in its frame; `message` is that of frame_send. */
static uint32_t framed(uint8_t *message, uint32_t length, uint8_t *to) {
    line_length = 0;
    frame_send(message, length);
    memcpy(to, line, line_length);
    return line_length;
}

/* Sends an intact request. Returns the reply, checked. */
static const uint8_t *ask(uint8_t *message, uint32_t length, uint32_t *answer_length) {
    static frame_receiver answer;
    uint8_t bytes[LINE];
    const uint32_t count = framed(message, length, bytes);
    uint32_t answers = 0;
    line_length = 0;
    for (uint32_t i = 0; i < count; i++) {
        protocol_receive(bytes[i]);
    }
    for (uint32_t i = 0; i < line_length; i++) {
        const uint32_t got = frame_receive(&answer, line[i]);
        answers += got != 0;
        *answer_length = got != 0 ? got : *answer_length;
    }
    if ((message[COMMAND] & REPLY) != 0) {
        assert(answers == 0);
        return 0;
    }
    assert(answers == 1 && *answer_length <= FRAME_HEADER + FRAME_PAYLOAD);
    assert(memcmp(answer.bytes, message, COMMAND) == 0 && answer.bytes[COMMAND] == (message[COMMAND] | REPLY));
    return answer.bytes;
}

static void check(uint8_t *message, uint32_t length) {
    static uint8_t before[ARENA], first[FRAME_BYTES];
    uint32_t answer_length = 0, again_length = 0;
    const uint32_t runs_before = runs;
    const int old = memcmp(last, message, STATUS) == 0;
    memcpy(before, arena, ARENA);
    const uint8_t *const answer = ask(message, length, &answer_length);
    if (answer == 0) {
        return;
    }
    memcpy(last, message, STATUS);
    const uint32_t status = answer[STATUS];
    const int same = memcmp(before, arena, ARENA) == 0;
    memcpy(first, answer, answer_length);
    assert(status <= NO_SESSION);
    const uint32_t command = message[COMMAND], work = command == RUN || command == CRCS || command == COUNTS || command == OUTPUT;
    assert(status == OK || answer_length == FRAME_HEADER);
    assert((runs != runs_before) == (work && status == OK && !old));
    assert(same || ((work || command == WRITE) && status == OK && !old));
    if (command == WRITE && status == OK && !old) {
        const uint8_t *const in = message + PAYLOAD;
        assert(memcmp(arena + inputs[in[0]].offset + frame_get32(in + 2), in + 6, length - PAYLOAD - 6) == 0);
    }
    const uint32_t runs_after = runs;
    memcpy(before, arena, ARENA);
    const uint8_t *const again = ask(message, length, &again_length); /* repeated: the same answer, no more work */
    assert(again_length == answer_length && memcmp(again, first, again_length) == 0);
    assert(runs == runs_after && memcmp(before, arena, ARENA) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (uint32_t i = 0; i < LAYERS; i++) {
        layers[i] = (device_tensor){.offset = 20 * i, .bytes = i % 3 == 0 ? 0 : i % 21};
    }
    memset(arena, 0, ARENA);
    memset(&receiver, 0, sizeof receiver);
    memset(reply, 0, sizeof reply);
    memset(last, 0, sizeof last);
    session = reply_length = 0;
    const uint8_t *const end = data + size;
    uint16_t id = 0;
    if (setjmp(reset) != 0) {
        return 0;
    }
    while (end - data >= 4) { /* how, command, length */
        static uint8_t message[FRAME_BYTES];
        const uint32_t how = data[0], wanted = frame_get16(data + 2) % (FRAME_PAYLOAD + 1U);
        const uint32_t length = wanted < (uint32_t)(end - data - 4) ? wanted : (uint32_t)(end - data - 4);
        const uint8_t command = data[1];
        data += 4;
        if (how == 0) {
            for (uint32_t i = 0; i < length; i++) {
                line_length = 0;
                protocol_receive(data[i]);
            }
            line_length = 0;
            protocol_receive(0);
        } else {
            (void)frame_put16(frame_put16(message, how % 4 == 0 ? how : 1), how % 8 == 1 ? id : ++id);
            message[COMMAND] = command;
            message[STATUS] = 0;
            memcpy(message + PAYLOAD, data, length);
            check(message, FRAME_HEADER + length);
        }
        data += length;
    }
    return 0;
}
