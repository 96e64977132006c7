/* A program for boards under test. It starts with a '!'. Each byte read is a command; those that are none come back. */
#include "device.h"
#include "device_model.h"
#include "port.h"

extern uint32_t stack_top[];

void device_layer_begin(uint32_t layer) {
    (void)layer;
}

void device_layer_end(uint32_t layer) {
    (void)layer;
}

static void put_word(uint32_t value) {
    for (int i = 0; i < 4; i++) {
        port_write((uint8_t)(value >> 8 * i));
    }
}

/* Two instructions a turn. */
static uint32_t count_loop(uint32_t turns) {
    port_count_restart();
    const uint32_t start = port_count();
    __asm volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(turns) : : "cc");
    return port_count() - start;
}

/* How much more stack is used in a run than by this function. */
static uint32_t stack_of_run(void) {
    uint32_t sp;
    device_paint_stack();
    device_model.run(device_model.arena);
    __asm volatile("mov %0, sp" : "=r"(sp));
    return device_stack_used() - ((uint32_t)stack_top - sp);
}

int main(void) {
    device_fault fault = {0};
    port_start();
    port_write('!');
    for (int faulted = device_take_fault(&fault);;) {
        const int32_t byte = port_read();
        switch (byte) {
        case -1:
            port_wait();
            break;
        case 'c':
            put_word(count_loop(1000000));
            break;
        case 'd':
            put_word(count_loop(2000000));
            break;
        case 'w': /* as long as it takes a counter of 24 bits to wrap */
            put_word(count_loop(500000000));
            break;
        case 'b': /* busy: nothing is read for a while */
            (void)count_loop(2000000);
            break;
        case 'f':
            __asm volatile("udf #1");
            break;
        case 'p': /* whether there was a fault, and where */
            put_word((uint32_t)faulted);
            put_word(fault.pc);
            break;
        case 'r':
            device_reset();
        case 's':
            put_word(stack_of_run());
            break;
        default:
            port_write((uint8_t)byte);
        }
    }
}
