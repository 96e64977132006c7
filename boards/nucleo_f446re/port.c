/* STM32F446: RM0390, chapters as below; memory map: chapter 2. Pins: UM1724. Compiled and linked only; untested on
 * hardware. */
#include "port.h"

#include "dwt.h"
#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Reset and clock control */
#define RCC_CR REGISTER(0x40023800)
#define RCC_PLLCFGR REGISTER(0x40023804)
#define RCC_CFGR REGISTER(0x40023808)
#define RCC_AHB1ENR REGISTER(0x40023830)
#define RCC_APB1ENR REGISTER(0x40023840)

#define FLASH_ACR REGISTER(0x40023C00) /* Embedded flash memory interface */

/* General-purpose I/Os */
#define GPIOA_MODER REGISTER(0x40020000)
#define GPIOA_PUPDR REGISTER(0x4002000C)
#define GPIOA_AFRL REGISTER(0x40020020)

/* Universal synchronous receiver transmitter */
#define USART2_SR REGISTER(0x40004400)
#define USART2_DR REGISTER(0x40004404)
#define USART2_BRR REGISTER(0x40004408)
#define USART2_CR1 REGISTER(0x4000440C)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { APB1_HZ = 42000000, BAUD = 921600, USART2_IRQ = 38 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of USART2_SR */

static ring received;

/* Waits for a bit or field to become `value`. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    while ((*reg & mask) != value) {
    }
}

/* 168 MHz from the internal oscillator of 16 MHz; APB1 at 42 MHz. */
static void start_clock(void) {
    FLASH_ACR = 0x705;                                  /* 5 wait states, prefetch, caches */
    RCC_PLLCFGR = 8U | 168U << 6 | 7U << 24 | 2U << 28; /* 16 MHz / 8 * 168 / 2 */
    RCC_CR |= 1U << 24;                                 /* PLLON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25);              /* PLLRDY */
    RCC_CFGR = 5U << 10 | 4U << 13;                     /* APB1 / 4, APB2 / 2 */
    RCC_CFGR |= 2U;                                     /* system clock: PLL */
    wait_for(&RCC_CFGR, 3U << 2, 2U << 2);
}

void port_start(void) {
    start_clock();
    RCC_AHB1ENR |= 1U;       /* GPIOA */
    RCC_APB1ENR |= 1U << 17; /* USART2 */
    (void)RCC_APB1ENR;       /* a clock takes two cycles to arrive */
    GPIOA_AFRL |= 7U << 8 | 7U << 12;
    GPIOA_PUPDR |= 1U << 6;                              /* PA3 up */
    GPIOA_MODER |= 2U << 4 | 2U << 6;                    /* alternate functions */
    USART2_BRR = (APB1_HZ + BAUD / 2) / BAUD;            /* 0.9 % slow */
    USART2_CR1 = 1U << 13 | 1U << 5 | 1U << 3 | 1U << 2; /* on, interrupt on receive, transmit, receive */
    NVIC_ISER1 = 1U << (USART2_IRQ - 32);
    dwt_start();
}

/* Reading the status, then the data clears an overrun too. */
void port_receive_interrupt(void) {
    const uint32_t status = USART2_SR;
    const uint8_t byte = (uint8_t)USART2_DR;
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
    while ((USART2_SR & CAN_SEND) == 0) {
    }
    USART2_DR = byte;
}

uint32_t port_count(void) {
    return DWT_CYCCNT;
}

void port_count_restart(void) {
    DWT_CYCCNT = 0;
}
