#include "edgeq_avg_pool.h"
#include "edgeq_v6m.h"

/* The taps of a window that are inside the input, along one axis. */
typedef struct {
    int32_t start, count;
} avg_pool_v6m_taps;

static avg_pool_v6m_taps avg_pool_v6m_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size) {
    avg_pool_v6m_taps taps = {start, 0};
    for (; kernel != 0 && taps.start < 0; kernel--) {
        taps.start += dilation;
    }
    for (int32_t at = taps.start; taps.count < kernel && at < size; at += dilation) {
        taps.count++;
    }
    return taps;
}

/* The sum of n values, step bytes apart, the first at `at`. */
static int32_t avg_pool_v6m_sum(const int8_t *in, int32_t at, int32_t step, int32_t n) {
    int32_t sum = 0;
    for (; n > 3; n -= 4) {
        sum += in[at];
        at += step;
        sum += in[at];
        at += step;
        sum += in[at];
        at += step;
        sum += in[at];
        at += step;
    }
    for (; n > 0; n--) {
        sum += in[at];
        at += step;
    }
    return sum;
}

/* All channels of a window. */
static void avg_pool_v6m_window(const edgeq_avg_pool_params *p, const int8_t *in, avg_pool_v6m_taps y, avg_pool_v6m_taps x,
                                int8_t *out) {
    const edgeq_window *w = &p->window;
    const int32_t channels = p->channels, m = p->m, bias = p->bias, span = p->hi - p->lo, lo = p->lo;
    const unsigned pre_shift = p->pre_shift, shift = p->shift;
    const int32_t taps = y.count * x.count, start = ((1 << pre_shift) >> 1) - taps * p->zero_point;
    const int in_one = x.count == w->in_w && w->dilation_h == 1; /* the rows follow each other */
    const int32_t rows = in_one ? 1 : y.count, columns = in_one ? taps : x.count;
    const int32_t row = w->dilation_h * w->in_w * channels, step = w->dilation_w * channels;
    const int32_t corner = (y.start * w->in_w + x.start) * channels;
    for (const int8_t *const end = out + channels; out != end; out++) {
        int32_t sum = start, at = corner;
        for (int32_t i = 0; i < rows; i++) {
            sum += avg_pool_v6m_sum(in, at, step, columns);
            at += row;
        }
        *out = edgeq_v6m_clamp(((sum >> pre_shift) * m + bias) >> shift, span, lo);
        in++;
    }
}

EDGEQ_KERNEL void edgeq_avg_pool_v6m(const edgeq_avg_pool_params *p, const int8_t *in, int8_t *out) {
    const edgeq_window *w = &p->window;
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        const avg_pool_v6m_taps y =
            avg_pool_v6m_inside(oy * w->stride_h - w->pad_top, w->kernel_h, w->dilation_h, w->in_h);
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            const avg_pool_v6m_taps x =
                avg_pool_v6m_inside(ox * w->stride_w - w->pad_left, w->kernel_w, w->dilation_w, w->in_w);
            avg_pool_v6m_window(p, in, y, x, out);
            out += p->channels;
        }
    }
}
