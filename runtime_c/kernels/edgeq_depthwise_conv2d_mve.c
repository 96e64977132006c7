#include "edgeq_depthwise_conv2d.h"

#include "edgeq_mve.h"

/* 16 lanes at a time: 16 channels of a pixel, or neighbouring pixels where there are 8, 4, 2 or 1 channels. Products of 8
 * bits are summed in 16 bits in groups of three and two taps that cannot overflow, and these sums in 32 bits. */
enum { DEPTHWISE_MVE_LANES = 16, DEPTHWISE_MVE_TAPS = 64 };

#if defined(__ARM_FEATURE_MVE)

/* to[i] = base + offset[i], i < n. */
static inline void depthwise_mve_point(const int8_t **to, const int8_t *base, const int32_t *offset, int32_t n) {
    __asm volatile("dlstp.32 lr, %[n]\n"
                   "1:\n"
                   "vldrw.32 q0, [%[offset]], #16\n"
                   "vadd.i32 q0, q0, %[base]\n"
                   "vstrw.32 q0, [%[to]], #16\n"
                   "letp lr, 1b\n"
                   : [to] "+r"(to), [offset] "+r"(offset)
                   : [base] "r"(base), [n] "r"(n)
                   : "lr", "q0", "memory");
}

/* The taps of the window at (y, x); outside the input they are `outside`. Negative positions are large ones without a
 * sign. */
static inline void depthwise_mve_border(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t x,
                                        const int8_t *outside, const int8_t **taps) {
    const edgeq_window *w = &p->window;
    register const int16_t *row __asm("r0") = p->at; /* named, as gcc -O0 fails to choose */
    register const int16_t *column __asm("r1") = p->at + p->taps;
    register const int32_t *offset __asm("r2") = p->offset;
    register const int8_t **to __asm("r3") = taps;
    register int32_t in_h __asm("r4") = w->in_h;
    register int32_t in_w __asm("r5") = w->in_w;
    register uint32_t base __asm("r6") = (uint32_t)in + (uint32_t)((y * w->in_w + x) * p->in_c);
    register int32_t top __asm("r8") = y;
    register const int8_t *pad __asm("r9") = outside;
    register int32_t left __asm("r10") = x;
    register int32_t n __asm("r12") = p->taps;
    __asm volatile("vdup.32 q3, %[outside]\n"
                   "dlstp.32 lr, %[n]\n"
                   "1:\n"
                   "vldrh.s32 q0, [%[row]], #8\n vldrh.s32 q1, [%[column]], #8\n vldrw.32 q2, [%[offset]], #16\n"
                   "vadd.i32 q0, q0, %[y]\n vadd.i32 q1, q1, %[x]\n vadd.i32 q2, q2, %[base]\n"
                   "vpt.u32 cs, q0, %[in_h]\n vmovt q2, q3\n"
                   "vpt.u32 cs, q1, %[in_w]\n vmovt q2, q3\n"
                   "vstrw.32 q2, [%[taps]], #16\n"
                   "letp lr, 1b\n"
                   : [row] "+r"(row), [column] "+r"(column), [offset] "+r"(offset), [taps] "+r"(to)
                   : [outside] "r"(pad), [n] "r"(n), [in_h] "r"(in_h), [in_w] "r"(in_w), [base] "r"(base),
                     [y] "r"(top), [x] "r"(left)
                   : "lr", "q0", "q1", "q2", "q3", "cc", "memory");
}

/* q4 to q7 are the sums of lanes 0 4 8 12, 2 6 10 14, 1 5 9 13, 3 7 11 15; q2 and q3 the 16-bit sums of even and odd lanes. */
#define DEPTHWISE_MVE_POINTER(t) "ldr " t ", [%[taps]], #4\n add " t ", " t ", %[c0]\n"
#define DEPTHWISE_MVE_POINTERS "ldrd r10, r11, [%[taps]], #8\n add r10, r10, %[c0]\n add r11, r11, %[c0]\n"
#define DEPTHWISE_MVE_FIRST(t, when)                                            \
    when "vldrb" t "vldrb.8 q1, [%[w]], #16\n"                                  \
    "vmullb.s8 q2, q0, q1\n vmullt.s8 q3, q0, q1\n"
