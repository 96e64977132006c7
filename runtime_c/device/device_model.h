/* A generated library as the device programs see it: `edgeq firmware` writes device_model.c from the build's manifest. */
#ifndef DEVICE_MODEL_H
#define DEVICE_MODEL_H

#include <stdint.h>

typedef struct {
    uint32_t offset, bytes; /* in the arena */
    uint8_t type;           /* DEVICE_INT8, DEVICE_UINT8 or DEVICE_INT16 */
    int32_t zero_point;     /* real = (q - zero_point) * scale */
    float scale;
} device_tensor;

enum { DEVICE_INT8, DEVICE_UINT8, DEVICE_INT16 };

typedef struct {
    const char *name, *edgeq, *target, *board; /* the model's, edgeq's version, what the code is for, and where */
    uint32_t hash;                             /* of the model */
    uint8_t *arena;
    uint32_t arena_bytes;
    uint16_t input_count, output_count, layer_count;
    const device_tensor *inputs, *outputs;
    const device_tensor *layers; /* the output of each; valid when it ends */
    void (*run)(void *arena);
} device_model_type;

extern const device_model_type device_model;

/* Called around every layer during run; the program defines them. */
void device_layer_begin(uint32_t layer);
void device_layer_end(uint32_t layer);

#endif
