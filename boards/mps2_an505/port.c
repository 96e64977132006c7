/* UART 0 and timer 0 of the Arm Cortex-M System Design Kit (ARM DDI 0479D, chapter 4) at their places in FPGA image AN505
 * (ARM DAI 0505, memory map). Addresses of the secure state. Runs in QEMU; untested on hardware. */
#include "port.h"

#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* APB UART */
#define UART_DATA REGISTER(0x50200000)
#define UART_STATE REGISTER(0x50200004)
#define UART_CTRL REGISTER(0x50200008)
#define UART_INTCLEAR REGISTER(0x5020000C)
#define UART_BAUDDIV REGISTER(0x50200010)

/* APB timer: counts down */
#define TIMER_CTRL REGISTER(0x50000000)
#define TIMER_VALUE REGISTER(0x50000004)
#define TIMER_RELOAD REGISTER(0x50000008)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { CLOCK_HZ = 20000000, BAUD = 921600, UART_RECEIVE_IRQ = 32 };

static ring received;

void port_start(void) {
    UART_BAUDDIV = (CLOCK_HZ + BAUD / 2) / BAUD;
    UART_CTRL = 0xB; /* transmit, receive, interrupt on receive */
    NVIC_ISER1 = 1U << (UART_RECEIVE_IRQ - 32);
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
