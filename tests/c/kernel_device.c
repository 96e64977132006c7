/* Runs the table on a board: kernel_host.c with memory of its own for malloc. Every buffer has guard bytes around it. The
 * console says which case is running. */
#include <string.h>

#include "kernel_cases.h"
#include "semihost.h"

enum { POISON = 0xA5, GUARD = 16, POOL = 1 << 20 };

static uint8_t pool[POOL] __attribute__((aligned(16)));
static uint32_t used;

/* 16-byte aligned, filled with POISON, GUARD bytes of it on both sides. */
static int8_t *buffer(int32_t bytes) {
    const uint32_t start = used + GUARD, end = start + (uint32_t)bytes;
    used = (end + GUARD + 15U) & ~15U;
    if (used > POOL) {
        semihost_print("pool too small\n");
        device_exit(1);
    }
    memset(&pool[start - GUARD], POISON, used - (start - GUARD));
    return (int8_t *)&pool[start];
}

static int guarded(const int8_t *start, int32_t bytes) {
    int ok = 1;
    for (int32_t i = 0; i < GUARD; i++) {
        ok &= (uint8_t)start[-1 - i] == POISON && (uint8_t)start[bytes + i] == POISON;
    }
    return ok;
}

static int run_vector(const kernel_case *k) {
    int8_t *in[MAX_INPUTS] = {0}, *copy[MAX_INPUTS] = {0};
    int32_t shared = k->out_bytes;
    used = 0;
    for (int32_t i = 0; i < k->inputs; i++) {
        if (k->in_at[i] != APART && k->in_at[i] + k->in_bytes[i] > shared) {
            shared = k->in_at[i] + k->in_bytes[i];
        }
    }
    int8_t *out = buffer(shared);
    int8_t *scratch = buffer(k->scratch_bytes);
    int ok = 1;
    for (int32_t i = 0; i < k->inputs; i++) {
        const uint32_t bytes = (uint32_t)k->in_bytes[i];
        copy[i] = buffer(k->in_bytes[i]);
        in[i] = k->in_at[i] == APART ? buffer(k->in_bytes[i]) : out + k->in_at[i];
        ok &= semihost_read(copy[i], bytes) == bytes;
        memcpy(in[i], copy[i], bytes);
    }
    k->run(in, out, scratch);
    ok &= guarded(out, shared) && guarded(scratch, k->scratch_bytes);
    for (int32_t i = 0; i < k->inputs; i++) {
        if (k->in_at[i] == APART) { /* a kernel must not write its inputs */
            ok &= memcmp(in[i], copy[i], (size_t)k->in_bytes[i]) == 0 && guarded(in[i], k->in_bytes[i]);
        }
    }
    ok &= semihost_write(out, (uint32_t)k->out_bytes) == (uint32_t)k->out_bytes;
    return ok;
}

int main(void) {
    for (int32_t i = 0; i < kernel_case_count; i++) {
        semihost_print("case ");
        semihost_print_hex((uint32_t)i);
        semihost_print("\n");
        for (int32_t v = 0; v < kernel_vectors; v++) {
            if (!run_vector(&kernel_cases[i])) {
                semihost_print("wrote outside its output, or input or output broken off\n");
                return 1;
            }
        }
    }
    return 0;
}
