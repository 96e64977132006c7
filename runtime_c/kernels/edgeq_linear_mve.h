/* Helium: the matrix-vector product inside conv2d, 1x1 convolution and fully_connected.
 *
 * Four outputs at a time. `weight` is [blocks][chunks][4][16]: for each 16 inputs, the weights of four outputs; zeros
 * fill up outputs and inputs. `requant` is [blocks][8]: four biases, then four negated shifts.
 * The blocks in assembler have their twins in C below them, which other machines compile.
 */
#ifndef EDGEQ_LINEAR_MVE_H
#define EDGEQ_LINEAR_MVE_H

#include "edgeq_mve.h"

enum { EDGEQ_MVE_CHUNK = 16, EDGEQ_MVE_BLOCK = 4 }; /* inputs and outputs taken at a time */

#if defined(__ARM_FEATURE_MVE)

/* Accumulators are r0, r2, r4 and r6; q0 and q1 hold weights, q3 to q7 the vector's last chunks, q2 a chunk before. */
#define EDGEQ_MVE_START "ldrd r0, r2, [%[requant]], #8\n ldrd r4, r6, [%[requant]], #8\n"
#define EDGEQ_MVE_DOT(x)                                         \
    "vldrb.8 q0, [%[w]], #16\n vmladava.s8 r0, q0, " x "\n"      \
    "vldrb.8 q1, [%[w]], #16\n vmladava.s8 r2, q1, " x "\n"      \
    "vldrb.8 q0, [%[w]], #16\n vmladava.s8 r4, q0, " x "\n"      \
    "vldrb.8 q1, [%[w]], #16\n vmladava.s8 r6, q1, " x "\n"
#define EDGEQ_MVE_NEXT "vldrb.8 q2, [%[at]], #16\n" EDGEQ_MVE_DOT("q2")
#define EDGEQ_MVE_FINISH                                          \
    "vldrw.32 q1, [%[requant]], #16\n"                            \
    "vmov q0[2], q0[0], r0, r4\n vmov q0[3], q0[1], r2, r6\n"     \
    "vshl.s32 q0, q0, q1\n vqmovnb.s32 q0, q0\n vqmovnb.s16 q0, q0\n" \
    "vstrb.32 q0, [%[out]], #4\n"
#define EDGEQ_MVE_CLOBBERS "r0", "r2", "r4", "r6", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"

#define EDGEQ_MVE_LOAD_1 "vldrb.8 q7, [%[x]]\n"
#define EDGEQ_MVE_LOAD_2 EDGEQ_MVE_LOAD_1 "vldrb.8 q6, [%[x], #16]\n"
#define EDGEQ_MVE_LOAD_3 EDGEQ_MVE_LOAD_2 "vldrb.8 q5, [%[x], #32]\n"
#define EDGEQ_MVE_LOAD_4 EDGEQ_MVE_LOAD_3 "vldrb.8 q4, [%[x], #48]\n"
#define EDGEQ_MVE_LOAD_5 EDGEQ_MVE_LOAD_4 "vldrb.8 q3, [%[x], #64]\n"
#define EDGEQ_MVE_HELD_1 EDGEQ_MVE_DOT("q7")
#define EDGEQ_MVE_HELD_2 EDGEQ_MVE_HELD_1 EDGEQ_MVE_DOT("q6")
#define EDGEQ_MVE_HELD_3 EDGEQ_MVE_HELD_2 EDGEQ_MVE_DOT("q5")
#define EDGEQ_MVE_HELD_4 EDGEQ_MVE_HELD_3 EDGEQ_MVE_DOT("q4")
#define EDGEQ_MVE_HELD_5 EDGEQ_MVE_HELD_4 EDGEQ_MVE_DOT("q3")

/* Operands have registers of their own: vstrb.32 takes only r0 to r7, and gcc -O0 fails to choose. */
#define EDGEQ_MVE_OPERANDS                          \
    register int8_t *to __asm("r1") = out;          \
    register const int8_t *weights __asm("r3") = w; \
    register const int32_t *words __asm("r5") = requant; \
    register const int8_t *from __asm("r8") = x;    \
    register int32_t left __asm("r10") = blocks;

/* N chunks, all held in registers. */
#define EDGEQ_MVE_SHORT(N)                                                                                           \
    static inline void edgeq_mve_short_##N(const int8_t *x, const int8_t *w, const int32_t *requant, int32_t blocks, \
                                           int8_t *out) {                                                            \
        EDGEQ_MVE_OPERANDS                                                                                           \
        __asm volatile(EDGEQ_MVE_LOAD_##N "dls lr, %[left]\n"                                                        \
                       "1:\n" EDGEQ_MVE_START EDGEQ_MVE_HELD_##N EDGEQ_MVE_FINISH "le lr, 1b\n"                      \
                       : [w] "+r"(weights), [requant] "+r"(words), [out] "+r"(to)                                    \
                       : [x] "r"(from), [left] "r"(left)                                                             \
                       : EDGEQ_MVE_CLOBBERS);                                                                        \
    }

