/* nRF51822: nRF51 Series Reference Manual (v3.0.1), chapters as below; pins: the BBC micro:bit V1's schematic. Runs in
 * QEMU; untested on hardware. */
#include "port.h"

#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* CLOCK: the crystal of 16 MHz, which the UART's rate needs */
#define CLOCK_HFCLKSTART REGISTER(0x40000000)
#define CLOCK_HFCLKSTARTED REGISTER(0x40000100)

/* GPIO */
#define GPIO_OUTSET REGISTER(0x50000508)
#define GPIO_DIRSET REGISTER(0x50000518)
#define GPIO_PIN_CNF(pin) REGISTER(0x50000700 + 4 * (pin))

/* UART */
#define UART_STARTRX REGISTER(0x40002000)
#define UART_STARTTX REGISTER(0x40002008)
#define UART_RXDRDY REGISTER(0x40002108)
#define UART_TXDRDY REGISTER(0x4000211C)
#define UART_INTENSET REGISTER(0x40002304)
#define UART_ENABLE REGISTER(0x40002500)
#define UART_PSELTXD REGISTER(0x4000250C)
#define UART_PSELRXD REGISTER(0x40002514)
#define UART_RXD REGISTER(0x40002518)
#define UART_TXD REGISTER(0x4000251C)
#define UART_BAUDRATE REGISTER(0x40002524)

/* TIMER */
#define TIMER0_START REGISTER(0x40008000)
#define TIMER0_STOP REGISTER(0x40008004)
#define TIMER0_CLEAR REGISTER(0x4000800C)
#define TIMER0_CAPTURE0 REGISTER(0x40008040)
#define TIMER0_BITMODE REGISTER(0x40008508)
#define TIMER0_PRESCALER REGISTER(0x40008510)
#define TIMER0_CC0 REGISTER(0x40008540)

#define NVIC_ISER REGISTER(0xE000E100)

enum { TRANSMIT_PIN = 24, RECEIVE_PIN = 25, BAUD_115200 = 0x01D7E000, UART0_IRQ = 2 };

static ring received;

void port_start(void) {
    CLOCK_HFCLKSTART = 1;
    for (uint32_t i = 0; i < 100000 && CLOCK_HFCLKSTARTED == 0; i++) {
    }
    GPIO_OUTSET = 1U << TRANSMIT_PIN;
    GPIO_DIRSET = 1U << TRANSMIT_PIN;
    GPIO_PIN_CNF(RECEIVE_PIN) = 3U << 2; /* an input, pulled up */
    UART_PSELTXD = TRANSMIT_PIN;
    UART_PSELRXD = RECEIVE_PIN;
    UART_BAUDRATE = BAUD_115200;
    UART_ENABLE = 4;
    UART_STARTTX = 1;
    UART_STARTRX = 1;
    UART_INTENSET = 1U << 2; /* RXDRDY */
    NVIC_ISER = 1U << UART0_IRQ;
    TIMER0_BITMODE = 3; /* 32 bits */
    TIMER0_PRESCALER = 0;
    port_count_restart();
}

void port_receive_interrupt(void) {
    while (UART_RXDRDY != 0) { /* once a byte: the UART holds up to 6 */
        UART_RXDRDY = 0;
        ring_put(&received, (uint8_t)UART_RXD);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    UART_TXDRDY = 0;
    UART_TXD = byte;
    while (UART_TXDRDY == 0) {
    }
}

uint32_t port_count(void) {
    TIMER0_CAPTURE0 = 1;
    return TIMER0_CC0;
}

void port_count_restart(void) {
    TIMER0_STOP = 1;
    TIMER0_CLEAR = 1;
    TIMER0_START = 1;
}
