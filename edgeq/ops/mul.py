"""mul: the product of two tensors, or of a tensor and a constant; division by a constant. SPEC.md section "mul"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.ir import IntOp, Layer, Node, QuantContext, Tensor
from edgeq.numerics import saturate
from edgeq.ops._base import GraphBuilder, Operand, Params, Unsupported, View, onnx_rule
from edgeq.ops._binary import BinaryKernel, BinaryLayer, BinaryOp, arrange, broadcast_params, case_nodes, of_one_tensor
from edgeq.ops._requant import clamp_bounds, finest_frac_bits, max_magnitude, multipliers, prove_int32, rounding_bias
from edgeq.ops.lut import Expr


@dataclass(frozen=True, eq=False)
class MulOp(BinaryOp):
    """acc = (q1 - z1) * (q2 - z2) * m + bias; out = clamp(acc >> shift, lo, hi). m: int32, at least 13 bits of the
    scales' ratio, exact for a power of two. bias holds the output's zero point and the rounding constant."""

    name: ClassVar[str] = "mul"
    z1: int
    z2: int
    m: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        q1, q2 = self.operands(inputs)
        acc = (q1 - self.z1) * (q2 - self.z2) * self.m + self.bias
        return saturate(acc >> self.shift, self.lo, self.hi)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        super().validate(inputs, output)
        prove_int32(max_magnitude(self.z1) * max_magnitude(self.z2) * abs(self.m) + abs(self.bias), "product")


@dataclass(frozen=True, eq=False)
class MulLayer(BinaryLayer):
    """first * second, clamped to [lo, hi]."""

    def combine(self) -> Expr:
        return ("mul", "x", "y")

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return self.lo >= 0 or self.never_negative_operands(inputs)

    def _reach(self, inputs: Sequence[Tensor]) -> float:
        """Largest magnitude of the real product."""
        scale2, zero2, _ = self.second(inputs)
        return inputs[0].scale * scale2 * max_magnitude(inputs[0].zero_point) * max_magnitude(zero2)

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int:
        return finest_frac_bits(self._reach(inputs))

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        scale2, zero2, constant = self.second(inputs)
        ratio = inputs[0].scale * scale2 / output.scale
        m, shift = multipliers(np.array(ratio), self._reach(inputs) / output.scale)
        bias = rounding_bias(output.zero_point, shift)
        bounds = clamp_bounds(self.lo, self.hi, output)
        return MulOp(self.shapes, constant, bias, shift, *bounds, inputs[0].zero_point, zero2, int(m))


def _product(b: GraphBuilder, x: Operand, y: Operand) -> View:
    o = arrange(b, x, y)
    return b.add(MulLayer(o.shapes, o.constant), o.inputs, o.shape, o.index)


@onnx_rule
def Mul(b: GraphBuilder, x: Operand, y: Operand) -> View:
    """any broadcasting; a scalar constant is a table, a constant per channel folds into the layer before it"""
    view = of_one_tensor(b, x, y, "mul", lambda c, left: (c, np.zeros(len(c))))
    return _product(b, x, y) if view is None else view


@onnx_rule
def Div(b: GraphBuilder, x: Operand, y: Operand) -> View:
    """by a constant, as a product with its reciprocal; a scalar constant over a tensor is a table"""
    if isinstance(y, np.ndarray) and not np.all(y):
        raise Unsupported("divides by a constant that holds zeros")
    view = of_one_tensor(b, x, y, "div", lambda c, left: None if left else (1 / c, np.zeros(len(c))))
    if view is not None:
        return view
    if not isinstance(y, np.ndarray):
        what = "a tensor" if isinstance(x, View) else f"a constant of shape {x.shape}"
        raise Unsupported(f"divides {what} by a tensor computed at run time; supported are a constant divisor, and a "
                          "scalar constant over a tensor")  # fmt: skip
    return _product(b, x, 1 / y.astype(np.float64))


class MulKernel(BinaryKernel):
    """One loop over two tensors of one shape."""

    function = "edgeq_mul"
    source = "edgeq_mul.c"
    params_type = "edgeq_mul_params"

    def arithmetic(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, MulOp)
        return {"z1": op.z1, "z2": op.z2, "m": op.m, "bias": op.bias, "shift": op.shift, "lo": op.lo, "hi": op.hi}


class MulBroadcastKernel(MulKernel):
    """Up to four nested loops."""

    function = "edgeq_mul_broadcast"
    params_type = "edgeq_mul_broadcast_params"

    def supports(self, node: Node) -> bool:
        return len(node.inputs) == 2

    def params(self, node: Node) -> Params:
        return broadcast_params(self.arithmetic(node), node)

    def cost(self, node: Node) -> float:
        return 13.0 * node.output.elements


class MulConstKernel(MulBroadcastKernel):
    """The same with the constant from the params."""

    function = "edgeq_mul_const"

    def supports(self, node: Node) -> bool:
        return len(node.inputs) == 1


def cases() -> Iterator[Node]:
    """Every position of a broadcast; zero points; multipliers from 0 to extreme; tight clamps."""
    for shapes, constant, x, y in case_nodes():
        for z1, z2, m, bias, shift, lo, hi in [
            (0, 0, 1, 64, 7, -128, 127),
            (0, -128, 3, 5, 9, -100, 90),
            (-128, 37, 11037, -(2**29), 22, -128, 127),
            (-128, -128, -16000, 2**29, 15, -128, 127),
            (5, 0, 0, 3, 0, -128, 127),
        ]:
            yield Node("case", MulOp(shapes, constant, bias, shift, lo, hi, z1, z2, m), x, y)