#define DEPTHWISE_MVE_MORE(t, when)                                             \
    when "vldrb" t "vldrb.8 q1, [%[w]]\n vmullt.s8 q1, q0, q1\n vadd.i16 q3, q3, q1\n" \
    "vldrb.8 q1, [%[w]], #16\n vmullb.s8 q1, q0, q1\n vadd.i16 q2, q2, q1\n"
#define DEPTHWISE_MVE_WIDEN                                                     \
    "vmovlb.s16 q0, q2\n vadd.i32 q4, q4, q0\n vmovlt.s16 q0, q2\n vadd.i32 q5, q5, q0\n" \
    "vmovlb.s16 q0, q3\n vadd.i32 q6, q6, q0\n vmovlt.s16 q0, q3\n vadd.i32 q7, q7, q0\n"
#define DEPTHWISE_MVE_NARROW                                                                \
    "vqmovnb.s32 q0, q4\n vqmovnt.s32 q0, q5\n vqmovnb.s32 q1, q6\n vqmovnt.s32 q1, q7\n" \
    "vqmovnb.s16 q2, q0\n vqmovnt.s16 q2, q1\n"
#define DEPTHWISE_MVE_SHIFT(q) "vldrw.32 q0, [%[requant]], #16\n vshl.s32 " q ", " q ", q0\n"

/* prepare, when, then: nothing, or what makes loads of the input and the store of the output conditional. again: goes on
 * with the next 16 lanes, or nothing. */
