/* The device under test of MLPerf Tiny. */
#include "clock.h"
#include "commands.h"
#include "device_model.h"
#include "port.h"

void device_layer_begin(uint32_t layer) {
    (void)layer;
}

void device_layer_end(uint32_t layer) {
    (void)layer;
    (void)clock_now(); /* so that no wrap of the counter goes unseen */
}

int main(void) {
    device_fault fault;
    port_start();
    commands_start(device_take_fault(&fault) ? &fault : 0);
    for (;;) {
        const int32_t byte = port_read();
        (void)clock_now();
        if (byte >= 0) {
            commands_take((uint8_t)byte);
        } else {
            port_wait();
        }
    }
}
