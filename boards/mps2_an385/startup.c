/* Start-up code of Arm MPS2, FPGA image AN385 (Cortex-M3). Runs in QEMU; untested on hardware. */
#include "device.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset(void) __attribute__((noreturn));

void reset(void) {
    /* Nothing answers below RAM, nor does it fault: the MPU makes 16 MiB there fault, for a stack that overflows. */
    *(volatile uint32_t *)0xE000ED98 = 0; /* MPU_RNR */
    *(volatile uint32_t *)0xE000ED9C = 0x1F000000; /* MPU_RBAR */
    *(volatile uint32_t *)0xE000EDA0 = 1U << 28 | 23U << 1 | 1U; /* MPU_RASR: no access, 2^24 bytes, on */
    *(volatile uint32_t *)0xE000ED94 = 5; /* MPU_CTRL: elsewhere as without it; on */
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
    void (*reset)(void), (*exceptions[14])(void), (*interrupts[1])(void);
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
        port_receive_interrupt, /* UART 0 */
    },
};
