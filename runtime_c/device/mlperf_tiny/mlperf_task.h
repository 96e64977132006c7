/* What the benchmark sends to a model and wants back: `edgeq firmware --mlperf-id` writes mlperf_task.c. */
#ifndef MLPERF_TASK_H
#define MLPERF_TASK_H

#include <stdint.h>

typedef struct {
    const char *id;          /* "ic01" */
    uint32_t count_hz;       /* of port_count */
    uint32_t received_bytes; /* of one input, as sent */
    uint8_t *received;
    uint32_t elements;       /* of one input */
    uint8_t *input;          /* as the model stores them; aligned to 4 */
    const uint8_t *encoding; /* 256: a byte as sent -> as stored; 0 where IEEE single floats are sent, little endian */
    const int32_t *bounds;   /* of floats, 255: the least that is stored as each value but the lowest; see mlperf_task.c */
    double output_scale;     /* exact, where device_model.h has a float */
    double per_element;      /* 1 / elements */
} mlperf_task_type;

extern const mlperf_task_type mlperf_task;

/* Received to stored elements. */
void task_convert(void);

/* One inference on what task_convert left. The copy to the arena belongs to it, as a run may overwrite its input. */
void task_infer(void);

/* Prints the results of the inference before, with commas between them: the real value of every output; where floats were
 * sent, which are to be reconstructed, the mean of the squared differences between them and the outputs. */
void task_results(void);

#endif
