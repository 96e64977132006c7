#include "probe.h"

#include "device_model.h"
#include "frame.h"
#include "port.h"

static struct {
    enum { NOTHING, CRC, COUNT, OUTPUT } what;
    uint32_t first, count;  /* the layers */
    uint32_t offset, bytes; /* of OUTPUT */
    uint8_t *to;            /* where the next layer's goes */
} probe;

/* Kept over a reset, for who asks where a fault was. */
static uint32_t running __attribute__((section(".noinit")));

/* Not inlined: probe_counts calls them as the model does. */
__attribute__((noinline)) void device_layer_begin(uint32_t layer) {
    running = layer;
    if (probe.what == COUNT) {
        port_count_restart();
    }
}

__attribute__((noinline)) void device_layer_end(uint32_t layer) {
    running = PROBE_NO_LAYER;
    if (layer - probe.first >= probe.count) {
        return;
    }
    const uint32_t now = port_count();
    const device_tensor *const tensor = &device_model.layers[layer];
    const uint8_t *const output = device_model.arena + tensor->offset;
    if (probe.what == COUNT) {
        probe.to = frame_put32(probe.to, now);
    } else if (probe.what == CRC) {
        probe.to = frame_put32(probe.to, frame_crc(output, tensor->bytes));
    } else {
        for (uint32_t i = 0; i < probe.bytes; i++) {
            probe.to[i] = output[probe.offset + i];
        }
    }
}

uint32_t probe_count_run(void) {
    probe.what = NOTHING;
    probe.count = 0;
    port_count_restart();
    device_model.run(device_model.arena);
    return port_count();
}

static void run_and_write(uint32_t first, uint32_t count, uint8_t *to) {
    probe.first = first;
    probe.count = count;
    probe.to = to;
    device_model.run(device_model.arena);
}

void probe_crcs(uint32_t first, uint32_t count, uint8_t *to) {
    probe.what = CRC;
    run_and_write(first, count, to);
}

void probe_counts(uint32_t first, uint32_t count, uint8_t *to) {
    probe.what = COUNT;
    probe.first = 0;
    probe.count = 1;
    probe.to = to;
    device_layer_begin(0);
    device_layer_end(0);
    run_and_write(first, count, probe.to);
}

void probe_read(uint32_t layer, uint32_t offset, uint32_t bytes, uint8_t *to) {
    probe.what = OUTPUT;
    probe.offset = offset;
    probe.bytes = bytes;
    run_and_write(layer, 1, to);
}

uint32_t probe_running(void) {
    return running;
}
