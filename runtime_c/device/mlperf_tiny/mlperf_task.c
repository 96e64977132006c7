#include "mlperf_task.h"

#include <string.h>

#include "device_model.h"
#include "text.h"

enum { WORD = 4 };

static uint32_t word_at(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static double float_at(const uint8_t *bytes) {
    const union {
        uint32_t bits;
        float value;
    } word = {word_at(bytes)};
    return (double)word.value;
}

/* A float as an integer such that they are ordered alike. No float needs to be computed with, least of all divided: how many
 * of the bounds are not above it says what is stored. */
static int32_t order(uint32_t bits) {
    return (int32_t)(bits >> 31 != 0 ? bits ^ 0x7FFFFFFFU : bits);
}

static uint8_t quantize(uint32_t bits) {
    const int32_t x = order(bits);
    uint32_t steps = 0;
    for (uint32_t half = 128; half != 0; half /= 2) {
        if (x >= mlperf_task.bounds[steps + half - 1]) {
            steps += half;
        }
    }
    return (uint8_t)(device_model.inputs[0].type == DEVICE_UINT8 ? steps : steps + 128);
}

void task_convert(void) {
    const uint8_t *from = mlperf_task.received;
    for (uint32_t i = 0; i < mlperf_task.elements; i++) {
        mlperf_task.input[i] = mlperf_task.encoding != 0 ? mlperf_task.encoding[from[i]] : quantize(word_at(from + 4 * i));
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
        const double difference = float_at(mlperf_task.received + 4 * i) - output(i);
        sum += difference * difference;
    }
    return sum * mlperf_task.per_element;
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
