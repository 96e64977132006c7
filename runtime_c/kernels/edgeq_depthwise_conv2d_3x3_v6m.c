#include "edgeq_depthwise_conv2d.h"
#include "edgeq_v6m.h"

/* What computing a channel needs, in the order in which the assembly reads it. A plane holds lines of int32, padding
 * included; its line 0 is the first output row's first. Distances are in bytes. */
typedef struct {
    int32_t weight[9];
    int32_t bias, shift, span, lo;
    int32_t out_column;
    int8_t *out, *end;      /* of the output row */
    const int32_t *x;       /* in the plane, of the first output */
    int32_t line_step;      /* in the plane, between output rows */
    int32_t out_skip;       /* from the end of an output row to the next one's start */
    int32_t out_row, rows;  /* between output rows; how many */
    int32_t line;           /* in the plane */
} depthwise_3x3_v6m_plane;

#if EDGEQ_V6M_ASM
/* r0 in the plane, r6 and r7 two outputs, r8 from a line's end to the next, r9 from the last line's end to the next two
 * outputs, r10 to lr the first four weights. The stack has the struct. */

/* Adds three taps to either output, with w0, w1 and w2 as instructions that load a weight to r5. */
#define DEPTHWISE_3X3_V6M_LINE_1(w0, w1, w2) \
    "ldmia r0!, {r1-r4}\n" \
    w0 \
    "muls r1, r5\n" \
    "adds r6, r6, r1\n" \
    "muls r5, r2\n" \
    "adds r7, r7, r5\n" \
    w1 \
    "muls r2, r5\n" \
    "adds r6, r6, r2\n" \
    "muls r5, r3\n" \
    "adds r7, r7, r5\n" \
    w2 \
    "muls r3, r5\n" \
    "adds r6, r6, r3\n" \
    "muls r4, r5\n" \
    "adds r7, r7, r4\n"

#define DEPTHWISE_3X3_V6M_LINE_2(w0, w1, w2) \
    "ldmia r0!, {r1-r3}\n" \
    w0 \
    "muls r1, r5\n" \
    "adds r6, r6, r1\n" \
    "muls r5, r3\n" \
    "adds r7, r7, r5\n" \
    w1 \
    "muls r2, r5\n" \
    "adds r6, r6, r2\n" \
    "ldmia r0!, {r1, r2}\n" \
    "muls r1, r5\n" \
    "adds r7, r7, r1\n" \
    w2 \
    "muls r2, r5\n" \
    "adds r7, r7, r2\n" \
    "muls r3, r5\n" \
    "adds r6, r6, r3\n"

/* words: that a line's three taps of two outputs have; step: words between such pairs. */
#define DEPTHWISE_3X3_V6M_CHANNEL(LINE, words, step) \
    ".syntax unified\n" \
    "push {r4-r7, lr}\n" \
    "mov r4, r8\n" \
    "mov r5, r9\n" \
    "mov r6, r10\n" \
    "mov r7, r11\n" \
    "push {r4-r7}\n" \
    "sub sp, #88\n" \
    "mov r1, sp\n" \
    ".rept 5\n" \
    "ldmia r0!, {r2-r5}\n" \
    "stmia r1!, {r2-r5}\n" \
    ".endr\n" \
    "ldmia r0!, {r2, r3}\n" /* rows, line */ \
    "str r2, [r1]\n" \
    "subs r3, #4 * " words "\n" \
    "mov r8, r3\n" \
    "lsls r3, r3, #1\n" \
    "adds r3, #4 * (3 * " words " - " step ")\n" \
    "negs r3, r3\n" \
    "mov r9, r3\n" \
    "mov r1, sp\n" \
    "ldmia r1!, {r2-r5}\n" \
    "mov r10, r2\n" \
    "mov r11, r3\n" \
    "mov r12, r4\n" \
    "mov lr, r5\n" \
    "ldr r0, [sp, #64]\n" \
    "2:\n" \
    "ldr r6, [sp, #36]\n" \
    "mov r7, r6\n" \
    LINE("mov r5, r10\n", "mov r5, r11\n", "mov r5, r12\n") \
    "add r0, r8\n" \
    LINE("mov r5, lr\n", "ldr r5, [sp, #16]\n", "ldr r5, [sp, #20]\n") \
    "add r0, r8\n" \
    LINE("ldr r5, [sp, #24]\n", "ldr r5, [sp, #28]\n", "ldr r5, [sp, #32]\n") \
    "add r0, r9\n" \
    "ldr r1, [sp, #40]\n" \
    "ldr r2, [sp, #44]\n" \
    "ldr r3, [sp, #48]\n" \
    "asrs r6, r1\n" \
    EDGEQ_V6M_CLAMP("r6", "r1", "r2", "r3") \
    "ldr r1, [sp, #40]\n" \
    "asrs r7, r1\n" \
    EDGEQ_V6M_CLAMP("r7", "r1", "r2", "r3") \
    "ldr r1, [sp, #56]\n" \
    "ldr r2, [sp, #52]\n" \
    "ldr r3, [sp, #60]\n" \
    "strb r6, [r1]\n" \
    "adds r1, r1, r2\n" \
    "cmp r1, r3\n" \
    "beq 3f\n" \
    "strb r7, [r1]\n" \
    "adds r1, r1, r2\n" \
    "str r1, [sp, #56]\n" \
    "cmp r1, r3\n" \
    "bne 2b\n" \
    "3:\n" \
    "ldr r2, [sp, #72]\n" \
    "adds r1, r1, r2\n" \
    "str r1, [sp, #56]\n" \
    "ldr r2, [sp, #76]\n" \
    "adds r3, r3, r2\n" \
    "str r3, [sp, #60]\n" \
    "ldr r0, [sp, #64]\n" \
    "ldr r2, [sp, #68]\n" \
    "adds r0, r0, r2\n" \
    "str r0, [sp, #64]\n" \
    "ldr r2, [sp, #80]\n" \
    "subs r2, #1\n" \
    "str r2, [sp, #80]\n" \
    "bne 2b\n" \
    "add sp, #88\n" \
    "pop {r4-r7}\n" \
    "mov r8, r4\n" \
    "mov r9, r5\n" \
    "mov r10, r6\n" \
    "mov r11, r7\n" \
    "pop {r4-r7, pc}\n"

