/* Helium: the matrix product inside conv2d, 1x1 convolution and fully_connected.
 *
 * out[i] = W * x[i] for pixels i, two pixels and four outputs at a time, or one pixel and eight outputs: eight sums in the
 * eight registers that VMLADAVA can add to. A chunk is 16 inputs. Weights are a stream of blocks of four outputs: the
 * block's four biases (int32), its weights [chunks][4][16], its four negated shifts (int32); zeros fill up outputs and
 * inputs. x is read in whole chunks.
 * The blocks in assembler have their twins in C below them, which other machines compile.
 */
#ifndef EDGEQ_LINEAR_MVE_H
#define EDGEQ_LINEAR_MVE_H

#include <string.h>

#include "edgeq_mve.h"

enum { EDGEQ_MVE_CHUNK = 16, EDGEQ_MVE_BLOCK = 4 }; /* inputs and outputs taken at a time */

/* Bytes from one block to the next. */
static inline int32_t edgeq_mve_block_bytes(int32_t chunks) {
    return 32 + EDGEQ_MVE_BLOCK * EDGEQ_MVE_CHUNK * chunks;
}

#if defined(__ARM_FEATURE_MVE)

/* The sums of the first pixel are r0, r4, r8 and r12, of the second r2, r6, r10 and lr. q0 is for weights, q1 for biases. */
#define EDGEQ_MVE_CHANNEL(mac, first, second, x0, x1) \
    "vldrb.8 q0, [%[w]], #16\n" mac " " first ", q0, " x0 "\n" mac " " second ", q0, " x1 "\n"
#define EDGEQ_MVE_DOT(mac, x0, x1)                                                              \
    EDGEQ_MVE_CHANNEL(mac, "r0", "r2", x0, x1) EDGEQ_MVE_CHANNEL(mac, "r4", "r6", x0, x1)       \
    EDGEQ_MVE_CHANNEL(mac, "r8", "r10", x0, x1) EDGEQ_MVE_CHANNEL(mac, "r12", "lr", x0, x1)
#define EDGEQ_MVE_SUMS                                                          \
    "vmov q0[2], q0[0], r0, r8\n vmov q0[3], q0[1], r4, r12\n"                  \
    "vmov q2[2], q2[0], r2, r10\n vmov q2[3], q2[1], r6, lr\n"
#define EDGEQ_MVE_NARROW                                                                                      \
    "vqmovnb.s32 q0, q0\n vqmovnb.s32 q2, q2\n vqmovnb.s16 q0, q0\n vqmovnb.s16 q2, q2\n"
/* The results of the pixels are in q0 and q2. */
#define EDGEQ_MVE_FINISH                                                                                  \
    EDGEQ_MVE_SUMS "vadd.i32 q0, q0, q1\n vadd.i32 q2, q2, q1\n vldrw.32 q1, [%[w]], #16\n"               \
    "vshl.s32 q0, q0, q1\n vshl.s32 q2, q2, q1\n" EDGEQ_MVE_NARROW
#define EDGEQ_MVE_CLOBBERS "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"

/* The pixels at hand and what follows; offsets are known to the assembler. */
typedef struct {
    int8_t *out0, *out1;
    int32_t left;          /* blocks */
    const int8_t *x0, *x1; /* edgeq_mve_pairs_many: after the first two chunks */
    int32_t pairs, x_step; /* of pixels, and bytes from one pair to the next */
    int32_t out_skip;      /* from the end of a pixel's output to the next pair */
    int32_t blocks;
    const int8_t *weight;
    int32_t loops;         /* edgeq_mve_pairs_many: over chunks, four at a time, ... */
    uint32_t entry;        /* ... the first of which begins here */
} edgeq_mve_run;

#define EDGEQ_MVE_NEXT_PAIR                                                                                 \
    "ldrd r0, r2, [%[run], #12]\n ldrd r4, r6, [%[run], #20]\n add r0, r0, r6\n add r2, r2, r6\n"           \
    "strd r0, r2, [%[run], #12]\n subs r4, r4, #1\n str r4, [%[run], #20]\n bne 0b\n"

