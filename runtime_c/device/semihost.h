/* A program's connection to the computer it is emulated on: input and output as files, messages, exit, faults.
 * Arm semihosting (BKPT 0xAB); QEMU answers it, so does a debugger. Nothing here is part of a generated library. */
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include <stdint.h>

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

/* Prints the stack's high-water mark, closes the files and ends the emulation with this exit status. */
void semihost_exit(int status) __attribute__((noreturn));

/* For the start-up code: paints the unused stack, so that semihost_exit can tell how deep it went. */
void semihost_paint_stack(void);

/* Every fault vector: prints the fault registers in one line and ends the emulation with status FAULT_STATUS. */
void semihost_fault_vector(void);
enum { FAULT_STATUS = 125 };

#endif
