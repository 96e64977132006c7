/* LM3S6965: its data sheet (DS-LM3S6965), chapters as below. UART0 goes to the board's USB interface. Runs in QEMU;
 * untested on hardware. */
#include "port.h"

#include "ring.h"
#include "systick.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* System control */
#define SYSCTL_RIS REGISTER(0x400FE050)
#define SYSCTL_RCC REGISTER(0x400FE060)
#define SYSCTL_RCGC1 REGISTER(0x400FE104)
#define SYSCTL_RCGC2 REGISTER(0x400FE108)

/* General-purpose input and output, port A */
#define GPIOA_AFSEL REGISTER(0x40004420)
#define GPIOA_DEN REGISTER(0x4000451C)

/* UARTs: Arm PrimeCell PL011 */
#define UART0_DR REGISTER(0x4000C000)
#define UART0_FR REGISTER(0x4000C018)
#define UART0_IBRD REGISTER(0x4000C024)
#define UART0_FBRD REGISTER(0x4000C028)
#define UART0_LCRH REGISTER(0x4000C02C)
#define UART0_CTL REGISTER(0x4000C030)
#define UART0_IM REGISTER(0x4000C038)
#define UART0_ICR REGISTER(0x4000C044)

#define NVIC_EN0 REGISTER(0xE000E100)

enum { CLOCK_HZ = 50000000, BAUD = 921600, UART0_IRQ = 5 };
enum { DIVISOR = (CLOCK_HZ * 4 + BAUD / 2) / BAUD }; /* in 64ths of 16 bauds */
enum { RECEIVE_EMPTY = 1 << 4, TRANSMIT_FULL = 1 << 5 }; /* of UART0_FR */

static ring received;

/* 50 MHz from the crystal of 8 MHz: the PLL's 200 MHz / 4. */
static void start_clock(void) {
    SYSCTL_RCC = (SYSCTL_RCC | 1U << 11) & ~(1U << 22);                             /* BYPASS, not yet USESYSDIV */
    SYSCTL_RCC = (SYSCTL_RCC & ~(0xFU << 6 | 3U << 4 | 1U << 13 | 1U)) | 0xEU << 6; /* 8 MHz, main oscillator, PLL on */
    SYSCTL_RCC = (SYSCTL_RCC & ~(0xFU << 23)) | 3U << 23 | 1U << 22;                /* SYSDIV: 4, USESYSDIV */
    for (uint32_t i = 0; i < 100000 && (SYSCTL_RIS & 1U << 6) == 0; i++) {          /* until the PLL locks */
    }
    SYSCTL_RCC &= ~(1U << 11);
}

void port_start(void) {
    start_clock();
    SYSCTL_RCGC1 |= 1; /* UART0 */
    SYSCTL_RCGC2 |= 1; /* port A */
    (void)SYSCTL_RCGC2;
    (void)SYSCTL_RCGC2; /* a clock takes three cycles to arrive */
    GPIOA_AFSEL |= 3;
    GPIOA_DEN |= 3;
    UART0_CTL = 0;
    UART0_IBRD = DIVISOR / 64;
    UART0_FBRD = DIVISOR % 64;
    UART0_LCRH = 0x70;            /* 8 bits, 16 bytes of FIFO */
    UART0_IM = 1U << 4 | 1U << 6; /* bytes have come, or have waited for 32 bits */
    UART0_CTL = 0x301;            /* on, transmit, receive */
    NVIC_EN0 = 1U << UART0_IRQ;
    systick_restart();
}

void port_receive_interrupt(void) {
    UART0_ICR = 1U << 4 | 1U << 6;
    while ((UART0_FR & RECEIVE_EMPTY) == 0) {
        ring_put(&received, (uint8_t)UART0_DR);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((UART0_FR & TRANSMIT_FULL) != 0) {
    }
    UART0_DR = byte;
}

uint32_t port_count(void) {
    return systick_count();
}

void port_count_restart(void) {
    systick_restart();
}
