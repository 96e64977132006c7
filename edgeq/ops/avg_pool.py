"""avg_pool: the mean of each window, and of any axes. SPEC.md section "avg_pool"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor, size_of
from edgeq.numerics import round_shift, saturate
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, View, dynamic, onnx_rule
from edgeq.ops._cases import activation
from edgeq.ops._layout import integers
from edgeq.ops._linear import INF
from edgeq.ops._pool import case_windows, check_shapes, taps_inside, whole_window
from edgeq.ops._requant import (
    clamp_bounds,
    finest_frac_bits,
    max_magnitude,
    multipliers,
    narrowed,
    prove_clamp,
    prove_int32,
    prove_shift,
    rounding_bias,
)
from edgeq.ops._window import Window, window_of

NO_BORDER = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class AvgPoolOp(IntOp):
    """sum over the taps inside the input of (q - zero_point), then
    acc = round_shift(sum, pre_shift) * m[k] + bias; out = clamp(acc >> shift, lo, hi).

    m: (1,) int32 where every window has the same divisor, then k = 0; otherwise (taps + 1,), and k is the number of
    the window's taps inside the input extended by border (top, left, bottom, right) and pre_shift is 0. m[k] holds
    the ratio of the scales over k.
    """

    name: ClassVar[str] = "avg_pool"
    window: Window
    zero_point: int
    m: np.ndarray
    pre_shift: int
    bias: int
    shift: int
    lo: int
    hi: int
    border: tuple[int, int, int, int] = NO_BORDER

    @property
    def counted(self) -> bool:
        """Whether the divisor differs between windows."""
        return len(self.m) > 1

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        patches = self.window.patches(inputs[0], self.zero_point).astype(np.int64)  # a tap outside adds nothing
        total = round_shift((patches - self.zero_point).sum((3, 4)), self.pre_shift)
        m: np.ndarray = self.m.astype(np.int64)
        if self.counted:
            m = m[taps_inside(self.window, inputs[0].shape[1:], self.border)][..., None]
        return saturate((total * m + self.bias) >> self.shift, self.lo, self.hi)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        check_shapes(self.window, inputs, output)
        prove_shift(self.shift)
        prove_clamp(self.lo, self.hi)
        prove_shift(self.pre_shift)
        if self.m.dtype != np.int32 or len(self.m) not in (1, self.window.taps + 1):
            raise QuantizationError(f"{len(self.m)} multipliers of {self.m.dtype} for {self.window.taps} taps")
        if self.counted and self.pre_shift:
            raise QuantizationError("pre_shift must be 0 where windows differ in their divisor")
        inside = taps_inside(self.window, inputs[0].shape).ravel()
        m = np.abs(self.m.astype(np.int64))
        if self.counted:
            m = m[taps_inside(self.window, inputs[0].shape, self.border).ravel()]
        sums = inside * max_magnitude(self.zero_point)
        prove_int32(int(sums.max()) + (1 << self.pre_shift), "sum")
        worst = round_shift(sums, self.pre_shift) * m + abs(self.bias)
        prove_int32(int(worst.max()), "product")

    def weight_bytes(self) -> int:
        return 4 * len(self.m)

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        same = len(self.m) == 1  # divisor of all windows, wherever they are
        found = self.window.by_rows(inputs[0].shape[0], first, end) if same else None
        return found and (replace(self, window=found[0]), found[1])


def best_pre_shift(taps: int, ratio: float) -> int:
    """The pre_shift with the least worst error: 0 up to some 200 taps where the scales are alike.

    A sum of many taps leaves few of 31 bits for m. In steps of the output, rounding the sum costs up to
    2^pre_shift * ratio / (2 * taps), and rounding m up to taps * 2^-(pre_shift + 16): equal at the best pre_shift.
    """
    return max(0, round(math.log2(taps) - 7.5 - math.log2(ratio) / 2))


@dataclass(frozen=True, eq=False)
class AvgPoolLayer(LayerOp):
    """Float mean of each window, clamped to [lo, hi]. include_pad: whether the divisor counts the padding."""

    window: Window
    include_pad: bool = False
    lo: float = -INF
    hi: float = INF

    def with_clamp(self, lo: float, hi: float) -> LayerOp:
        lo, hi = narrowed(self.lo, self.hi, lo, hi)
        return replace(self, lo=lo, hi=hi)

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return inputs[0] or self.lo >= 0

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int:
        return finest_frac_bits(inputs[0].scale * max_magnitude(inputs[0].zero_point))

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        x, taps = inputs[0], self.window.taps
        border = self.window.pads if self.include_pad else NO_BORDER
        counts = np.unique(taps_inside(self.window, x.shape, border))
        magnitude, ratio = max_magnitude(x.zero_point), x.scale / output.scale
        if len(counts) == 1:
            divisors = counts.clip(1)
            pre_shift = best_pre_shift(taps, ratio)
        else:
            divisors, pre_shift = np.arange(taps + 1).clip(1), 0
        # the sum over k taps is at most k * magnitude, whatever k is
        m, shift = multipliers(ratio * 2.0**pre_shift / divisors, ratio * magnitude)
        bounds = clamp_bounds(self.lo, self.hi, output)
        bias = rounding_bias(output.zero_point, shift)
        return AvgPoolOp(self.window, x.zero_point, m, pre_shift, bias, shift, *bounds, border)


@onnx_rule
def AveragePool(
    b: GraphBuilder, x: Operand, *, kernel_shape: list[int], auto_pad: str = "NOTSET", ceil_mode: int = 0,
    count_include_pad: int = 0, dilations: list[int] | None = None, pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> View:  # fmt: skip
    """1-D and 2-D; strides, dilation, any padding counted or not, ceil_mode"""
    view = dynamic(x, "input")
    tensor = b.channels_last(view)
    window = window_of(view.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    h, w, c = b.shape_of(tensor)
    op = AvgPoolLayer(window, bool(count_include_pad))
    return b.add_channels_last(op, [tensor], (*window.out_size((h, w)), c), view.index.ndim)


@onnx_rule
def GlobalAveragePool(b: GraphBuilder, x: Operand) -> View:
    """1-D and 2-D"""
    view = dynamic(x, "input")
    tensor, window, shape = whole_window(b, view)
    return b.add_channels_last(AvgPoolLayer(window), [tensor], shape, view.index.ndim)


@onnx_rule
def ReduceMean(
    b: GraphBuilder, x: Operand, axes: Operand | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> View:
    """any constant axes; a copy where they are not neighbours in memory"""
    view, given = dynamic(x, "input"), integers(axes, "axes")
    rank = view.index.ndim
    if not given and noop_with_empty_axes:
        return view
    reduced = {a % rank for a in given or range(rank)}
    if all(view.shape[a] == 1 for a in reduced):
        out = view
    else:
        out = _spatial_mean(b, view) if _is_spatial(view, reduced) else _mean(b, view, reduced)
    return out if keepdims else View(out.tensor, out.index.squeeze(tuple(reduced)))


def _is_spatial(view: View, reduced: set[int]) -> bool:
    """Whether this is a global average pool of a channels-last tensor."""
    rank = view.index.ndim
    last = {3: (0, 2, 1), 4: (0, 2, 3, 1)}.get(rank)
    return last == view.axes_by_stride() and view.shape[0] == 1 and reduced | {0} == {0, *range(2, rank)}


def _spatial_mean(b: GraphBuilder, view: View) -> View:
    tensor, window, shape = whole_window(b, view)
    return b.add_channels_last(AvgPoolLayer(window), [tensor], shape, view.index.ndim)


def _mean(b: GraphBuilder, view: View, reduced: set[int]) -> View:
    """Any axes: memory seen as (outer, n, inner) is an image whose rows are averaged."""
    axes = view.axes_by_stride()
    wide = [a in reduced for a in axes if view.shape[a] > 1]
    if sum(now and not before for before, now in zip([False, *wide], wide, strict=False)) > 1:  # not neighbours
        axes = (*(a for a in axes if a not in reduced), *(a for a in axes if a in reduced))
    sizes = [view.shape[a] for a in axes]
    start = next(i for i, a in enumerate(axes) if a in reduced and view.shape[a] > 1)
    n = size_of(tuple(view.shape[a] for a in reduced))
    outer = size_of(tuple(sizes[:start]))
    inner = view.index.size // (outer * n)
    tensor = b.stored(view, axes, (outer, n, inner))
    kept = [1 if a in reduced else view.shape[a] for a in axes]
    index = np.arange(outer * inner).reshape(kept).transpose(np.argsort(axes))
    return b.add(AvgPoolLayer(Window((1, n))), [tensor], (outer, 1, inner), index)


class AvgPoolKernel(Kernel):
    """One divisor. Channels innermost, in blocks."""

    function = "edgeq_avg_pool"
    source = "edgeq_avg_pool.c"
    params_type = "edgeq_avg_pool_params"
    block: ClassVar[int] = 16  # channels at a time

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, AvgPoolOp)
        return not node.op.counted

    def common(self, node: Node) -> Params:
        """The fields that both kernels' structs share."""
        op = node.op
        assert isinstance(op, AvgPoolOp)
        shape = node.inputs[0].shape
        return {
            "window": op.window.params(shape, node.output.shape), "channels": shape[2], "zero_point": op.zero_point,
            "bias": op.bias, "shift": op.shift, "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def params(self, node: Node) -> Params:
        assert isinstance(node.op, AvgPoolOp)
        return {**self.common(node), "pre_shift": node.op.pre_shift, "m": int(node.op.m[0])}

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, AvgPoolOp)
        return node.output.elements * (11.0 * node.op.window.taps + 40)

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, AvgPoolOp)
        block = np.arange(node.output.shape[2]) // self.block
        return windowed(node.op.window, node.inputs[0].shape, block, block)


