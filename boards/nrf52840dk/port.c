/* nRF52840: its Product Specification (4413_417), chapters as below. Compiled and linked only; untested on hardware. */
#include "port.h"

#include "dwt.h"
#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* CLOCK: the crystal of 32 MHz, which the UART's rate needs */
#define CLOCK_HFCLKSTART REGISTER(0x40000000)
#define CLOCK_HFCLKSTARTED REGISTER(0x40000100)

#define NVMC_ICACHECNF REGISTER(0x4001E540) /* Non-volatile memory controller */

/* GPIO, port 0 */
#define GPIO_OUTSET REGISTER(0x50000508)
#define GPIO_DIRSET REGISTER(0x50000518)
#define GPIO_PIN_CNF(pin) REGISTER(0x50000700 + 4 * (pin))

/* UART: the one without DMA */
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

#define NVIC_ISER REGISTER(0xE000E100)

enum { TRANSMIT_PIN = 6, RECEIVE_PIN = 8, BAUD_921600 = 0x0EBED000, UART0_IRQ = 2 };

static ring received;

void port_start(void) {
    CLOCK_HFCLKSTART = 1;
    while (CLOCK_HFCLKSTARTED == 0) {
    }
    NVMC_ICACHECNF = 1;
    GPIO_OUTSET = 1U << TRANSMIT_PIN;
    GPIO_DIRSET = 1U << TRANSMIT_PIN;
    GPIO_PIN_CNF(RECEIVE_PIN) = 3U << 2; /* an input, pulled up */
    UART_PSELTXD = TRANSMIT_PIN;
    UART_PSELRXD = RECEIVE_PIN;
    UART_BAUDRATE = BAUD_921600;
    UART_ENABLE = 4;
    UART_STARTTX = 1;
    UART_STARTRX = 1;
    UART_INTENSET = 1U << 2; /* RXDRDY */
    NVIC_ISER = 1U << UART0_IRQ;
    dwt_start();
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
    return DWT_CYCCNT;
}

void port_count_restart(void) {
    DWT_CYCCNT = 0;
}
