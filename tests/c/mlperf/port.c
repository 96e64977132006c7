/* A board for the MLPerf program on this machine: its serial port is stdin and stdout, its counter goes by calls. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "port.h"

#ifndef FAULT_PC
#define FAULT_PC 0
#endif
#ifndef COUNT_STEP
#define COUNT_STEP 1000
#endif

static uint32_t count;

void port_start(void) {
    port_count_restart();
}

int32_t port_read(void) {
    fflush(stdout);
    const int byte = getchar();
    if (byte == EOF) {
        exit(0);
    }
    return byte;
}

void port_wait(void) {
}

void port_write(uint8_t byte) {
    putchar(byte);
}

int device_take_fault(device_fault *to) {
    to->pc = FAULT_PC;
    return FAULT_PC != 0;
}

uint32_t port_count(void) {
    return count += COUNT_STEP;
}

void port_count_restart(void) {
    count = 0;
}
