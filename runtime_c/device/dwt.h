/* The core's cycle counter, in the data watchpoint and trace unit of Armv7-M and Armv8-M Mainline cores. For port.c.
 * Armv7-M ARM (DDI 0403) C1.8, Armv8-M ARM (DDI 0553) D1.2. */
#ifndef DWT_H
#define DWT_H

#include <stdint.h>

#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004)

static inline void dwt_start(void) {
    *(volatile uint32_t *)0xE000EDFC |= 1U << 24;  /* DEMCR.TRCENA */
    *(volatile uint32_t *)0xE0001FB0 = 0xC5ACCE55; /* DWT_LAR: the key that some Cortex-M7 want */
    *(volatile uint32_t *)0xE0001000 |= 1U;        /* DWT_CTRL.CYCCNTENA */
    DWT_CYCCNT = 0;
}

#endif
