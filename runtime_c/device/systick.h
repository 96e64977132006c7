/* SysTick, the core's own timer of 24 bits, as a counter of 32: an interrupt each time it runs out counts the upper bits.
 * For port.c where there is no better counter. Armv6-M ARM (DDI 0419) B3.3, Armv7-M ARM (DDI 0403) B3.3. */
#ifndef SYSTICK_H
#define SYSTICK_H

#include <stdint.h>

#define SYSTICK_REGISTER(offset) (*(volatile uint32_t *)(0xE000E010U + (offset)))

static volatile uint32_t systick_runs;

/* The vector of SysTick in startup.c. */
void port_systick_interrupt(void);

void port_systick_interrupt(void) {
    systick_runs++;
}

/* Counts the core's cycles from 0. */
static inline void systick_restart(void) {
    SYSTICK_REGISTER(0) = 0;
    SYSTICK_REGISTER(4) = 0xFFFFFF; /* reload */
    SYSTICK_REGISTER(8) = 0;        /* a write of anything clears it; the next cycle reloads it */
    systick_runs = 0;
    SYSTICK_REGISTER(0) = 7; /* the core's clock, interrupt, on */
}

static inline uint32_t systick_count(void) {
    uint32_t runs, left;
    do { /* again where it ran out in between, or did so and the interrupt is still to come (ICSR.PENDSTSET) */
        runs = systick_runs;
        left = SYSTICK_REGISTER(8);
    } while (runs != systick_runs || (*(volatile uint32_t *)0xE000ED04 >> 26 & 1U) != 0);
    return (runs << 24) + ((0U - left) & 0xFFFFFFU);
}

#endif
