/* STM32F405: RM0090 (rev 19) and its sections below; memory map 2.3. USART1 at the header's pins SC and SD. Runs in QEMU,
 * where clocks and pins answer 0 to everything; untested on hardware. */
#include "port.h"

#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* 7.3, reset and clock control */
#define RCC_CR REGISTER(0x40023800)
#define RCC_PLLCFGR REGISTER(0x40023804)
#define RCC_CFGR REGISTER(0x40023808)
#define RCC_AHB1ENR REGISTER(0x40023830)
#define RCC_APB1ENR REGISTER(0x40023840)
#define RCC_APB2ENR REGISTER(0x40023844)

#define FLASH_ACR REGISTER(0x40023C00) /* 3.9.1 */

/* 8.4 */
#define GPIOB_MODER REGISTER(0x40020400)
#define GPIOB_PUPDR REGISTER(0x4002040C)
#define GPIOB_AFRL REGISTER(0x40020420)

/* 30.6 */
#define USART1_SR REGISTER(0x40011000)
#define USART1_DR REGISTER(0x40011004)
#define USART1_BRR REGISTER(0x40011008)
#define USART1_CR1 REGISTER(0x4001100C)

/* 18.4 */
#define TIM2_CR1 REGISTER(0x40000000)
#define TIM2_CNT REGISTER(0x40000024)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { APB2_HZ = 84000000, BAUD = 921600, USART1_IRQ = 37 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of USART1_SR */

static ring received;

/* Goes on after a while all the same: QEMU has no such register, and a clock that does not start shows as a wrong baud
 * rate. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < 100000 && (*reg & mask) != value; i++) {
    }
}

/* 168 MHz from the internal oscillator of 16 MHz; APB1 at 42 MHz, its timers and APB2 at 84. */
static void start_clock(void) {
    FLASH_ACR = 0x705;                       /* 5 wait states, prefetch, caches */
    RCC_PLLCFGR = 8U | 168U << 6 | 7U << 24; /* 16 MHz / 8 * 168 / 2 */
    RCC_CR |= 1U << 24;                      /* PLLON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25);   /* PLLRDY */
    RCC_CFGR = 5U << 10 | 4U << 13;          /* APB1 / 4, APB2 / 2 */
    RCC_CFGR |= 2U;                          /* system clock: PLL */
    wait_for(&RCC_CFGR, 3U << 2, 2U << 2);
}

void port_start(void) {
    start_clock();
    RCC_AHB1ENR |= 1U << 1; /* GPIOB */
    RCC_APB1ENR |= 1U;      /* TIM2 */
    RCC_APB2ENR |= 1U << 4; /* USART1 */
    (void)RCC_APB2ENR;      /* a clock takes two cycles to arrive */
    GPIOB_AFRL |= 7U << 24 | 7U << 28;
    GPIOB_PUPDR |= 1U << 14;            /* PB7 up */
    GPIOB_MODER |= 2U << 12 | 2U << 14; /* alternate functions */
    USART1_BRR = (APB2_HZ + BAUD / 2) / BAUD;
    USART1_CR1 = 1U << 13 | 1U << 5 | 1U << 3 | 1U << 2; /* on, interrupt on receive, transmit, receive */
    NVIC_ISER1 = 1U << (USART1_IRQ - 32);
    TIM2_CR1 = 1;
    port_count_restart();
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
    return TIM2_CNT;
}

void port_count_restart(void) {
    TIM2_CNT = 0;
}
