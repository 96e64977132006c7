/* The table that tests/kernel_harness.py emits; a main program runs it: kernel_host.c on this machine. */
#ifndef KERNEL_CASES_H
#define KERNEL_CASES_H

#include <stdint.h>

enum { MAX_INPUTS = 4, APART = -1 };

typedef struct {
    void (*run)(int8_t *const *in, int8_t *out, void *scratch);
    int32_t inputs;
    int32_t in_bytes[MAX_INPUTS];
    int32_t in_at[MAX_INPUTS]; /* in bytes from the output's start, or APART: memory of its own */
    int32_t out_bytes, scratch_bytes;
} kernel_case;

extern const kernel_case kernel_cases[];
extern const int32_t kernel_case_count;
extern const int32_t kernel_vectors; /* inputs for each case */

#endif
