/* STM32U575: RM0456, chapters as below; memory map: chapter 2, its non-secure addresses. Pins: UM2861. Compiled and linked
 * only; untested on hardware. */
#include "port.h"

#include "dwt.h"
#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Reset and clock control */
#define RCC_CR REGISTER(0x46020C00)
#define RCC_CFGR1 REGISTER(0x46020C1C)
#define RCC_PLL1CFGR REGISTER(0x46020C28)
#define RCC_PLL1DIVR REGISTER(0x46020C34)
#define RCC_AHB2ENR1 REGISTER(0x46020C8C)
#define RCC_AHB3ENR REGISTER(0x46020C94)
#define RCC_APB2ENR REGISTER(0x46020CA4)

#define PWR_VOSR REGISTER(0x4602080C) /* Power control */

#define FLASH_ACR REGISTER(0x40022000) /* Embedded flash memory */

#define ICACHE_CR REGISTER(0x40030400) /* Instruction cache */

/* General-purpose I/Os */
#define GPIOA_MODER REGISTER(0x42020000)
#define GPIOA_PUPDR REGISTER(0x4202000C)
#define GPIOA_AFRH REGISTER(0x42020024)

/* Universal synchronous/asynchronous receiver transmitter */
#define USART1_CR1 REGISTER(0x40013800)
#define USART1_CR3 REGISTER(0x40013808)
#define USART1_BRR REGISTER(0x4001380C)
#define USART1_ISR REGISTER(0x4001381C)
#define USART1_RDR REGISTER(0x40013824)
#define USART1_TDR REGISTER(0x40013828)

#define NVIC_ISER1 REGISTER(0xE000E104)

enum { CLOCK_HZ = 160000000, BAUD = 921600, USART1_IRQ = 61 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of USART1_ISR */

static ring received;

/* Waits for a bit or field to become `value`. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    while ((*reg & mask) != value) {
    }
}

/* 160 MHz from the internal oscillator of 16 MHz; buses too. */
static void start_clock(void) {
    RCC_AHB3ENR |= 1U << 2; /* PWR */
    (void)RCC_AHB3ENR;
    RCC_CR |= 1U << 8;                                  /* HSION */
    wait_for(&RCC_CR, 1U << 10, 1U << 10);              /* HSIRDY */
    RCC_PLL1CFGR = 2U | 3U << 2 | 1U << 12 | 1U << 18;  /* HSI, 8 to 16 MHz; / 2 for the booster; output R */
    RCC_PLL1DIVR = 19U | 1U << 9 | 1U << 16 | 1U << 24; /* * 20; each output / 2 */
    PWR_VOSR = (PWR_VOSR & ~(3U << 16)) | 3U << 16;     /* range 1 */
    wait_for(&PWR_VOSR, 1U << 15, 1U << 15);            /* VOSRDY */
    PWR_VOSR |= 1U << 18;                               /* BOOSTEN */
    wait_for(&PWR_VOSR, 1U << 14, 1U << 14);            /* BOOSTRDY */
    FLASH_ACR = 0x104;                                  /* 4 wait states, prefetch */
    wait_for(&FLASH_ACR, 0xF, 4);
    RCC_CR |= 1U << 24;                    /* PLL1ON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25); /* PLL1RDY */
    RCC_CFGR1 = (RCC_CFGR1 & ~3U) | 3U;    /* system clock: PLL1 */
    wait_for(&RCC_CFGR1, 3U << 2, 3U << 2);
    ICACHE_CR |= 1U;
}

void port_start(void) {
    start_clock();
    RCC_AHB2ENR1 |= 1U;      /* GPIOA */
    RCC_APB2ENR |= 1U << 14; /* USART1 */
    (void)RCC_APB2ENR;       /* a clock takes two cycles to arrive */
    GPIOA_AFRH |= 7U << 4 | 7U << 8;
    GPIOA_PUPDR |= 1U << 20;                                                    /* PA10 up */
    GPIOA_MODER = (GPIOA_MODER & ~(3U << 18 | 3U << 20)) | 2U << 18 | 2U << 20; /* alternate functions */
    USART1_BRR = (CLOCK_HZ + BAUD / 2) / BAUD;
    USART1_CR3 = 1U << 12;                                    /* an overrun is no error */
    USART1_CR1 = 1U << 29 | 1U << 5 | 1U << 3 | 1U << 2 | 1U; /* FIFO, interrupt on receive, transmit, receive, on */
    NVIC_ISER1 = 1U << (USART1_IRQ - 32);
    dwt_start();
}

void port_receive_interrupt(void) {
    while ((USART1_ISR & RECEIVED) != 0) {
        ring_put(&received, (uint8_t)USART1_RDR);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((USART1_ISR & CAN_SEND) == 0) {
    }
    USART1_TDR = byte;
}

uint32_t port_count(void) {
    return DWT_CYCCNT;
}

void port_count_restart(void) {
    DWT_CYCCNT = 0;
}
