/* What a board's start-up code and its programs have in common. core.c and one of two others define it: semihost.c for
 * programs in an emulator, device.c for programs that talk over a board's serial port. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdint.h>

/* For the start-up code: paints the unused stack, so that device_stack_used can tell how deep it went. */
void device_paint_stack(void);

/* The stack's high-water mark in bytes, from the reset on. More than there is: the stack overflowed. */
uint32_t device_stack_used(void);

/* Where main's return value goes. device.c: the core resets, as with any status. */
void device_exit(int status) __attribute__((noreturn));

/* Every vector that nothing else uses. It fills in a device_fault and hands it to device_report. */
void device_fault_vector(void);

typedef struct {
    uint32_t exception, pc, lr, sp, exc_return; /* pc and lr are 0 where the stack cannot be read */
    uint32_t cfsr, hfsr, mmfar, bfar;           /* 0 on Armv6-M, which has no such registers */
} device_fault;

/* The last that runs after a fault. device.c: keeps the record in RAM that the start-up code leaves alone, and resets. */
void device_report(const device_fault *fault) __attribute__((noreturn));

/* In device.c only: resets the core; whether the reset before this run was due to a fault, and which; told once. */
void device_reset(void) __attribute__((noreturn));
int device_take_fault(device_fault *to);

#endif