/* Pixels of 1, 2 or 3 chunks, which stay in registers; all but the last of three of the second pixel. */
#define EDGEQ_MVE_LOAD_1 "vldrb.8 q7, [r0]\n vldrb.8 q4, [r2]\n"
#define EDGEQ_MVE_LOAD_2 EDGEQ_MVE_LOAD_1 "vldrb.8 q6, [r0, #16]\n vldrb.8 q3, [r2, #16]\n"
#define EDGEQ_MVE_LOAD_3 EDGEQ_MVE_LOAD_2 "vldrb.8 q5, [r0, #32]\n"
#define EDGEQ_MVE_HELD_1 EDGEQ_MVE_DOT("vmladav.s8", "q7", "q4")
#define EDGEQ_MVE_HELD_2 EDGEQ_MVE_HELD_1 EDGEQ_MVE_DOT("vmladava.s8", "q6", "q3")
#define EDGEQ_MVE_HELD_3                                                                \
    "ldr r0, [%[run], #16]\n vldrb.8 q2, [r0, #32]\n" EDGEQ_MVE_HELD_2 EDGEQ_MVE_DOT("vmladava.s8", "q5", "q2")
#define EDGEQ_MVE_PAIRS(N)                                                                                          \
    static inline void edgeq_mve_pairs_##N(edgeq_mve_run *job) {                                                    \
        register int8_t *out0 __asm("r1") = job->out0;                                                              \
        register int8_t *out1 __asm("r3") = job->out1;                                                              \
        register const int8_t *w __asm("r5");                                                                       \
        register int32_t left __asm("r9");                                                                          \
        register edgeq_mve_run *run __asm("r11") = job;                                                             \
        __asm volatile("0:\n ldrd r0, r2, [%[run], #12]\n ldrd %[left], %[w], [%[run], #32]\n" EDGEQ_MVE_LOAD_##N    \
                       "1:\n vldrw.32 q1, [%[w]], #16\n" EDGEQ_MVE_HELD_##N EDGEQ_MVE_FINISH                        \
                       "vstrb.32 q0, [%[out0]], #4\n vstrb.32 q2, [%[out1]], #4\n"                                  \
                       "subs %[left], %[left], #1\n bne 1b\n"                                                       \
                       "ldr r0, [%[run], #28]\n add %[out0], %[out0], r0\n add %[out1], %[out1], r0\n"              \
                       EDGEQ_MVE_NEXT_PAIR                                                                          \
                       : [out0] "+r"(out0), [out1] "+r"(out1), [w] "=&r"(w), [left] "=&r"(left)                     \
                       : [run] "r"(run)                                                                             \
                       : "r0", "r2", EDGEQ_MVE_CLOBBERS);                                                           \
    }

EDGEQ_MVE_PAIRS(1)
EDGEQ_MVE_PAIRS(2)
EDGEQ_MVE_PAIRS(3)

#define EDGEQ_MVE_NEXT                                                         \
    "vldrb.8 q2, [%[x0]], #16\n vldrb.8 q3, [%[x1]], #16\n" EDGEQ_MVE_DOT("vmladava.s8", "q2", "q3")

/* Pixels of 3 or more chunks, of which two stay in registers. The loop over the others is entered where 1 to 4 of them,
 * as many as are over, are left of its body. */
static inline void edgeq_mve_pairs_many(edgeq_mve_run *job, int32_t chunks) {
    enum { NEXT_BYTES = 14 * 4 };
    job->loops = (chunks + 1) >> 2;
    job->x0 += 32;
    job->x1 += 32;
    register const int8_t *x0 __asm("r1");
    register const int8_t *x1 __asm("r3");
    register const int8_t *w __asm("r5");
    register int32_t left __asm("r9") = (chunks + 2 - 4 * job->loops) * NEXT_BYTES;
    register edgeq_mve_run *run __asm("r11") = job;
    __asm volatile("adr.w r0, 3f\n sub r0, r0, %[left]\n orr r0, r0, #1\n str r0, [%[run], #44]\n"
                   "0:\n ldrd %[x0], %[x1], [%[run], #12]\n ldr %[w], [%[run], #36]\n"
                   "vldrb.8 q7, [%[x0], #-32]\n vldrb.8 q6, [%[x0], #-16]\n"
                   "vldrb.8 q5, [%[x1], #-32]\n vldrb.8 q4, [%[x1], #-16]\n"
                   "1:\n ldrd %[x0], %[x1], [%[run], #12]\n ldr %[left], [%[run], #40]\n vldrw.32 q1, [%[w]], #16\n"
                   EDGEQ_MVE_DOT("vmladav.s8", "q7", "q5") EDGEQ_MVE_DOT("vmladava.s8", "q6", "q4")
                   "ldr pc, [%[run], #44]\n .balign 4\n"
                   "2:\n" EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT
                   "3:\n subs %[left], %[left], #1\n bne 2b\n" EDGEQ_MVE_FINISH
                   "ldm %[run], {r0, r2, r4}\n vstrb.32 q0, [r0], #4\n vstrb.32 q2, [r2], #4\n subs r4, r4, #1\n"
                   "stm %[run], {r0, r2, r4}\n bne 1b\n"
                   "ldrd r4, r6, [%[run], #28]\n add r0, r0, r4\n add r2, r2, r4\n stm %[run], {r0, r2, r6}\n"
                   EDGEQ_MVE_NEXT_PAIR
                   : [x0] "=&r"(x0), [x1] "=&r"(x1), [w] "=&r"(w), [left] "+r"(left)
                   : [run] "r"(run)
                   : "r0", "r2", EDGEQ_MVE_CLOBBERS);
}

