"""softmax over the last axis in memory, exact integer arithmetic without a division. SPEC.md section "softmax"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor
from edgeq.numerics import round_half_up, saturate
from edgeq.ops._access import Access, elementwise
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, View, dynamic, onnx_rule
from edgeq.ops._cases import activation
from edgeq.ops._layout import ordered, output_index

ONE = 65535  # exp(0) in the table
MAX_N = (2**31 - 1) // ONE  # so that a row's sum stays below 2^31
FRAC_BITS, ZERO_POINT = 8, -128


@dataclass(frozen=True, eq=False)
class SoftmaxOp(IntOp):
    """Rows of n: e = table[max - q]; p = floor(256 * e / sum(e) + 1/2); out = min(p - 128, 127).

    table: (256,) uint16, exp(-d * scale) * 65535 rounded. Against the exact softmax of the dequantised input, with
    the output's 1/256 steps, |error| <= 1/512 + (n + 1) / 131070, and at least 1/256 where the exact value rounds to 1.
    """

    name: ClassVar[str] = "softmax"
    n: int
    table: np.ndarray

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        q = inputs[0].reshape(-1, self.n).astype(np.int64)
        e = self.table[q.max(1, keepdims=True) - q].astype(np.int64)
        total = e.sum(1, keepdims=True)
        return saturate((512 * e + total) // (2 * total) + ZERO_POINT).reshape(inputs[0].shape)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        if inputs[0].elements != output.elements or inputs[0].elements % self.n:
            raise QuantizationError(f"rows of {self.n} do not fit {inputs[0].shape} -> {output.shape}")
        if self.n > MAX_N:
            raise QuantizationError(f"softmax over {self.n} values; {MAX_N} are supported")
        if self.table.shape != (256,) or self.table.dtype != np.uint16 or self.table[0] == 0:
            raise QuantizationError("a table is 256 uint16 values, the first of them not 0")
        if (output.frac_bits, output.zero_point) != (FRAC_BITS, ZERO_POINT):
            raise QuantizationError(f"output must have {FRAC_BITS} frac_bits and zero point {ZERO_POINT}, not {output}")

    def weight_bytes(self) -> int:
        return 512


def exp_table(scale: float) -> np.ndarray:
    """exp(-d * scale) for d = 0..255 as (256,) uint16."""
    return round_half_up(ONE * np.exp(-np.arange(256) * scale)).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class SoftmaxLayer(LayerOp):
    """Float softmax over rows of n."""

    n: int

    def fixed_output(self) -> tuple[int, int]:
        return FRAC_BITS, ZERO_POINT

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return True

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        return SoftmaxOp(self.n, exp_table(inputs[0].scale))


@onnx_rule
def Softmax(b: GraphBuilder, x: Operand, *, axis: int | None = None) -> View:
    """any axis; table of exp and a long division of 8 steps"""
    view = dynamic(x, "input")
    shape, rank = view.shape, view.index.ndim
    if b.opset < 13:  # one row is everything from `axis` on
        start = (1 if axis is None else axis) % rank
        view, axis = View(view.tensor, view.index.reshape(int(np.prod(shape[:start])), -1)), -1
    axis = (-1 if axis is None else axis) % view.index.ndim
    axes = [a for a in view.axes_by_stride() if a != axis] + [axis]
    tensor = ordered(b, view, axes)
    index = output_index([view.shape[a] for a in axes], axes).reshape(shape)
    return b.add(SoftmaxLayer(view.shape[axis]), [tensor], b.shape_of(tensor), index)


class SoftmaxKernel(Kernel):
    """Three passes over each row: maximum, sum, quotients."""

    function = "edgeq_softmax"
    source = "edgeq_softmax.c"
    params_type = "edgeq_softmax_params"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, SoftmaxOp)
        return {"rows": node.output.elements // op.n, "n": op.n, "table": Array(op.table)}

    def cost(self, node: Node) -> float:
        return 70.0 * node.output.elements

    def access(self, node: Node) -> Access:
        return elementwise(node.output.elements)


def cases() -> Iterator[Node]:
    """One value, one row, many rows; scales from flat to one-hot. 512 equal values are 0.5/256 each: a tie in rounding."""
    shapes = [((1,), 1), ((2,), 2), ((10,), 10), ((3, 4, 7), 7), ((1, 5, 12), 60), ((512,), 512), ((1000,), 1000)]
    for shape, n in shapes:
        for frac_bits in (-4, 0, 4, 12):
            y = Tensor("y", shape, 2.0**-FRAC_BITS, ZERO_POINT)
            yield Node("case", SoftmaxOp(n, exp_table(2.0**-frac_bits)), (activation(shape, 0, frac_bits),), y)