__attribute__((naked, noinline)) static void depthwise_3x3_v6m_stride1(
    const depthwise_3x3_v6m_plane *plane __attribute__((unused))) {
    __asm__(DEPTHWISE_3X3_V6M_CHANNEL(DEPTHWISE_3X3_V6M_LINE_1, "4", "2"));
}

__attribute__((naked, noinline)) static void depthwise_3x3_v6m_stride2(
    const depthwise_3x3_v6m_plane *plane __attribute__((unused))) {
    __asm__(DEPTHWISE_3X3_V6M_CHANNEL(DEPTHWISE_3X3_V6M_LINE_2, "5", "4"));
}
#else
static void depthwise_3x3_v6m_channel(const depthwise_3x3_v6m_plane *plane, int32_t stride) {
    const int32_t *line = plane->x;
    int8_t *out = plane->out, *end = plane->end;
    for (int32_t y = 0; y < plane->rows; y++) {
        const int32_t *x = line;
        for (; out != end; out += plane->out_column) {
            int32_t acc = plane->bias;
            for (int32_t t = 0; t < 9; t++) {
                acc += plane->weight[t] * x[t / 3 * (plane->line / 4) + t % 3];
            }
            *out = edgeq_v6m_clamp(acc >> plane->shift, plane->span, plane->lo);
            x += stride;
        }
        line += plane->line_step / 4;
        out += plane->out_skip;
        end += plane->out_row;
    }
}

static void depthwise_3x3_v6m_stride1(const depthwise_3x3_v6m_plane *plane) {
    depthwise_3x3_v6m_channel(plane, 1);
}

static void depthwise_3x3_v6m_stride2(const depthwise_3x3_v6m_plane *plane) {
    depthwise_3x3_v6m_channel(plane, 2);
}
#endif

/* n values, each step bytes after the one before, as words. */
static void depthwise_3x3_v6m_expand(const int8_t *from, int32_t step, int32_t n, int32_t *to) {
    int32_t at = 0;
    for (; n > 3; n -= 4) {
        to[0] = from[at];
        at += step;
        to[1] = from[at];
        at += step;
        to[2] = from[at];
        at += step;
        to[3] = from[at];
        at += step;
        to += 4;
    }
    for (; n > 0; n--) {
        *to++ = from[at];
        at += step;
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_3x3_v6m(const edgeq_depthwise_conv2d_3x3_v6m_params *p, const int8_t *in, int8_t *out,
                                                 void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t line = p->line;
    int32_t *const x = (int32_t *)scratch;
    depthwise_3x3_v6m_plane plane;
    plane.span = p->span;
    plane.lo = p->lo;
    plane.out_column = p->out_column;
    plane.out_row = p->out_row;
    plane.out_skip = p->out_row - w->out_w * p->out_column;
    plane.x = x;
    plane.line = 4 * line;
    plane.line_step = 4 * line * w->stride_h;
    for (int32_t oy = 0; oy != w->out_h; oy += plane.rows) {
        plane.rows = edgeq_v6m_min(w->out_h - oy, p->band);
        const int32_t top = oy * w->stride_h - w->pad_top, lines = (plane.rows - 1) * w->stride_h + 3;
        const int32_t from = top - edgeq_v6m_min(top, 0), to = edgeq_v6m_min(top + lines, w->in_h);
        for (int32_t k = 0; k < lines * line; k++) { /* padding, which stays for all channels */
            x[k] = p->pad_value;
        }
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t *at = x + (from - top) * line + w->pad_left;
            for (int32_t y = from; y < to; y++) {
                depthwise_3x3_v6m_expand(in + y * p->in_row + c, p->in_column, w->in_w, at);
                at += line;
            }
            for (int32_t t = 0; t < 9; t++) {
                plane.weight[t] = p->weight[9 * c + t];
            }
            plane.bias = p->bias[c];
            plane.shift = p->shift[c];
            plane.out = out + oy * p->out_row + c;
            plane.end = plane.out + w->out_w * p->out_column;
            (w->stride_w == 1 ? depthwise_3x3_v6m_stride1 : depthwise_3x3_v6m_stride2)(&plane);
        }
    }
}