class AvgPoolCountedKernel(AvgPoolKernel):
    """A divisor per number of taps inside the border."""

    function = "edgeq_avg_pool_counted"
    params_type = "edgeq_avg_pool_counted_params"

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, AvgPoolOp)
        return node.op.counted

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, AvgPoolOp)
        names = ("border_top", "border_left", "border_bottom", "border_right")
        return {**self.common(node), **dict(zip(names, op.border, strict=True)), "m": Array(op.m)}


def cases() -> Iterator[Node]:
    """As _pool.case_windows, padding counted and not, and windows large enough for pre_shift; zero points, clamps."""
    windows = [*case_windows(), ((96, 96, 2), Window((96, 96))), ((2, 700, 1), Window((1, 700))),
               ((1, 256, 4), Window((1, 256))), ((1, 1, 8), Window((1, 1))),
               ((48, 48, 4), Window((48, 48))), ((5, 6, 8), Window((3, 3), (2, 2), (1, 2), (2, 3, 1, 1))),
               ((5, 3, 2), Window((2, 3), (1, 1), (2, 1))),
               ((4, 3, 8), Window((3, 2), pads=(2, 1, 1, 1)))]  # fmt: skip
    for (h, w, c), window in windows:
        output = activation((*window.out_size((h, w)), c), name="y")
        for include_pad, zero_point, out_zero, finer, hi in [
            (0, 0, 0, 0, INF),
            (1, -128, -128, 1, 3),
            (0, 37, 0, -2, 1),
        ]:
            x = activation((h, w, c), zero_point, 5)
            y = replace(output, scale=x.scale * 2.0**-finer, zero_point=out_zero)
            op = AvgPoolLayer(window, bool(include_pad), -INF, hi).quantize(QuantContext(), None, (x,), y)  # type: ignore[arg-type]
            yield Node("case", op, (x,), y)
    x, window = activation((2, 2, 3), 37, 5), Window((2, 2), pads=(5, 5, 5, 5))  # windows far outside the input
    y = activation((*window.out_size((2, 2)), 3), name="y")
    op = AvgPoolLayer(window, True).quantize(QuantContext(), None, (x,), y)  # type: ignore[arg-type]
    yield Node("case", op, (x,), y)
    x, m = activation((2, 2, 4)), np.ones(1, np.int32)  # nothing but the rounding of the sum
    yield Node("case", AvgPoolOp(Window((2, 2)), 0, m, 2, 0, 0, -128, 127), (x,), activation((1, 1, 4), name="y"))