/* N chunks held in registers, then 4 * loops more, loops > 0. */
#define EDGEQ_MVE_LONG(N)                                                                                          \
    static inline void edgeq_mve_long_##N(const int8_t *x, const int8_t *w, const int32_t *requant, int32_t loops, \
                                          int32_t blocks, int8_t *out) {                                           \
        EDGEQ_MVE_OPERANDS                                                                                         \
        register int32_t turns __asm("r11") = loops;                                                               \
        register const int8_t *at __asm("r12");                                                                    \
        __asm volatile(EDGEQ_MVE_LOAD_##N                                                                          \
                       "1:\n add %[at], %[x], %[skip]\n" EDGEQ_MVE_START EDGEQ_MVE_HELD_##N "dls lr, %[turns]\n"   \
                       "2:\n" EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT                          \
                       "le lr, 2b\n" EDGEQ_MVE_FINISH "subs %[left], %[left], #1\n bne 1b\n"                       \
                       : [w] "+r"(weights), [requant] "+r"(words), [out] "+r"(to), [left] "+r"(left), [at] "=&r"(at) \
                       : [x] "r"(from), [turns] "r"(turns), [skip] "I"(16 * N)                                     \
                       : EDGEQ_MVE_CLOBBERS);                                                                      \
    }

/* N chunks held in registers, then four more. */
#define EDGEQ_MVE_MIDDLE(N)                                                                                           \
    static inline void edgeq_mve_middle_##N(const int8_t *x, const int8_t *w, const int32_t *requant, int32_t blocks, \
                                            int8_t *out) {                                                            \
        EDGEQ_MVE_OPERANDS                                                                                            \
        register const int8_t *at __asm("r12");                                                                       \
        __asm volatile(EDGEQ_MVE_LOAD_##N "dls lr, %[left]\n"                                                         \
                       "1:\n add %[at], %[x], %[skip]\n" EDGEQ_MVE_START EDGEQ_MVE_HELD_##N EDGEQ_MVE_NEXT            \
                       EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_NEXT EDGEQ_MVE_FINISH "le lr, 1b\n"                    \
                       : [w] "+r"(weights), [requant] "+r"(words), [out] "+r"(to), [at] "=&r"(at)                     \
                       : [x] "r"(from), [left] "r"(left), [skip] "I"(16 * N)                                          \
                       : EDGEQ_MVE_CLOBBERS);                                                                         \
    }

EDGEQ_MVE_SHORT(1)
EDGEQ_MVE_SHORT(2)
EDGEQ_MVE_SHORT(3)
EDGEQ_MVE_SHORT(4)
EDGEQ_MVE_SHORT(5)
EDGEQ_MVE_MIDDLE(4)
EDGEQ_MVE_MIDDLE(5)
EDGEQ_MVE_LONG(2)
EDGEQ_MVE_LONG(3)
EDGEQ_MVE_LONG(4)
EDGEQ_MVE_LONG(5)

/* out[o] = the product with x, shifted and saturated to 8 bits, o < 4 * blocks. x: 16 * chunks bytes. blocks > 0. */
static inline void edgeq_mve_blocks(const int8_t *x, const int8_t *w, const int32_t *requant, int32_t chunks,
                                    int32_t blocks, int8_t *out) {
    switch (chunks) {
    case 1:
        edgeq_mve_short_1(x, w, requant, blocks, out);
        return;
    case 2:
        edgeq_mve_short_2(x, w, requant, blocks, out);
        return;
    case 3:
        edgeq_mve_short_3(x, w, requant, blocks, out);
        return;
    case 4:
        edgeq_mve_short_4(x, w, requant, blocks, out);
        return;
    case 5:
        edgeq_mve_short_5(x, w, requant, blocks, out);
        return;
    case 8:
        edgeq_mve_middle_4(x, w, requant, blocks, out);
        return;
    case 9:
        edgeq_mve_middle_5(x, w, requant, blocks, out);
        return;
    default:
        break;
    }
    const int32_t loops = (chunks - 2) >> 2;
    switch (chunks & 3) {
    case 0:
        edgeq_mve_long_4(x, w, requant, loops, blocks, out);
        return;
    case 1:
        edgeq_mve_long_5(x, w, requant, loops, blocks, out);
        return;
    case 2:
        edgeq_mve_long_2(x, w, requant, loops, blocks, out);
        return;
    default:
        edgeq_mve_long_3(x, w, requant, loops, blocks, out);
        return;
    }
}

/* Four outputs of each of n > 0 pixels of at most 16 inputs, `step` bytes apart, `out_step` in the output: weights, biases
 * and shifts stay in registers. */