/* `blocks` > 0 blocks of each of `pairs` > 0 pairs of pixels. x_step, out_step: from one pixel to the next. */
static inline void edgeq_mve_pairs(const int8_t *x, int32_t x_step, int32_t pairs, const int8_t *weight, int32_t chunks,
                                   int32_t blocks, int8_t *out, int32_t out_step) {
    edgeq_mve_run run = {out, out + out_step, blocks, x, x + x_step, pairs, 2 * x_step,
                         2 * out_step - EDGEQ_MVE_BLOCK * blocks, blocks, weight, 0, 0};
    if (chunks == 1) {
        edgeq_mve_pairs_1(&run);
    } else if (chunks == 2) {
        edgeq_mve_pairs_2(&run);
    } else if (chunks == 3) {
        edgeq_mve_pairs_3(&run);
    } else {
        edgeq_mve_pairs_many(&run, chunks);
    }
}

/* One pixel; two blocks at a time. */
typedef struct {
    int8_t *out0, *out1;
    int32_t left;       /* pairs of blocks */
    const int8_t *x;
    int32_t loops;      /* over chunks, four at a time, ... */
    uint32_t entry;     /* ... the first of which begins here */
    int32_t block;      /* bytes */
} edgeq_mve_vector_run;

#define EDGEQ_MVE_OUTPUT(w, sum) "vldrb.8 q0, [" w "], #16\n vmladava.s8 " sum ", q0, q2\n"
#define EDGEQ_MVE_EIGHT                                                                     \
    "vldrb.8 q2, [%[x]], #16\n"                                                             \
    EDGEQ_MVE_OUTPUT("%[w]", "r0") EDGEQ_MVE_OUTPUT("%[w]", "r4")                           \
    EDGEQ_MVE_OUTPUT("%[w]", "r8") EDGEQ_MVE_OUTPUT("%[w]", "r12")                          \
    EDGEQ_MVE_OUTPUT("%[w1]", "r2") EDGEQ_MVE_OUTPUT("%[w1]", "r6")                         \
    EDGEQ_MVE_OUTPUT("%[w1]", "r10") EDGEQ_MVE_OUTPUT("%[w1]", "lr")

