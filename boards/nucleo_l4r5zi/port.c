/* STM32L4R5: RM0432, chapters as below; memory map: chapter 2. Pins: UM2179. Compiled and linked only; untested on
 * hardware. */
#include "port.h"

#include "dwt.h"
#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Reset and clock control */
#define RCC_CR REGISTER(0x40021000)
#define RCC_CFGR REGISTER(0x40021008)
#define RCC_PLLCFGR REGISTER(0x4002100C)
#define RCC_AHB2ENR REGISTER(0x4002104C)
#define RCC_APB1ENR1 REGISTER(0x40021058)
#define RCC_APB1ENR2 REGISTER(0x4002105C)

/* Power control */
#define PWR_CR2 REGISTER(0x40007004)
#define PWR_CR5 REGISTER(0x40007080)

#define FLASH_ACR REGISTER(0x40022000) /* Embedded flash memory */

/* General-purpose I/Os */
#define GPIOG_MODER REGISTER(0x48001800)
#define GPIOG_PUPDR REGISTER(0x4800180C)
#define GPIOG_AFRL REGISTER(0x48001820)
#define GPIOG_AFRH REGISTER(0x48001824)

/* Low-power universal asynchronous receiver transmitter */
#define LPUART1_CR1 REGISTER(0x40008000)
#define LPUART1_CR3 REGISTER(0x40008008)
#define LPUART1_BRR REGISTER(0x4000800C)
#define LPUART1_ISR REGISTER(0x4000801C)
#define LPUART1_RDR REGISTER(0x40008024)
#define LPUART1_TDR REGISTER(0x40008028)

#define NVIC_ISER2 REGISTER(0xE000E108)

enum { CLOCK_HZ = 120000000, BAUD = 921600, LPUART1_IRQ = 70 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of LPUART1_ISR */

static ring received;

/* Waits for a bit or field to become `value`. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    while ((*reg & mask) != value) {
    }
}

/* 120 MHz, in boost mode, from the internal oscillator of 16 MHz; buses too. */
static void start_clock(void) {
    RCC_APB1ENR1 |= 1U << 28; /* PWR */
    (void)RCC_APB1ENR1;
    PWR_CR5 &= ~(1U << 8);                                   /* R1MODE: boost */
    RCC_CR |= 1U << 8;                                       /* HSION */
    wait_for(&RCC_CR, 1U << 10, 1U << 10);                   /* HSIRDY */
    RCC_PLLCFGR = 2U | (2U - 1U) << 4 | 30U << 8 | 1U << 24; /* HSI / 2 * 30 / 2; to the system */
    RCC_CR |= 1U << 24;                                      /* PLLON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25);                   /* PLLRDY */
    FLASH_ACR = 0x705;                                       /* 5 wait states, prefetch, caches */
    wait_for(&FLASH_ACR, 0xF, 5);
    RCC_CFGR = 8U << 4 | 3U; /* system clock: PLL; half of it at first, as from below to above 80 MHz it must be */
    wait_for(&RCC_CFGR, 3U << 2, 3U << 2);
    for (volatile uint32_t i = 0; i < 100; i++) { /* 1 us at least */
    }
    RCC_CFGR = 3U;
}

void port_start(void) {
    start_clock();
    RCC_AHB2ENR |= 1U << 6; /* GPIOG */
    RCC_APB1ENR2 |= 1U;     /* LPUART1 */
    (void)RCC_APB1ENR2;     /* a clock takes two cycles to arrive */
    PWR_CR2 |= 1U << 9;     /* IOSV: the supply of port G is there */
    GPIOG_AFRL |= 8U << 28;
    GPIOG_AFRH |= 8U;
    GPIOG_PUPDR |= 1U << 16;                                                    /* PG8 up */
    GPIOG_MODER = (GPIOG_MODER & ~(3U << 14 | 3U << 16)) | 2U << 14 | 2U << 16; /* alternate functions */
    LPUART1_BRR = (uint32_t)((256ULL * CLOCK_HZ + BAUD / 2) / BAUD);
    LPUART1_CR3 = 1U << 12;                                    /* an overrun is no error */
    LPUART1_CR1 = 1U << 29 | 1U << 5 | 1U << 3 | 1U << 2 | 1U; /* FIFO, interrupt on receive, transmit, receive, on */
    NVIC_ISER2 = 1U << (LPUART1_IRQ - 64);
    dwt_start();
}

void port_receive_interrupt(void) {
    while ((LPUART1_ISR & RECEIVED) != 0) {
        ring_put(&received, (uint8_t)LPUART1_RDR);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((LPUART1_ISR & CAN_SEND) == 0) {
    }
    LPUART1_TDR = byte;
}

uint32_t port_count(void) {
    return DWT_CYCCNT;
}

void port_count_restart(void) {
    DWT_CYCCNT = 0;
}
