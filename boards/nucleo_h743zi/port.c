/* STM32H743: RM0433, chapters as below; memory map: chapter 2. Pins: UM1974 and UM2407. Compiled and linked only; untested
 * on hardware. */
#include "port.h"

#include "dwt.h"
#include "ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Reset and clock control */
#define RCC_CR REGISTER(0x58024400)
#define RCC_CFGR REGISTER(0x58024410)
#define RCC_D1CFGR REGISTER(0x58024418)
#define RCC_D2CFGR REGISTER(0x5802441C)
#define RCC_D3CFGR REGISTER(0x58024420)
#define RCC_PLLCKSELR REGISTER(0x58024428)
#define RCC_PLLCFGR REGISTER(0x5802442C)
#define RCC_PLL1DIVR REGISTER(0x58024430)
#define RCC_AHB4ENR REGISTER(0x580244E0)
#define RCC_APB1LENR REGISTER(0x580244E8)

#define PWR_D3CR REGISTER(0x58024818) /* Power control */

#define FLASH_ACR REGISTER(0x52002000) /* Embedded flash memory */

/* General-purpose I/Os */
#define GPIOD_MODER REGISTER(0x58020C00)
#define GPIOD_PUPDR REGISTER(0x58020C0C)
#define GPIOD_AFRH REGISTER(0x58020C24)

/* Universal synchronous/asynchronous receiver transmitter */
#define USART3_CR1 REGISTER(0x40004800)
#define USART3_CR3 REGISTER(0x40004808)
#define USART3_BRR REGISTER(0x4000480C)
#define USART3_ISR REGISTER(0x4000481C)
#define USART3_RDR REGISTER(0x40004824)
#define USART3_TDR REGISTER(0x40004828)

#define NVIC_ISER1 REGISTER(0xE000E104)

/* PM0253, L1 caches */
#define SCB_CCR REGISTER(0xE000ED14)
#define SCB_ICIALLU REGISTER(0xE000EF50)
#define SCB_DCISW REGISTER(0xE000EF60)

enum { APB1_HZ = 100000000, BAUD = 921600, USART3_IRQ = 39 };
enum { RECEIVED = 1 << 5, CAN_SEND = 1 << 7 }; /* of USART3_ISR */

static ring received;

/* Waits for a bit or field to become `value`. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    while ((*reg & mask) != value) {
    }
}

/* 400 MHz from the internal oscillator of 64 MHz; AXI and AHB at 200 MHz, APB at 100. */
static void start_clock(void) {
    PWR_D3CR = 3U << 14;                                /* voltage scale 1 */
    wait_for(&PWR_D3CR, 1U << 13, 1U << 13);            /* VOSRDY */
    FLASH_ACR = 0x22;                                   /* 2 wait states */
    RCC_D1CFGR = 8U | 4U << 4;                          /* AHB / 2, APB3 / 2 */
    RCC_D2CFGR = 4U << 4 | 4U << 8;                     /* APB1 / 2, APB2 / 2 */
    RCC_D3CFGR = 4U << 4;                               /* APB4 / 2 */
    RCC_PLLCKSELR = 4U << 4;                            /* HSI / 4 */
    RCC_PLLCFGR = 3U << 2 | 1U << 16;                   /* from 8 to 16 MHz; output P */
    RCC_PLL1DIVR = 49U | 1U << 9 | 1U << 16 | 1U << 24; /* * 50; each output / 2 */
    RCC_CR |= 1U << 24;                                 /* PLL1ON */
    wait_for(&RCC_CR, 1U << 25, 1U << 25);              /* PLL1RDY */
    RCC_CFGR = 3U;                                      /* system clock: PLL1 */
    wait_for(&RCC_CFGR, 7U << 3, 3U << 3);
}

static void start_caches(void) {
    for (uint32_t set = 0; set < 128; set++) { /* of data: 16 KiB in 4 ways of lines of 32 bytes */
        for (uint32_t way = 0; way < 4; way++) {
            SCB_DCISW = way << 30 | set << 5;
        }
    }
    SCB_ICIALLU = 0;
    __asm volatile("dsb\n isb" ::: "memory");
    SCB_CCR |= 1U << 16 | 1U << 17;
    __asm volatile("dsb\n isb" ::: "memory");
}

void port_start(void) {
    start_clock();
    start_caches();
    RCC_AHB4ENR |= 1U << 3;   /* GPIOD */
    RCC_APB1LENR |= 1U << 18; /* USART3 */
    (void)RCC_APB1LENR;       /* a clock takes two cycles to arrive */
    GPIOD_AFRH |= 7U | 7U << 4;
    GPIOD_PUPDR |= 1U << 18;                                                    /* PD9 up */
    GPIOD_MODER = (GPIOD_MODER & ~(3U << 16 | 3U << 18)) | 2U << 16 | 2U << 18; /* alternate functions */
    USART3_BRR = (APB1_HZ + BAUD / 2) / BAUD;
    USART3_CR3 = 1U << 12;                                    /* an overrun is no error */
    USART3_CR1 = 1U << 29 | 1U << 5 | 1U << 3 | 1U << 2 | 1U; /* FIFO, interrupt on receive, transmit, receive, on */
    NVIC_ISER1 = 1U << (USART3_IRQ - 32);
    dwt_start();
}

void port_receive_interrupt(void) {
    while ((USART3_ISR & RECEIVED) != 0) {
        ring_put(&received, (uint8_t)USART3_RDR);
    }
}

int32_t port_read(void) {
    return ring_get(&received);
}

void port_wait(void) {
    ring_wait(&received);
}

void port_write(uint8_t byte) {
    while ((USART3_ISR & CAN_SEND) == 0) {
    }
    USART3_TDR = byte;
}

uint32_t port_count(void) {
    return DWT_CYCCNT;
}

void port_count_restart(void) {
    DWT_CYCCNT = 0;
}
