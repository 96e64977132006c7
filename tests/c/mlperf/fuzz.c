/* libFuzzer: any bytes to the MLPerf program. What must hold whatever they are: nothing is said before a command's '%'; then
 * whole lines of printable ASCII, of which the last is m-ready. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "device_model.h"
#include "mlperf_task.h"
#include "port.h"

enum { ELEMENTS = 8, MOST_RUNS = 2000 };

static uint8_t arena[ELEMENTS], received[4 * ELEMENTS], input[ELEMENTS] __attribute__((aligned(4)));
static const int32_t bounds[255]; /* equal: every float is stored as the lowest or the highest */
static uint32_t runs;
static jmp_buf enough;

/* `infer 2000000000` is a right thing to ask for: the test does not wait for it. */
static void run(void *a) {
    (void)a;
    if (++runs > MOST_RUNS) {
        longjmp(enough, 1);
    }
}

static const device_tensor tensor = {.offset = 0, .bytes = ELEMENTS, .type = DEVICE_INT8, .zero_point = -3, .scale = 0.1f};
const device_model_type device_model = {.board = "fuzz", .arena = arena, .inputs = &tensor, .outputs = &tensor, .run = run};
const mlperf_task_type mlperf_task = {
    .id = "ad01", .count_hz = 1000003, .received_bytes = sizeof received, .received = received, .elements = sizeof input,
    .input = input, .bounds = bounds, .output_scale = 0.1, .per_element = 0.125,
};

static char said[1 << 16];
static size_t length;

void port_write(uint8_t byte) {
    if (length == sizeof said) {
        abort();
    }
    said[length++] = (char)byte;
}

uint32_t port_count(void) {
    static uint32_t count;
    return count += 0x70000000;
}

static void check(uint8_t byte) {
    static const char last[] = "m-ready\r\n";
    const size_t tail = sizeof last - 1;
    if (byte != '%') {
        if (length != 0) {
            abort();
        }
        return;
    }
    if (length < tail || memcmp(said + length - tail, last, tail) != 0) {
        abort();
    }
    for (size_t i = 0; i < length; i++) {
        const int end = said[i] == '\r' && said[i + 1] == '\n';
        if (!end && (said[i] < ' ' || said[i] > '~')) {
            abort();
        }
        i += (size_t)end;
    }
}

static void take(uint8_t byte) {
    length = runs = 0;
    if (setjmp(enough) == 0) {
        commands_take(byte);
    } else {
        length = runs = 0;
        commands_take('%'); /* the command is still there; of its words only the first: default numbers */
    }
    check(byte);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        take(data[i]);
    }
    take('%'); /* the next input starts with a new command */
    return 0;
}
