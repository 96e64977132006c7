/* UART 0 of the Arm Cortex-M System Design Kit (ARM DDI 0479D, chapter 4) at its place in FPGA image AN547 (ARM DAI 0547,
 * memory map), and the system counter of the Corstone SSE-300 subsystem (ARM 101773, "System counter"). Addresses of the
 * secure state. Runs in QEMU; untested on hardware. */
#include "port.h"

#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* APB UART */
#define UART_DATA REGISTER(0x59303000)
#define UART_STATE REGISTER(0x59303004)
#define UART_CTRL REGISTER(0x59303008)
#define UART_INTCLEAR REGISTER(0x5930300C)
#define UART_BAUDDIV REGISTER(0x59303010)

/* The counter's control frame; of its 64 bits the lower ones. */
#define COUNTER_CR REGISTER(0x58100000)
#define COUNTER_LOW REGISTER(0x58100008)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { CLOCK_HZ = 32000000, BAUD = 921600, UART_RECEIVE_IRQ = 33 };

static ring received;

void port_start(void) {
    UART_BAUDDIV = (CLOCK_HZ + BAUD / 2) / BAUD;
    UART_CTRL = 0xB; /* transmit, receive, interrupt on receive */
    NVIC_ISER1 = 1U << (UART_RECEIVE_IRQ - 32);
    COUNTER_CR = 1;
    port_count_restart();
}

void port_receive_interrupt(void) {
    UART_INTCLEAR = 2;
    ring_put(&received, (uint8_t)UART_DATA);
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((UART_STATE & 1U) != 0) {
    }
    UART_DATA = byte;
}

uint32_t port_count(void) {
    return COUNTER_LOW;
}

void port_count_restart(void) {
    COUNTER_CR = 0;
    COUNTER_LOW = 0;
    COUNTER_CR = 1;
}
