/* Reads floats; writes for each the byte that the MLPerf program stores, and the text that it prints. */
#include <stdio.h>

#include "device_model.h"
#include "mlperf_task.h"
#include "port.h"
#include "text.h"

static uint8_t received[4], input[1];
static const int32_t bounds[255] = {BOUNDS};
static const device_tensor tensor = {.type = TYPE};
const device_model_type device_model = {.inputs = &tensor};
const mlperf_task_type mlperf_task = {.received = received, .elements = 1, .input = input, .bounds = bounds};

void port_write(uint8_t byte) {
    putchar(byte);
}

int main(void) {
    float x;
    while (fread(&x, sizeof x, 1, stdin) == 1) {
        uint8_t *bytes = (uint8_t *)&x;
        for (int i = 0; i < 4; i++) {
            received[i] = bytes[i];
        }
        task_convert();
        printf("%d ", input[0]);
        text_real((double)x);
        putchar('\n');
    }
    return 0;
}