#define EDGEQ_MVE_PIXELS(name, prepare, load)                                                                      \
    static inline void name(const int8_t *x, int32_t k_n, int32_t step, const int8_t *w, const int32_t *requant,   \
                            int32_t n, int8_t *out, int32_t out_step) {                                            \
        register int8_t *to __asm("r1") = out;                                                                     \
        register const int8_t *weights __asm("r3") = w;                                                            \
        register const int32_t *words __asm("r5") = requant;                                                       \
        register const int8_t *from __asm("r8") = x;                                                               \
        register int32_t left __asm("r10") = n;                                                                    \
        register int32_t bytes __asm("r11") = step;                                                                \
        register int32_t out_bytes __asm("r12") = out_step;                                                        \
        register int32_t inputs __asm("r0") = k_n;                                                                 \
        __asm volatile(prepare                                                                                     \
                       "vldrb.8 q4, [%[w]]\n vldrb.8 q5, [%[w], #16]\n vldrb.8 q6, [%[w], #32]\n"                  \
                       "vldrb.8 q7, [%[w], #48]\n vldrw.32 q3, [%[requant]]\n vldrw.32 q2, [%[requant], #16]\n"    \
                       "dls lr, %[left]\n"                                                                         \
                       "1:\n" load "add %[x], %[x], %[bytes]\n"                                                    \
                       "vmladav.s8 r0, q0, q4\n vmladav.s8 r2, q0, q5\n"                                           \
                       "vmladav.s8 r4, q0, q6\n vmladav.s8 r6, q0, q7\n"                                           \
                       "vmov q1[2], q1[0], r0, r4\n vmov q1[3], q1[1], r2, r6\n"                                   \
                       "vadd.i32 q1, q1, q3\n vshl.s32 q1, q1, q2\n vqmovnb.s32 q1, q1\n vqmovnb.s16 q1, q1\n"     \
                       "vstrb.32 q1, [%[out]]\n add %[out], %[out], %[out_bytes]\n le lr, 1b\n"                    \
                       : [x] "+r"(from), [out] "+r"(to), [inputs] "+r"(inputs)                                     \
                       : [w] "r"(weights), [requant] "r"(words), [left] "r"(left), [bytes] "r"(bytes),             \
                         [out_bytes] "r"(out_bytes)                                                                \
                       : "r2", "r4", "r6", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");  \
    }

EDGEQ_MVE_PIXELS(edgeq_mve_whole_pixels, "", "vldrb.8 q0, [%[x]]\n")
EDGEQ_MVE_PIXELS(edgeq_mve_part_pixels, "vctp.8 %[inputs]\n", "vpst\n vldrbt.8 q0, [%[x]]\n")

static inline void edgeq_mve_pixels(const int8_t *x, int32_t k_n, int32_t step, const int8_t *w,
                                    const int32_t *requant, int32_t n, int8_t *out, int32_t out_step) {
    if (k_n == EDGEQ_MVE_CHUNK) {
        edgeq_mve_whole_pixels(x, k_n, step, w, requant, n, out, out_step);
    } else {
        edgeq_mve_part_pixels(x, k_n, step, w, requant, n, out, out_step);
    }
}

#else

static inline void edgeq_mve_blocks(const int8_t *x, const int8_t *w, const int32_t *requant, int32_t chunks,
                                    int32_t blocks, int8_t *out) {
    for (int32_t b = 0; b < blocks; b++) {
        int32_t acc[4] = {requant[0], requant[1], requant[2], requant[3]};
        for (int32_t i = 0; i < chunks; i++) {
            for (int32_t o = 0; o < 4; o++) {
                acc[o] = vmladavaq_s8(acc[o], vldrbq_s8(w), vldrbq_s8(x + 16 * i));
                w += 16;
            }
        }
        for (int32_t o = 0; o < 4; o++) {
            *out++ = edgeq_requantize(acc[o], (unsigned)-requant[4 + o], -128, 127);
        }
        requant += 8;
    }
}

static inline void edgeq_mve_pixels(const int8_t *x, int32_t k_n, int32_t step, const int8_t *w,
                                    const int32_t *requant, int32_t n, int8_t *out, int32_t out_step) {
    for (int32_t i = 0; i < n; i++) {
        int8_t chunk[EDGEQ_MVE_CHUNK] = {0};
        edgeq_mve_copy(chunk, x + i * step, k_n);
        edgeq_mve_blocks(chunk, w, requant, 1, 1, out + i * out_step);
    }
}

#endif

/* As edgeq_mve_blocks for out_n outputs, the last block in part. */
static inline void edgeq_mve_linear(const int8_t *x, const int8_t *weight, const int32_t *requant, int32_t chunks,
                                    int32_t out_n, int8_t *out) {
    const int32_t whole = out_n & -EDGEQ_MVE_BLOCK, blocks = whole / EDGEQ_MVE_BLOCK;
    if (blocks != 0) {
        edgeq_mve_blocks(x, weight, requant, chunks, blocks, out);
    }
    if (whole != out_n) {
        int8_t last[EDGEQ_MVE_BLOCK];
        edgeq_mve_blocks(x, weight + whole * chunks * EDGEQ_MVE_CHUNK, requant + blocks * 8, chunks, 1, last);
        for (int32_t i = whole; i < out_n; i++) {
            out[i] = last[i - whole];
        }
    }
}

#endif
