/* Start-up code of Nordic nRF52840 DK (nRF52840) (Cortex-M4). Compiled and linked only; untested on hardware. */
#include "device.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset(void) __attribute__((noreturn));

void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFU << 20; /* CPACR: floating point faults before this */
    __asm volatile("dsb\n isb" ::: "memory");
    for (uint32_t *to = data_start, *from = data_load; to < data_end; to++, from++) {
        *to = *from;
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    device_paint_stack();
    device_exit(main());
}

/* Of port.c, where that is linked; every exception else is a fault. */
__attribute__((weak)) void port_receive_interrupt(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void), (*exceptions[14])(void), (*interrupts[3])(void);
} vectors = {
    stack_top,
    reset,
    {
        device_fault_vector, /* NMI */
        device_fault_vector, /* HardFault */
        device_fault_vector, /* MemManage */
        device_fault_vector, /* BusFault */
        device_fault_vector, /* UsageFault */
        0, 0, 0, 0,
        device_fault_vector, /* SVCall */
        device_fault_vector, /* DebugMonitor */
        0,
        device_fault_vector, /* PendSV */
        device_fault_vector, /* SysTick */
    },
    {
        [2] = port_receive_interrupt, /* UART0 */
    },
};
