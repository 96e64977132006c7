#include "device.h"

#define PAINT 0x5AC3A53CU
#define REGISTER(address) (*(const volatile uint32_t *)(address))

/* From the board's linker script. */
extern uint32_t stack_bottom[], stack_top[];

/* Ends at the caller's frame: a word of its own marks it. */
void device_paint_stack(void) {
    volatile uint32_t here = 0;
    for (volatile uint32_t *p = stack_bottom; p < &here; p++) {
        *p = PAINT;
    }
}

uint32_t device_stack_used(void) {
    const volatile uint32_t *p = stack_bottom;
    while (p < stack_top && *p == PAINT) {
        p++;
    }
    return (uint32_t)stack_top - (uint32_t)p + (p == stack_bottom);
}

/* frame: r0-r3, r12, lr, pc, xpsr as the core stacked them; not read where it is outside the stack. */
__attribute__((used)) static void record_fault(const uint32_t *frame, uint32_t exc_return) {
    const int readable = frame >= stack_bottom && frame + 8 <= stack_top;
    const int registers = (REGISTER(0xE000ED00) >> 16 & 15U) == 15U; /* CPUID: not Armv6-M nor Armv8-M Baseline */
    device_fault fault = {0};
    __asm volatile("mrs %0, ipsr" : "=r"(fault.exception));
    fault.sp = (uint32_t)frame;
    fault.exc_return = exc_return;
    if (readable) {
        fault.pc = frame[6];
        fault.lr = frame[5];
    }
    if (registers) {
        fault.cfsr = REGISTER(0xE000ED28);
        fault.hfsr = REGISTER(0xE000ED2C);
        fault.mmfar = REGISTER(0xE000ED34);
        fault.bfar = REGISTER(0xE000ED38);
    }
    device_report(&fault);
}

/* The stack may be what faulted: the reporter has its own. */
__attribute__((naked)) void device_fault_vector(void) {
    __asm volatile("mov r0, sp\n"
                   "mov r1, lr\n"
                   "ldr r2, =fault_stack_top\n"
                   "mov sp, r2\n"
                   "ldr r2, =record_fault\n"
                   "bx r2\n"
                   ".ltorg\n");
}
