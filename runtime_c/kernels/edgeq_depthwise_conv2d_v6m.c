#include "edgeq_depthwise_conv2d.h"
#include "edgeq_v6m.h"

#include <string.h>

/* What computing all channels of four pixels needs, in the order in which the assembly reads it. Arrays of channels are
 * given by their ends. */
typedef struct {
    const int8_t *const *taps; /* of each tap: the weights, then the pixels that it reads */
    const int32_t *bias;
    const uint8_t *shift;
    int32_t span, lo;
    int8_t *out[EDGEQ_V6M_PIXELS];
    int32_t channels, count;   /* count: of taps */
} depthwise_v6m_walk;

#if EDGEQ_V6M_ASM
/* Requantises and writes a pixel; r3 shift, r4 span, r5 lo, r7 channel. out: where the stack has its output. */
#define DEPTHWISE_V6M_WRITE(sum, out) \
    "mov r1, " sum "\n" \
    "asrs r1, r3\n" \
    EDGEQ_V6M_CLAMP("r1", "r2", "r4", "r5") \
    "ldr r2, [sp, #" out "]\n" \
    "strb r1, [r2, r7]\n"

__attribute__((naked, noinline)) static void depthwise_v6m_channels(
    const depthwise_v6m_walk *walk __attribute__((unused))) {
    __asm__(
        ".syntax unified\n"
        "push {r4-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r4-r7}\n"
        "sub sp, #44\n"
        "mov r1, sp\n"
        "ldmia r0!, {r2-r6}\n"
        "stmia r1!, {r2-r6}\n"
        "ldmia r0!, {r2-r7}\n"
        "stmia r1!, {r2-r5}\n"
        "negs r2, r7\n" /* the loop has 8 steps of 28 bytes, of which the first time some are left out */
        "movs r3, #7\n"
        "ands r2, r3\n"
        "adds r3, r3, r7\n"
        "lsrs r3, r3, #3\n"
        "movs r4, #28\n"
        "muls r2, r4\n"
        "stmia r1!, {r2, r3}\n"
        "negs r7, r6\n"
        "1:\n"
        "ldr r0, [sp, #4]\n"
        "lsls r1, r7, #2\n"
        "ldr r0, [r0, r1]\n"
        "mov r8, r0\n"
        "mov r9, r0\n"
        "mov r10, r0\n"
        "mov r11, r0\n"
        "ldr r0, [sp]\n"
        "ldr r6, [sp, #40]\n"
        "ldr r1, [sp, #36]\n"
        "add pc, r1\n"
        "nop\n"
        "2:\n"
        ".rept 8\n"
        "ldmia r0!, {r1-r5}\n"
        "ldrsb r1, [r1, r7]\n"
        "ldrsb r2, [r2, r7]\n"
        "ldrsb r3, [r3, r7]\n"
        "ldrsb r4, [r4, r7]\n"
        "ldrsb r5, [r5, r7]\n"
        "muls r2, r1\n"
        "muls r3, r1\n"
        "muls r4, r1\n"
        "muls r5, r1\n"
        "add r8, r2\n"
        "add r9, r3\n"
        "add r10, r4\n"
        "add r11, r5\n"
        ".endr\n"
        "subs r6, #1\n"
        "bne 2b\n"
        "ldr r3, [sp, #8]\n"
        "ldrb r3, [r3, r7]\n"
        "ldr r4, [sp, #12]\n"
        "ldr r5, [sp, #16]\n"
        DEPTHWISE_V6M_WRITE("r8", "20")
        DEPTHWISE_V6M_WRITE("r9", "24")
        DEPTHWISE_V6M_WRITE("r10", "28")
        DEPTHWISE_V6M_WRITE("r11", "32")
        "adds r7, #1\n"
        "beq 3f\n"
        "b 1b\n"
        "3:\n"
        "add sp, #44\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r4-r7, pc}\n");
}
#else
static void depthwise_v6m_channels(const depthwise_v6m_walk *walk) {
    for (int32_t c = -walk->channels; c != 0; c++) {
        for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
            const int8_t *const *tap = walk->taps;
            int32_t acc = walk->bias[c];
            for (int32_t t = 0; t < walk->count; t++) {
                acc += tap[0][c] * tap[1 + k][c];
                tap += 1 + EDGEQ_V6M_PIXELS;
            }
            walk->out[k][c] = edgeq_v6m_clamp(acc >> walk->shift[c], walk->span, walk->lo);
        }
    }
}
#endif

enum { DEPTHWISE_V6M_TAP = 1 + EDGEQ_V6M_PIXELS }; /* pointers of a tap */

/* The pixels that four windows read, by their ends. taps: as in walk; pad: channels bytes of padding. */
static void depthwise_v6m_gather(const edgeq_depthwise_conv2d_v6m_params *p, const edgeq_v6m_windows *at, const int8_t *in,
                                 const int8_t *pad, const int8_t **taps) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels, step = w->dilation_w * channels;
    const int8_t *rows[EDGEQ_V6M_PIXELS];
    for (int32_t i = 0; i < w->kernel_h; i++) {
        edgeq_v6m_rows(w, at, i, in, channels, rows);
        if (at->inside) {
            edgeq_v6m_column(w, at, 0, channels, rows, pad, channels, rows);
        }
        for (int32_t j = 0; j < w->kernel_w; j++) {
            if (at->inside) {
                for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
                    taps[1 + k] = rows[k];
                    rows[k] += step;
                }
            } else {
                edgeq_v6m_column(w, at, j, channels, rows, pad, channels, taps + 1);
            }
            taps += DEPTHWISE_V6M_TAP;
        }
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_v6m(const edgeq_depthwise_conv2d_v6m_params *p, const int8_t *in, int8_t *out,
                                             void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels, count = w->kernel_h * w->kernel_w;
    const uintptr_t align = sizeof(int8_t *), start = ((uintptr_t)scratch + align - 1) & ~(align - 1);
    const int8_t **const taps = (const int8_t **)start;
    int8_t *const pad = (int8_t *)(taps + DEPTHWISE_V6M_TAP * count);
    edgeq_v6m_windows at;
    depthwise_v6m_walk walk;
    walk.taps = taps;
    walk.bias = p->bias + channels;
    walk.shift = p->shift + channels;
    walk.span = p->span;
    walk.lo = p->lo;
    walk.channels = channels;
    walk.count = count;
    if (p->padded) {
        memset(pad, p->pad_value, (size_t)channels);
    }
    for (int32_t t = 0; t < count; t++) {
        taps[DEPTHWISE_V6M_TAP * t] = p->weight + (t + 1) * channels;
    }
    edgeq_v6m_start(w, &at);
    for (int32_t left = w->out_h * w->out_w; left > 0; left -= EDGEQ_V6M_PIXELS) {
        edgeq_v6m_move(w, left, &at);
        for (int32_t k = 0; k < EDGEQ_V6M_PIXELS; k++) {
            out += k < left ? channels : 0;
            walk.out[k] = out;
        }
        depthwise_v6m_gather(p, &at, in, pad, taps);
        depthwise_v6m_channels(&walk);
    }
}
