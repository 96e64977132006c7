/* STM32F100: RM0041 (rev 6) and its sections below; memory map 2.3. Runs in QEMU, where clocks and pins answer 0 to
 * everything; untested on hardware. */
#include "port.h"

#include "ring.h"
#include "systick.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* 6.3, reset and clock control */
#define RCC_CR REGISTER(0x40021000)
#define RCC_CFGR REGISTER(0x40021004)
#define RCC_APB2ENR REGISTER(0x40021018)

#define GPIOA_CRH REGISTER(0x40010804) /* 7.2 */

/* 23.6 */
#define USART1_SR REGISTER(0x40013800)
#define USART1_DR REGISTER(0x40013804)
#define USART1_BRR REGISTER(0x40013808)
#define USART1_CR1 REGISTER(0x4001380C)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { CLOCK_HZ = 24000000, BAUD = 921600, USART1_IRQ = 37 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of USART1_SR */

static ring received;

/* Goes on after a while all the same: QEMU has no such register, and a clock that does not start shows as a wrong baud
 * rate. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < 100000 && (*reg & mask) != value; i++) {
    }
}

/* 24 MHz from the internal oscillator of 8 MHz: / 2 * 6, without wait states. */
static void start_clock(void) {
    RCC_CFGR = 4U << 18;
    RCC_CR |= 1U << 24;                    /* PLLON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25); /* PLLRDY */
    RCC_CFGR |= 2U;                        /* system clock: PLL */
    wait_for(&RCC_CFGR, 3U << 2, 2U << 2);
}

void port_start(void) {
    start_clock();
    RCC_APB2ENR |= 1U << 2 | 1U << 14;         /* GPIOA, USART1 */
    GPIOA_CRH = (GPIOA_CRH & ~0xFF0U) | 0x4B0; /* PA9: alternate function, push-pull, 50 MHz; PA10: input */
    USART1_BRR = (CLOCK_HZ + BAUD / 2) / BAUD;
    USART1_CR1 = 1U << 13 | 1U << 5 | 1U << 3 | 1U << 2; /* on, interrupt on receive, transmit, receive */
    NVIC_ISER1 = 1U << (USART1_IRQ - 32);
    systick_restart();
}

/* Reading the status, then the data clears an overrun too. */
void port_receive_interrupt(void) {
    const uint32_t status = USART1_SR;
    const uint8_t byte = (uint8_t)USART1_DR;
    if ((status & RECEIVED) != 0) {
        ring_put(&received, byte);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((USART1_SR & CAN_SEND) == 0) {
    }
    USART1_DR = byte;
}

uint32_t port_count(void) {
    return systick_count();
}

void port_count_restart(void) {
    systick_restart();
}