#define DEPTHWISE_MVE_BLOCK(name, prepare, when, then, again)                                                           \
    static inline void name(const int8_t *const *taps, int32_t c0, const int8_t *weight, const int32_t *requant,  \
                            const int16_t *groups, int32_t lanes, int8_t *out) {                                  \
        register const int8_t *const *from __asm("r0") = taps;                                                    \
        register const int8_t *w __asm("r1") = weight;                                                            \
        register const int32_t *words __asm("r2") = requant;                                                      \
        register int32_t channel __asm("r3") = c0;                                                                \
        register int32_t triples __asm("r4") = groups[0];                                                         \
        register int32_t pairs __asm("r5") = groups[1];                                                           \
        register int32_t singles __asm("r6") = groups[2];                                                         \
        register int8_t *to __asm("r8") = out;                                                                    \
        register const int8_t *const *first __asm("r9") = taps; \
        register int32_t n __asm("r12") = lanes;                                                                  \
        __asm volatile("0:\n" prepare                                                                                    \
                       "vldrw.32 q4, [%[requant]], #16\n vldrw.32 q5, [%[requant]], #16\n"                        \
                       "vldrw.32 q6, [%[requant]], #16\n vldrw.32 q7, [%[requant]], #16\n"                        \
                       "wls lr, %[triples], 2f\n"                                                                 \
                       "1:\n" DEPTHWISE_MVE_POINTERS DEPTHWISE_MVE_FIRST(then ".8 q0, [r10]\n", when)             \
                       DEPTHWISE_MVE_MORE(then ".8 q0, [r11]\n", when) DEPTHWISE_MVE_POINTER("r10")               \
                       DEPTHWISE_MVE_MORE(then ".8 q0, [r10]\n", when) DEPTHWISE_MVE_WIDEN "le lr, 1b\n"          \
                       "2:\n wls lr, %[pairs], 4f\n"                                                              \
                       "3:\n" DEPTHWISE_MVE_POINTERS DEPTHWISE_MVE_FIRST(then ".8 q0, [r10]\n", when)             \
                       DEPTHWISE_MVE_MORE(then ".8 q0, [r11]\n", when) DEPTHWISE_MVE_WIDEN "le lr, 3b\n"          \
                       "4:\n wls lr, %[singles], 6f\n"                                                            \
                       "5:\n" DEPTHWISE_MVE_POINTER("r10") DEPTHWISE_MVE_FIRST(then ".8 q0, [r10]\n", when)       \
                       DEPTHWISE_MVE_WIDEN "le lr, 5b\n"                                                          \
                       "6:\n" DEPTHWISE_MVE_SHIFT("q4") DEPTHWISE_MVE_SHIFT("q5") DEPTHWISE_MVE_SHIFT("q6")       \
                       DEPTHWISE_MVE_SHIFT("q7")                                                                  \
                       DEPTHWISE_MVE_NARROW when "vstrb" then ".8 q2, [%[out]], #16\n" again        \
                       : [taps] "+r"(from), [w] "+r"(w), [requant] "+r"(words), [c0] "+r"(channel), [out] "+r"(to), [n] "+r"(n)                                    \
                       : [first] "r"(first), [triples] "r"(triples), [pairs] "r"(pairs), [singles] "r"(singles)   \
                       : "r10", "r11", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");     \
    }

DEPTHWISE_MVE_BLOCK(depthwise_mve_whole, "", "", "",
                    "add %[c0], %[c0], #16\n mov %[taps], %[first]\n subs %[n], %[n], #16\n bne 0b\n")
DEPTHWISE_MVE_BLOCK(depthwise_mve_part, "vctp.8 %[n]\n", "vpst\n ", "t", "")

/* What depthwise_mve_nine works on; offsets are known to the assembler. */
typedef struct {
    int32_t blocks;
    const int8_t *weight;
    const int32_t *requant;
    int32_t skip, pixels; /* bytes from the end of a pixel, in the input, to the next; how many pixels */
} depthwise_mve_run;

#define DEPTHWISE_MVE_NINE_FIRST(t) DEPTHWISE_MVE_FIRST(".8 q0, [" t "], #16\n", "")
#define DEPTHWISE_MVE_NINE_MORE(t) DEPTHWISE_MVE_MORE(".8 q0, [" t "], #16\n", "")
#define DEPTHWISE_MVE_NINE_THREE(t, u, v) \
    DEPTHWISE_MVE_NINE_FIRST(t) DEPTHWISE_MVE_NINE_MORE(u) DEPTHWISE_MVE_NINE_MORE(v) DEPTHWISE_MVE_WIDEN

/* Nine taps: their pointers stay in registers and are at the next pixel's, or only some bytes before, when a pixel is done.
 * `last`: taps 6 to 8, in groups. r7 may be the frame pointer, which gcc does not let one name. */
#define DEPTHWISE_MVE_NINE(name, last)                                                                                \
    static inline void name(const int8_t *const *taps, depthwise_mve_run *job, int8_t *out) {                         \
        register const int8_t *const *from __asm("r0") = taps;                                                        \
        register int8_t *to __asm("r10") = out;                                                                       \
        register depthwise_mve_run *run __asm("r11") = job;                                                           \
        register const int8_t *w __asm("r9");                                                                         \
        register const int32_t *requant __asm("r12");                                                                 \
        __asm volatile("push {r7}\n ldm r0, {r0, r1, r2, r3, r4, r5, r6, r7, r8}\n"                                   \
                       "1:\n ldr %[w], [%[run]]\n dls lr, %[w]\n ldrd %[w], %[requant], [%[run], #4]\n"                 \
                       "2:\n vldrw.32 q4, [%[requant]], #16\n vldrw.32 q5, [%[requant]], #16\n"                       \
                       "vldrw.32 q6, [%[requant]], #16\n vldrw.32 q7, [%[requant]], #16\n"                            \
                       DEPTHWISE_MVE_NINE_THREE("r0", "r1", "r2") DEPTHWISE_MVE_NINE_THREE("r3", "r4", "r5") last     \
                       DEPTHWISE_MVE_SHIFT("q4") DEPTHWISE_MVE_SHIFT("q5") DEPTHWISE_MVE_SHIFT("q6")                  \
                       DEPTHWISE_MVE_SHIFT("q7") DEPTHWISE_MVE_NARROW                                                 \
                       "vstrb.8 q2, [%[out]], #16\n le lr, 2b\n"                                                     \
                       "ldr r9, [%[run], #12]\n cmp r9, #0\n beq 3f\n"                                               \
                       "add r0, r0, r9\n add r1, r1, r9\n add r2, r2, r9\n add r3, r3, r9\n add r4, r4, r9\n"         \
                       "add r5, r5, r9\n add r6, r6, r9\n add r7, r7, r9\n add r8, r8, r9\n"                          \
                       "3:\n ldr r9, [%[run], #16]\n subs r9, r9, #1\n str r9, [%[run], #16]\n bne 1b\n"             \
                       "pop {r7}\n"                                                                                  \
                       : [from] "+r"(from), [out] "+r"(to), [w] "=&r"(w), [requant] "=&r"(requant)                    \
                       : [run] "r"(run)                                                                               \
                       : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "lr", "q0", "q1", "q2", "q3", "q4",   \
                         "q5", "q6", "q7", "cc", "memory");                                                           \
    }

DEPTHWISE_MVE_NINE(depthwise_mve_333, DEPTHWISE_MVE_NINE_THREE("r6", "r7", "r8"))
DEPTHWISE_MVE_NINE(depthwise_mve_3321, DEPTHWISE_MVE_NINE_FIRST("r6") DEPTHWISE_MVE_NINE_MORE("r7") DEPTHWISE_MVE_WIDEN
                                           DEPTHWISE_MVE_NINE_FIRST("r8") DEPTHWISE_MVE_WIDEN)

/* `lanes` outputs, a multiple of 16, of each of `pixels` > 0 pixels, `step` bytes apart; nine taps in groups of 3 3 3 or of
 * 3 3 2 1. */
static inline void depthwise_mve_nine(const int8_t *const *taps, const int8_t *weight, const int32_t *requant,
                                      const int16_t *groups, int32_t lanes, int32_t pixels, int32_t step, int8_t *out) {
    depthwise_mve_run run = {lanes / DEPTHWISE_MVE_LANES, weight, requant, step - lanes, pixels};
    if (groups[0] == 3) {
        depthwise_mve_333(taps, &run, out);
    } else {
        depthwise_mve_3321(taps, &run, out);
    }
}

/* out[l] = the sum over the taps, shifted and saturated to 8 bits, l < lanes. The taps are read from lane c0 on. */
static inline void depthwise_mve_pixel(const int8_t *const *taps, const int8_t *weight, const int32_t *requant,
                                       const int16_t *groups, int32_t lanes, int8_t *out) {
    const int32_t whole = lanes & -DEPTHWISE_MVE_LANES;
    if (whole != 0) {
        depthwise_mve_whole(taps, 0, weight, requant, groups, whole, out);
    }
    if (whole != lanes) {
        const int32_t taps_n = 3 * groups[0] + 2 * groups[1] + groups[2];
        depthwise_mve_part(taps, whole, weight + whole * taps_n, requant + 2 * whole, groups, lanes - whole, out + whole);
    }
}

#else

static inline void depthwise_mve_point(const int8_t **to, const int8_t *base, const int32_t *offset, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = base + offset[i];
    }
}

static inline void depthwise_mve_border(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t x,
                                 const int8_t *outside, const int8_t **taps) {
    const edgeq_window *w = &p->window;
    for (int32_t t = 0; t < p->taps; t++) {
        const int32_t iy = y + p->at[t], ix = x + p->at[p->taps + t];
        const int inside = iy >= 0 && iy < w->in_h && ix >= 0 && ix < w->in_w;
        taps[t] = inside ? in + (iy * w->in_w + ix) * p->in_c : outside;
    }
}

static inline void depthwise_mve_pixel(const int8_t *const *taps, const int8_t *weight, const int32_t *requant,
                                       const int16_t *groups, int32_t lanes, int8_t *out) {
    static const int8_t part_of[4] = {0, 2, 1, 3}; /* where lane l mod 4 is among the four vectors of requant */
    const int32_t taps_n = 3 * groups[0] + 2 * groups[1] + groups[2];
    for (int32_t c0 = 0; c0 < lanes; c0 += DEPTHWISE_MVE_LANES) {
        int8_t result[DEPTHWISE_MVE_LANES];
        const int32_t n = lanes - c0 < DEPTHWISE_MVE_LANES ? lanes - c0 : DEPTHWISE_MVE_LANES;
        for (int32_t l = 0; l < n; l++) {
            const int32_t at = part_of[l % 4] * 4 + l / 4;
            int32_t acc = requant[at], t = 0;
            for (int32_t size = 3; size > 0; size--) {
                for (int32_t g = 0; g < groups[3 - size]; g++) {
                    int16_t sum = 0;
                    for (int32_t i = 0; i < size; i++, t++) {
                        sum = (int16_t)(sum + weight[t * DEPTHWISE_MVE_LANES + l] * taps[t][c0 + l]);
                    }
                    acc += sum;
                }
            }
            result[l] = edgeq_requantize(acc, (unsigned)-requant[16 + at], -128, 127);
        }
        edgeq_mve_copy(out + c0, result, n);
        weight += taps_n * DEPTHWISE_MVE_LANES;
        requant += 2 * DEPTHWISE_MVE_LANES;
    }
}

static inline void depthwise_mve_nine(const int8_t *const *taps, const int8_t *weight, const int32_t *requant,
                                      const int16_t *groups, int32_t lanes, int32_t pixels, int32_t step, int8_t *out) {
    static const int16_t nine[2][3] = {{2, 1, 1}, {3, 0, 0}}; /* as in assembler, no others, and whole vectors */
    const int8_t *at[9];
    for (int32_t i = 0; i < pixels; i++) {
        for (int32_t t = 0; t < 9; t++) {
            at[t] = taps[t] + i * step;
        }
        depthwise_mve_pixel(at, weight, requant, nine[groups[0] == 3], lanes & -DEPTHWISE_MVE_LANES, out + i * lanes);
    }
}

#endif

/* Output pixels ox .. end - 1 of the row whose windows begin at y, in the border of the input. */
static void depthwise_mve_outer(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int32_t y, int32_t ox,
                                int32_t end, const int8_t *outside, int8_t *out) {
    const int8_t *taps[DEPTHWISE_MVE_TAPS];
    const int32_t channels = p->in_c;
    for (; ox < end; ox++) {
        depthwise_mve_border(p, in, y, ox * p->window.stride_w - p->window.pad_left, outside, taps);
        if (p->nine && p->pixels == 1) {
            depthwise_mve_nine(taps, p->weight, p->requant, p->groups, channels, 1, channels, out);
        } else {
            depthwise_mve_pixel(taps, p->weight, p->requant, p->groups, channels, out);
        }
        out += channels;
    }
}

/* `count` output pixels whose windows are inside the input, the first at `in`, `step` bytes apart. */
static void depthwise_mve_inner(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int32_t step,
                                int32_t count, int8_t *out) {
    const int8_t *taps[DEPTHWISE_MVE_TAPS];
    const int32_t pixels = p->pixels, channels = p->in_c, taps_n = p->taps;
    const int8_t *weight = p->weight;
    const int32_t *requant = p->requant, *offset = p->offset;
    const int16_t *groups = p->groups;
    if (p->nine && count >= pixels) {
        const int32_t vectors = count / pixels;
        depthwise_mve_point(taps, in, offset, taps_n);
        depthwise_mve_nine(taps, weight, requant, groups, pixels * channels, vectors, pixels * step, out);
        in += vectors * pixels * step;
        out += vectors * pixels * channels;
        count -= vectors * pixels;
    }
    for (; count > 0; count -= pixels) {
        depthwise_mve_point(taps, in, offset, taps_n);
        depthwise_mve_pixel(taps, weight, requant, groups, (count < pixels ? count : pixels) * channels, out);
        in += pixels * step;
        out += pixels * channels;
    }
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_mve(const edgeq_depthwise_conv2d_mve_params *p, const int8_t *in, int8_t *out,
                                             void *scratch) {
    const edgeq_window *w = &p->window;
    const int32_t left = p->inner[2], right = p->inner[3];
    int8_t *outside = (int8_t *)scratch;
    if (p->padded) {
        edgeq_mve_fill(outside, p->pad_value, p->in_c);
    }
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        if (oy >= p->inner[0] && oy < p->inner[1]) {
            const int8_t *from = in + (y * w->in_w + left * w->stride_w - w->pad_left) * p->in_c;
            depthwise_mve_outer(p, in, y, 0, left, outside, out);
            depthwise_mve_inner(p, from, w->stride_w * p->in_c, right - left, out + left * p->in_c);
            depthwise_mve_outer(p, in, y, right, w->out_w, outside, out + right * p->in_c);
        } else {
            depthwise_mve_outer(p, in, y, 0, w->out_w, outside, out);
        }
        edgeq_mve_clamp(out, w->out_w * p->in_c, p->lo, p->hi);
        out += w->out_w * p->in_c;
    }
}

/* 16 outputs of the pixel whose window is at (y, x). `in` points at the first channel that they read. The sums of 32 bits
 * are in the order of requant. */
static inline int8x16_t depthwise_mve_any(const edgeq_depthwise_conv2d_any_mve_params *p, const int8_t *in, int32_t y,
                                          int32_t x, const int8_t *weight, const int32_t *requant, uint8x16_t channel) {
    const edgeq_window *w = &p->window;
    const int32_t in_h = w->in_h, in_w = w->in_w, in_c = p->in_c, dilation_w = w->dilation_w;
    const int8x16_t outside = vdupq_n_s8(p->pad_value);
    int32x4_t acc_0 = vldrwq_s32(requant), acc_2 = vldrwq_s32(requant + 4);
    int32x4_t acc_1 = vldrwq_s32(requant + 8), acc_3 = vldrwq_s32(requant + 12);
    for (int32_t i = 0; i < w->kernel_h; i++) {
        const int32_t iy = y + i * w->dilation_h;
        const int row_inside = iy >= 0 && iy < in_h;
        for (int32_t j = 0; j < w->kernel_w; j++) {
            const int32_t ix = x + j * dilation_w;
            const int inside = row_inside && ix >= 0 && ix < in_w;
            const int8x16_t taps = inside ? vldrbq_gather_offset_s8(in + (iy * in_w + ix) * in_c, channel) : outside;
            const int8x16_t weights = vldrbq_s8(weight);
            const int16x8_t even = vmullbq_int_s8(taps, weights), odd = vmulltq_int_s8(taps, weights);
            acc_0 = vaddq_s32(acc_0, vmovlbq_s16(even));
            acc_2 = vaddq_s32(acc_2, vmovltq_s16(even));
            acc_1 = vaddq_s32(acc_1, vmovlbq_s16(odd));
            acc_3 = vaddq_s32(acc_3, vmovltq_s16(odd));
            weight += DEPTHWISE_MVE_LANES;
        }
    }
    const int16x8_t none = vdupq_n_s16(0);
    const int16x8_t even = vqmovntq_s32(vqmovnbq_s32(none, vshlq_s32(acc_0, vldrwq_s32(requant + 16))),
                                        vshlq_s32(acc_2, vldrwq_s32(requant + 20)));
    const int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(none, vshlq_s32(acc_1, vldrwq_s32(requant + 24))),
                                       vshlq_s32(acc_3, vldrwq_s32(requant + 28)));
    return vqmovntq_s16(vqmovnbq_s16(outside, even), odd);
}

EDGEQ_KERNEL void edgeq_depthwise_conv2d_any_mve(const edgeq_depthwise_conv2d_any_mve_params *p, const int8_t *in,
                                                 int8_t *out) {
    const edgeq_window *w = &p->window;
    const int8x16_t low = vdupq_n_s8((int8_t)p->lo), high = vdupq_n_s8((int8_t)p->hi);
    const int32_t taps = w->kernel_h * w->kernel_w;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const int32_t y = oy * w->stride_h - w->pad_top;
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const int32_t x = ox * w->stride_w - w->pad_left;
            for (int32_t c0 = 0; c0 < p->out_c; c0 += DEPTHWISE_MVE_LANES) {
                const uint8x16_t channel = vldrbq_u8(p->channel + c0);
                const int8_t *first = in + p->first[c0 / DEPTHWISE_MVE_LANES];
                const int8x16_t v = depthwise_mve_any(p, first, y, x, p->weight + c0 * taps, p->requant + 2 * c0, channel);
                const mve_pred16_t lanes = vctp8q((uint32_t)(p->out_c - c0));
                vstrbq_p_s8(out + c0, vminq_s8(vmaxq_s8(v, low), high), lanes);
            }
            out += p->out_c;
        }
    }
}