/* `twos` > 0 pairs of blocks; the second of each is `second` bytes after the first, its outputs out_second. */
static inline void edgeq_mve_blocks(const int8_t *x, const int8_t *weight, int32_t chunks, int32_t twos, int32_t second,
                                    int8_t *out, int32_t out_second) {
    enum { EIGHT_BYTES = 17 * 4 };
    const int32_t loops = (chunks + 3) >> 2;
    edgeq_mve_vector_run job = {out, out + out_second, twos, x, loops, 0, edgeq_mve_block_bytes(chunks)};
    register const int8_t *from __asm("r1");
    register const int8_t *w __asm("r3") = weight;
    register const int8_t *w1 __asm("r5") = weight + second;
    register int32_t left __asm("r9") = (chunks + 4 - 4 * loops) * EIGHT_BYTES;
    register edgeq_mve_vector_run *run __asm("r11") = &job;
    __asm volatile("adr.w r0, 3f\n sub r0, r0, %[left]\n orr r0, r0, #1\n str r0, [%[run], #20]\n"
                   "1:\n ldrd %[x], %[left], [%[run], #12]\n"
                   "ldm %[w]!, {r0, r4, r8, r12}\n ldm %[w1]!, {r2, r6, r10, lr}\n"
                   "ldr pc, [%[run], #20]\n .balign 4\n"
                   "2:\n" EDGEQ_MVE_EIGHT EDGEQ_MVE_EIGHT EDGEQ_MVE_EIGHT EDGEQ_MVE_EIGHT
                   "3:\n subs %[left], %[left], #1\n bne 2b\n" EDGEQ_MVE_SUMS
                   "vldrw.32 q1, [%[w]]\n vshl.s32 q0, q0, q1\n"
                   "vldrw.32 q1, [%[w1]], #16\n vshl.s32 q2, q2, q1\n" EDGEQ_MVE_NARROW
                   "ldr r6, [%[run], #24]\n mov %[w], %[w1]\n add %[w1], %[w1], r6\n"
                   "ldm %[run], {r0, r2, r4}\n vstrb.32 q0, [r0], #8\n vstrb.32 q2, [r2], #8\n subs r4, r4, #1\n"
                   "stm %[run], {r0, r2, r4}\n bne 1b\n"
                   : [x] "=&r"(from), [w] "+r"(w), [w1] "+r"(w1), [left] "+r"(left)
                   : [run] "r"(run)
                   : "r0", "r2", EDGEQ_MVE_CLOBBERS);
}

/* Four outputs of each of n pixels of one chunk, `step` bytes apart, `out_step` in the output: weights, biases and
 * shifts stay in registers. */
