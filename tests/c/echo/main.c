/* A program for boards under test: each byte read is a command. */
#include "device.h"
#include "device_model.h"
#include "port.h"

static void put_word(uint32_t value) {
    for (int i = 0; i < 4; i++) {
        port_write((uint8_t)(value >> 8 * i));
    }
}

void device_layer_begin(uint32_t layer) {
    (void)layer;
}

void device_layer_end(uint32_t layer) {
    (void)layer;
}

/* Two instructions a turn. */
static uint32_t count_loop(uint32_t turns) {
    port_count_restart();
    const uint32_t start = port_count();
    __asm volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(turns) : : "cc");
    return port_count() - start;
}

int main(void) {
    device_fault fault = {0};
    port_start();
    port_write(device_take_fault(&fault) ? 'F' : 'S');
    for (;;) {
        const int32_t byte = port_read();
        switch (byte) {
        case -1:
            port_wait();
            break;
        case 'c':
            put_word(count_loop(1000000));
            break;
        case 'f':
            __asm volatile("udf #1");
            break;
        case 'p':
            put_word(fault.pc);
            break;
        case 'r':
            device_model.run(device_model.arena);
            put_word(device_stack_used());
            break;
        case 'x':
            device_reset();
        default:
            port_write((uint8_t)byte);
        }
    }
}
