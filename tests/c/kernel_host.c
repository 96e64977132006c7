/* Runs the table on this machine. For each case and vector: the inputs from stdin, the output to stdout. Every buffer is a
 * malloc of the exact size, so that AddressSanitizer sees any access outside it. stderr says which case is running. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_cases.h"

enum { POISON = 0xA5 };

static void *buffer(size_t bytes) {
    void *p = malloc(bytes);
    if (p == 0) {
        abort();
    }
    memset(p, POISON, bytes);
    return p;
}

static int run_vector(const kernel_case *k) {
    int8_t *in[MAX_INPUTS] = {0}, *copy[MAX_INPUTS] = {0};
    int32_t shared = k->out_bytes;
    for (int32_t i = 0; i < k->inputs; i++) {
        if (k->in_at[i] != APART && k->in_at[i] + k->in_bytes[i] > shared) {
            shared = k->in_at[i] + k->in_bytes[i];
        }
    }
    int8_t *out = (int8_t *)buffer((size_t)shared);
    void *scratch = buffer((size_t)k->scratch_bytes);
    int ok = 1;
    for (int32_t i = 0; i < k->inputs; i++) {
        const size_t bytes = (size_t)k->in_bytes[i];
        copy[i] = (int8_t *)buffer(bytes);
        in[i] = k->in_at[i] == APART ? (int8_t *)buffer(bytes) : out + k->in_at[i];
        ok &= fread(copy[i], 1, bytes, stdin) == bytes;
        memcpy(in[i], copy[i], bytes);
    }
    k->run(in, out, scratch);
    for (int32_t i = 0; i < k->inputs; i++) {
        if (k->in_at[i] == APART) {
            ok &= memcmp(in[i], copy[i], (size_t)k->in_bytes[i]) == 0; /* a kernel must not write its inputs */
            free(in[i]);
        }
        free(copy[i]);
    }
    ok &= fwrite(out, 1, (size_t)k->out_bytes, stdout) == (size_t)k->out_bytes;
    free(scratch);
    free(out);
    return ok;
}

int main(void) {
    for (int32_t i = 0; i < kernel_case_count; i++) {
        fprintf(stderr, "case %d\n", (int)i);
        for (int32_t v = 0; v < kernel_vectors; v++) {
            if (!run_vector(&kernel_cases[i])) {
                fprintf(stderr, "input changed, or input or output broken off\n");
                return 1;
            }
        }
    }
    return 0;
}
