#include "mlperf_task.h"

#include <string.h>

#include "device_model.h"
#include "text.h"

enum { WORD = 4 };

static float float_at(const uint8_t *bytes) {
    const uint32_t bits = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    union {
        uint32_t bits;
        float value;
    } word = {bits};
    return word.value;
}

/* clamp(floor(x / scale + 1/2) + zero point), in double precision as the host has it; the lowest for what is no number. */
static uint8_t quantize(float x) {
    const device_tensor *tensor = &device_model.inputs[0];
    const int32_t low = (tensor->type == DEVICE_UINT8 ? 0 : -128) - tensor->zero_point, high = low + 255;
    const double steps = (double)x / mlperf_task.input_scale + 0.5;
    int32_t q = low;
    if (steps >= high) {
        q = high;
    } else if (steps >= low) {
        q = (int32_t)steps;
        q -= q > steps; /* floor */
    }
    return (uint8_t)(q + tensor->zero_point);
}

void task_convert(void) {
    const uint8_t *from = mlperf_task.received;
    for (uint32_t i = 0; i < mlperf_task.elements; i++) {
        mlperf_task.input[i] = mlperf_task.encoding != 0 ? mlperf_task.encoding[from[i]] : quantize(float_at(from + 4 * i));
    }
}

/* In words, where the input lies in the arena as a word does: this is within the time that is measured. */
static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    const uint32_t words = (uintptr_t)to % WORD == 0 ? bytes / WORD * WORD : 0;
    for (uint32_t i = 0; i < words; i += WORD) {
        memcpy(__builtin_assume_aligned(to + i, WORD), __builtin_assume_aligned(from + i, WORD), WORD);
    }
    for (uint32_t i = words; i < bytes; i++) {
        to[i] = from[i];
    }
}

void task_infer(void) {
    copy(device_model.arena + device_model.inputs[0].offset, mlperf_task.input, mlperf_task.elements);
    device_model.run(device_model.arena);
}

static double output(uint32_t i) {
    const device_tensor *tensor = &device_model.outputs[0];
    const uint8_t byte = device_model.arena[tensor->offset + i];
    const int32_t q = tensor->type == DEVICE_UINT8 ? byte : (int8_t)byte;
    return (q - tensor->zero_point) * mlperf_task.output_scale;
}

static double squared_error(void) {
    double sum = 0;
    for (uint32_t i = 0; i < mlperf_task.elements; i++) {
        const double difference = (double)float_at(mlperf_task.received + 4 * i) - output(i);
        sum += difference * difference;
    }
    return sum / mlperf_task.elements;
}

void task_results(void) {
    if (mlperf_task.encoding == 0) {
        text_real(squared_error());
        return;
    }
    for (uint32_t i = 0; i < device_model.outputs[0].bytes; i++) {
        text_put(i == 0 ? "" : ",");
        text_real(output(i));
    }
}
