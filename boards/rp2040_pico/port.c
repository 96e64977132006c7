/* RP2040: its datasheet, sections as below. Compiled and linked only; untested on hardware. */
#include "port.h"

#include "ring.h"
#include "systick.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Subsystem resets */
#define RESETS_RESET REGISTER(0x4000C000)
#define RESETS_DONE REGISTER(0x4000C008)

/* Clocks */
#define CLK_REF_CTRL REGISTER(0x40008030)
#define CLK_REF_SELECTED REGISTER(0x40008038)
#define CLK_SYS_CTRL REGISTER(0x4000803C)
#define CLK_SYS_SELECTED REGISTER(0x40008044)
#define CLK_PERI_CTRL REGISTER(0x40008048)

/* Crystal oscillator */
#define XOSC_CTRL REGISTER(0x40024000)
#define XOSC_STATUS REGISTER(0x40024004)
#define XOSC_STARTUP REGISTER(0x4002400C)

/* PLL */
#define PLL_SYS_CS REGISTER(0x40028000)
#define PLL_SYS_PWR REGISTER(0x40028004)
#define PLL_SYS_FBDIV REGISTER(0x40028008)
#define PLL_SYS_PRIM REGISTER(0x4002800C)

/* GPIO */
#define IO_GPIO0_CTRL REGISTER(0x40014004)
#define IO_GPIO1_CTRL REGISTER(0x4001400C)
#define PADS_GPIO1 REGISTER(0x4001C008)

/* UART: Arm PrimeCell PL011 */
#define UART0_DR REGISTER(0x40034000)
#define UART0_FR REGISTER(0x40034018)
#define UART0_IBRD REGISTER(0x40034024)
#define UART0_FBRD REGISTER(0x40034028)
#define UART0_LCRH REGISTER(0x4003402C)
#define UART0_CTL REGISTER(0x40034030)
#define UART0_IM REGISTER(0x40034038)
#define UART0_ICR REGISTER(0x40034044)

#define NVIC_ISER REGISTER(0xE000E100)

enum { CLOCK_HZ = 125000000, BAUD = 921600, UART0_IRQ = 20 };
enum { DIVISOR = (CLOCK_HZ * 4LL + BAUD / 2) / BAUD }; /* in 64ths of 16 bauds */
enum { RECEIVE_EMPTY = 1 << 4, TRANSMIT_FULL = 1 << 5 }; /* of UART0_FR */
enum { IO_BANK0 = 1 << 5, PADS_BANK0 = 1 << 8, PLL_SYS = 1 << 12, UART0 = 1 << 22 }; /* of RESETS */

static ring received;

/* Waits for a bit or field to become `value`. */
static void wait_for(const volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    while ((*reg & mask) != value) {
    }
}

/* Resets and starts again: a reset of the core alone leaves them as they were. */
static void restart(uint32_t parts) {
    RESETS_RESET |= parts;
    RESETS_RESET &= ~parts;
    wait_for(&RESETS_DONE, parts, parts);
}

/* 125 MHz from the crystal of 12 MHz: * 125 / 6 / 2. */
static void start_clock(void) {
    XOSC_STARTUP = 47; /* 1 ms, in units of 256 cycles */
    XOSC_CTRL = 0xFABU << 12 | 0xAA0U;
    wait_for(&XOSC_STATUS, 1U << 31, 1U << 31); /* STABLE */
    CLK_SYS_CTRL = 0;                           /* the reference clock, while the PLL changes */
    wait_for(&CLK_SYS_SELECTED, 3, 1);
    CLK_REF_CTRL = 2; /* the crystal */
    wait_for(&CLK_REF_SELECTED, 4, 4);
    restart(PLL_SYS);
    PLL_SYS_CS = 1;
    PLL_SYS_FBDIV = 125;
    PLL_SYS_PWR = 1U << 2 | 1U << 3;           /* all but the dividers behind it and the modulator */
    wait_for(&PLL_SYS_CS, 1U << 31, 1U << 31); /* LOCK */
    PLL_SYS_PRIM = 6U << 16 | 2U << 12;
    PLL_SYS_PWR = 1U << 2;
    CLK_SYS_CTRL = 1; /* the PLL */
    wait_for(&CLK_SYS_SELECTED, 3, 2);
    CLK_PERI_CTRL = 1U << 11; /* the same, on */
}

void port_start(void) {
    start_clock();
    restart(IO_BANK0 | PADS_BANK0 | UART0);
    PADS_GPIO1 = 1U << 6 | 1U << 3 | 1U << 1; /* an input, pulled up, with hysteresis */
    IO_GPIO0_CTRL = 2;
    IO_GPIO1_CTRL = 2;
    UART0_IBRD = DIVISOR / 64;
    UART0_FBRD = DIVISOR % 64;
    UART0_LCRH = 0x70;            /* 8 bits, 32 bytes of FIFO */
    UART0_IM = 1U << 4 | 1U << 6; /* bytes have come, or have waited for 32 bits */
    UART0_CTL = 0x301;            /* on, transmit, receive */
    NVIC_ISER = 1U << UART0_IRQ;
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
