"""prelu: x for x >= 0, slope[c] * x below, a slope per channel. SPEC.md section "prelu"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor, size_of
from edgeq.numerics import saturate
from edgeq.ops._access import Access, elementwise
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._binary import channel_axis
from edgeq.ops._cases import activation
from edgeq.ops._layout import ordered, output_index
from edgeq.ops._linear import INF
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
from edgeq.ops.lut import unary


@dataclass(frozen=True, eq=False)
class Prelu(IntOp):
    """d = q - zero_point; acc = d * (d >= 0 ? m_pos : m_neg[c]) + bias; out = clamp(acc >> shift, lo, hi).

    m_neg: (C,) int32; channel c of an element is its position in memory modulo C.
    """

    name: ClassVar[str] = "prelu"
    zero_point: int
    m_pos: int
    m_neg: np.ndarray
    bias: int
    shift: int
    lo: int
    hi: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        d = inputs[0].reshape(-1, len(self.m_neg)).astype(np.int64) - self.zero_point
        acc = d * np.where(d >= 0, self.m_pos, self.m_neg.astype(np.int64)) + self.bias
        return saturate(acc >> self.shift, self.lo, self.hi).reshape(inputs[0].shape)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        if inputs[0].elements != output.elements or inputs[0].elements % len(self.m_neg):
            raise QuantizationError(f"{len(self.m_neg)} slopes do not fit {inputs[0].shape} -> {output.shape}")
        if self.m_neg.dtype != np.int32:
            raise QuantizationError("slopes must be int32")
        prove_shift(self.shift)
        prove_clamp(self.lo, self.hi)
        m = max(abs(self.m_pos), int(np.abs(self.m_neg.astype(np.int64)).max()))
        prove_int32(max_magnitude(self.zero_point) * m + abs(self.bias), "product")

    def weight_bytes(self) -> int:
        return 4 * self.m_neg.size

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        row = size_of(inputs[0].shape[1:])
        return (self, (first, end)) if row % len(self.m_neg) == 0 else None


@dataclass(frozen=True, eq=False)
class PreluLayer(LayerOp):
    """Float PRelu, clamped to [lo, hi]; slope (C,) float32, channels innermost."""

    slope: np.ndarray
    lo: float = -INF
    hi: float = INF

    def with_clamp(self, lo: float, hi: float) -> LayerOp:
        lo, hi = narrowed(self.lo, self.hi, lo, hi)
        return replace(self, lo=lo, hi=hi)

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return inputs[0] or self.lo >= 0 or bool(np.all(self.slope <= 0))

    def params(self) -> int:
        return self.slope.size

    def _reach(self, inputs: Sequence[Tensor]) -> float:
        """Largest magnitude of the real result."""
        return inputs[0].scale * max_magnitude(inputs[0].zero_point) * max(1.0, float(np.abs(self.slope).max()))

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int:
        return finest_frac_bits(self._reach(inputs))

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        ratios = np.array([1.0, *self.slope]) * (inputs[0].scale / output.scale)
        m, shift = multipliers(ratios, self._reach(inputs) / output.scale)
        bounds = clamp_bounds(self.lo, self.hi, output)
        bias = rounding_bias(output.zero_point, shift)
        return Prelu(inputs[0].zero_point, int(m[0]), m[1:].copy(), bias, shift, *bounds)


@onnx_rule
def PRelu(b: GraphBuilder, x: Operand, slope: Operand) -> View:
    """constant slope: a table for a scalar, its own operator for a slope per channel"""
    view, values = dynamic(x, "input"), constant(slope, "slope")
    if np.all(values == values.flat[0]):
        return unary(b, view, ("leaky_relu", "x", float(values.flat[0])))
    axis = channel_axis(values)
    if axis is None or np.broadcast_shapes(view.shape, values.shape) != view.shape:
        raise Unsupported(f"slope of shape {values.shape} on {view.shape}; one slope, or one per channel is supported")
    axis += view.index.ndim - values.ndim
    axes = [a for a in view.axes_by_stride() if a != axis] + [axis]
    tensor = ordered(b, view, axes)
    index = output_index([view.shape[a] for a in axes], axes)
    return b.add(PreluLayer(values.reshape(-1).astype(np.float32)), [tensor], b.shape_of(tensor), index)


class PreluKernel(Kernel):
    """Channels innermost."""

    function = "edgeq_prelu"
    source = "edgeq_prelu.c"
    params_type = "edgeq_prelu_params"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Prelu)
        channels = len(op.m_neg)
        return {
            "rows": node.output.elements // channels, "channels": channels, "zero_point": op.zero_point,
            "m_pos": op.m_pos, "m_neg": Array(op.m_neg), "bias": op.bias, "shift": op.shift,
            "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return 9.0 * node.output.elements

    def access(self, node: Node) -> Access:
        return elementwise(node.output.elements)


def cases() -> Iterator[Node]:
    """One element, one channel, odd shapes; small, extreme and negative multipliers."""
    rng = np.random.default_rng(0)
    for shape in [(1,), (4, 3, 5), (1, 7, 16), (3, 1)]:
        for zero_point, m_pos, spread, bias, shift, lo, hi in [
            (0, 1, 3, 0, 0, -128, 127),
            (-128, 2**22, 2**22, -(2**29), 22, -128, 127),
            (37, 1000, 3000, 512, 10, -90, 100),
        ]:
            m_neg = rng.integers(-spread, spread + 1, shape[-1]).astype(np.int32)
            op = Prelu(zero_point, m_pos, m_neg, bias, shift, lo, hi)
            yield Node("case", op, (activation(shape, zero_point),), activation(shape, name="y"))