static inline void edgeq_mve_chunks(const int8_t *x, int32_t step, const int8_t *weight, int32_t n, int8_t *out,
                                    int32_t out_step) {
    register int8_t *to __asm("r1") = out;
    register const int8_t *w __asm("r3") = weight;
    register const int8_t *from __asm("r8") = x;
    register int32_t left __asm("r10") = n;
    register int32_t bytes __asm("r11") = step;
    register int32_t out_bytes __asm("r12") = out_step;
    __asm volatile("vldrw.32 q3, [%[w]]\n vldrb.8 q4, [%[w], #16]\n vldrb.8 q5, [%[w], #32]\n"
                   "vldrb.8 q6, [%[w], #48]\n vldrb.8 q7, [%[w], #64]\n vldrw.32 q2, [%[w], #80]\n"
                   "wls lr, %[left], 2f\n"
                   "1:\n vldrb.8 q0, [%[x]]\n add %[x], %[x], %[bytes]\n"
                   "vmladav.s8 r0, q0, q4\n vmladav.s8 r2, q0, q5\n vmladav.s8 r4, q0, q6\n vmladav.s8 r6, q0, q7\n"
                   "vmov q1[2], q1[0], r0, r4\n vmov q1[3], q1[1], r2, r6\n"
                   "vadd.i32 q1, q1, q3\n vshl.s32 q1, q1, q2\n vqmovnb.s32 q1, q1\n vqmovnb.s16 q1, q1\n"
                   "vstrb.32 q1, [%[out]]\n add %[out], %[out], %[out_bytes]\n le lr, 1b\n"
                   "2:\n"
                   : [x] "+r"(from), [out] "+r"(to)
                   : [w] "r"(w), [left] "r"(left), [bytes] "r"(bytes), [out_bytes] "r"(out_bytes)
                   : "r0", "r2", "r4", "r6", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
}

#else

/* One block of one pixel. */
static inline void edgeq_mve_block(const int8_t *x, const int8_t *w, int32_t chunks, int8_t *out) {
    int32_t sums[EDGEQ_MVE_BLOCK], shifts[EDGEQ_MVE_BLOCK];
    memcpy(sums, w, sizeof sums);
    memcpy(shifts, w + edgeq_mve_block_bytes(chunks) - sizeof shifts, sizeof shifts);
    w += sizeof sums;
    for (int32_t i = 0; i < chunks; i++) {
        for (int32_t o = 0; o < EDGEQ_MVE_BLOCK; o++) {
            sums[o] = vmladavaq_s8(sums[o], vldrbq_s8(w), vldrbq_s8(x));
            w += EDGEQ_MVE_CHUNK;
        }
        x += EDGEQ_MVE_CHUNK;
    }
    for (int32_t o = 0; o < EDGEQ_MVE_BLOCK; o++) {
        out[o] = edgeq_requantize(sums[o], (unsigned)-shifts[o], -128, 127);
    }
}

static inline void edgeq_mve_pairs(const int8_t *x, int32_t x_step, int32_t pairs, const int8_t *weight, int32_t chunks,
                                   int32_t blocks, int8_t *out, int32_t out_step) {
    int32_t i = 0;
    do { /* as in assembler, one round at least */
        for (int32_t b = 0; b < blocks; b++) {
            const int8_t *w = weight + b * edgeq_mve_block_bytes(chunks);
            edgeq_mve_block(x + i * x_step, w, chunks, out + i * out_step + b * EDGEQ_MVE_BLOCK);
        }
    } while (++i < 2 * pairs);
}

static inline void edgeq_mve_blocks(const int8_t *x, const int8_t *weight, int32_t chunks, int32_t twos, int32_t second,
                                    int8_t *out, int32_t out_second) {
    for (int32_t i = 0; i < twos; i++) {
        edgeq_mve_block(x, weight, chunks, out);
        edgeq_mve_block(x, weight + second, chunks, out + out_second);
        weight += 2 * edgeq_mve_block_bytes(chunks);
        out += 2 * EDGEQ_MVE_BLOCK;
    }
}

static inline void edgeq_mve_chunks(const int8_t *x, int32_t step, const int8_t *weight, int32_t n, int8_t *out,
                                    int32_t out_step) {
    for (int32_t i = 0; i < n; i++) {
        edgeq_mve_block(x + i * step, weight, 1, out + i * out_step);
    }
}

#endif

/* All outputs of one pixel; the last block may be a part. */
static inline void edgeq_mve_vector(const int8_t *x, const int8_t *w, int32_t chunks, int32_t out_n, int8_t *out) {
    const int32_t twos = out_n / (2 * EDGEQ_MVE_BLOCK), rest = out_n % (2 * EDGEQ_MVE_BLOCK);
    const int32_t bytes = edgeq_mve_block_bytes(chunks);
    if (twos != 0) {
        edgeq_mve_blocks(x, w, chunks, twos, bytes, out, EDGEQ_MVE_BLOCK);
    }
    if (rest != 0) {
        int8_t last[2 * EDGEQ_MVE_BLOCK];
        edgeq_mve_blocks(x, w + 2 * twos * bytes, chunks, 1, rest > EDGEQ_MVE_BLOCK ? bytes : 0, last, EDGEQ_MVE_BLOCK);
        edgeq_mve_copy(out + out_n - rest, last, rest);
    }
}

/* All outputs of n pixels, which begin `step` bytes apart. */
static inline void edgeq_mve_matrix(const int8_t *x, int32_t step, int32_t n, const int8_t *weight, int32_t chunks,
                                    int32_t out_n, int8_t *out) {
    const int32_t blocks = out_n / EDGEQ_MVE_BLOCK, part = out_n % EDGEQ_MVE_BLOCK, bytes = edgeq_mve_block_bytes(chunks);
    const int32_t pairs = n / 2;
    if (chunks == 1 && part == 0) {
        for (int32_t b = 0; b < blocks; b++) {
            edgeq_mve_chunks(x, step, weight + b * bytes, n, out + b * EDGEQ_MVE_BLOCK, out_n);
        }
        return;
    }
    if (pairs != 0 && blocks != 0) {
        edgeq_mve_pairs(x, step, pairs, weight, chunks, blocks, out, out_n);
    }
    for (int32_t i = 0; i < pairs && part != 0; i++) {
        int8_t last[2 * EDGEQ_MVE_BLOCK], *end = out + (2 * i + 1) * out_n;
        edgeq_mve_pairs(x + 2 * i * step, step, 1, weight + blocks * bytes, chunks, 1, last, EDGEQ_MVE_BLOCK);
        edgeq_mve_copy(end - part, last, part);
        edgeq_mve_copy(end + out_n - part, last + EDGEQ_MVE_BLOCK, part);
    }
    if (n % 2 != 0) {
        edgeq_mve_vector(x + (n - 1) * step, weight, chunks, out_n, out + (n - 1) * out_n);
    }
}

#endif
