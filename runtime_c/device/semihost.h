/* A program's connection to the computer it is emulated on: input and output as files, messages, exit, faults.
 * Arm semihosting (BKPT 0xAB); QEMU answers it, so does a debugger. Nothing here is part of a generated library. */
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include "device.h"

/* Counting marks: an instruction that compilers do not produce and that does nothing. benchmarks/plugin/count.c counts
 * the instructions executed between a BEGIN and its END, without the two. They may nest. */
#define COUNT_BEGIN() __asm volatile("mov r9, r9" ::: "memory")
#define COUNT_END() __asm volatile("mov r10, r10" ::: "memory")

/* Reads the next bytes of the file `input`. Returns how many there were. */
uint32_t semihost_read(void *to, uint32_t bytes);

/* Appends to the file `output`. Returns how many bytes were written. */
uint32_t semihost_write(const void *from, uint32_t bytes);

/* Message for the emulator's console. */
void semihost_print(const char *text);
void semihost_print_hex(uint32_t value);

/* device_exit prints the stack's high-water mark, closes the files and ends the emulation with its status; device_report
 * prints the fault's registers in one line and ends it with FAULT_STATUS. */
enum { FAULT_STATUS = 125 };

#endif
