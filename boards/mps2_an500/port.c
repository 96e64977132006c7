/* UART 0 and timer 0 of the Arm Cortex-M System Design Kit (ARM DDI 0479D, chapter 4) at their places in FPGA image AN500
 * (ARM DAI 0500, memory map). Runs in QEMU; untested on hardware. */
#include "port.h"

#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* APB UART */
#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CTRL REGISTER(0x40004008)
#define UART_INTCLEAR REGISTER(0x4000400C)
#define UART_BAUDDIV REGISTER(0x40004010)

/* APB timer: counts down */
#define TIMER_CTRL REGISTER(0x40000000)
#define TIMER_VALUE REGISTER(0x40000004)
#define TIMER_RELOAD REGISTER(0x40000008)

#define NVIC_ISER0 REGISTER(0xE000E100)

enum { CLOCK_HZ = 25000000, BAUD = 921600, UART_RECEIVE_IRQ = 0 };

static ring received;

void port_start(void) {
    UART_BAUDDIV = (CLOCK_HZ + BAUD / 2) / BAUD;
    UART_CTRL = 0xB; /* transmit, receive, interrupt on receive */
    NVIC_ISER0 = 1U << UART_RECEIVE_IRQ;
    TIMER_RELOAD = 0xFFFFFFFFU;
    TIMER_CTRL = 1;
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
    return 0xFFFFFFFFU - TIMER_VALUE;
}

void port_count_restart(void) {
    TIMER_VALUE = 0xFFFFFFFFU;
}
