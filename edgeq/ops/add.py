"""add: the sum or difference of two tensors, or of a tensor and a constant. SPEC.md section "add"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.ir import IntOp, Layer, Node, QuantContext, Tensor
from edgeq.numerics import saturate
from edgeq.ops._base import GraphBuilder, Operand, Params, View, onnx_rule
from edgeq.ops._binary import BinaryKernel, BinaryLayer, BinaryOp, arrange, broadcast_params, case_nodes, of_one_tensor
from edgeq.ops._requant import clamp_bounds, finest_frac_bits, multipliers, prove_int32, rounding_bias
from edgeq.ops.lut import Expr


@dataclass(frozen=True, eq=False)
class AddOp(BinaryOp):
    """acc = m1 * q1 + m2 * q2 + bias; out = clamp(acc >> shift, lo, hi). m1, m2: int32, negative for a subtracted
    operand, powers of two where the scales are. bias holds all zero points and the rounding constant."""

    name: ClassVar[str] = "add"
    m1: int
    m2: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        q1, q2 = self.operands(inputs)
        return saturate((self.m1 * q1 + self.m2 * q2 + self.bias) >> self.shift, self.lo, self.hi)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        super().validate(inputs, output)
        prove_int32((abs(self.m1) + abs(self.m2)) * 128 + abs(self.bias), "sum")


@dataclass(frozen=True, eq=False)
class AddLayer(BinaryLayer):
    """signs[0] * first + signs[1] * second, clamped to [lo, hi].

    Exact up to the output's rounding while the operands' scales are within 2^20 of each other; a smaller operand's
    multiplier is rounded, in the end to 0.
    """

    signs: tuple[int, int] = (1, 1)

    def combine(self) -> Expr:
        return ("add", ("mul", float(self.signs[0]), "x"), ("mul", float(self.signs[1]), "y"))

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return self.lo >= 0 or (self.signs == (1, 1) and self.never_negative_operands(inputs))

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int:
        return finest_frac_bits(255 * (inputs[0].scale + self.second(inputs)[0]))

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        scale2, zero2, constant = self.second(inputs)
        ratios = np.array([self.signs[0] * inputs[0].scale, self.signs[1] * scale2]) / output.scale
        m, shift = multipliers(ratios, 255 * float(np.abs(ratios).sum()))
        m1, m2 = int(m[0]), int(m[1])
        bias = rounding_bias(output.zero_point, shift) - m1 * inputs[0].zero_point - m2 * zero2
        return AddOp(self.shapes, constant, bias, shift, *clamp_bounds(self.lo, self.hi, output), m1, m2)


def _signed(b: GraphBuilder, x: Operand, y: Operand, sign: int) -> View:
    """Adds x + sign * y."""

    def per_channel(c: np.ndarray, left: bool) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(c), sign if left else 1.0), c if left else sign * c

    view = of_one_tensor(b, x, y, "add" if sign > 0 else "sub", per_channel)
    if view is not None:
        return view
    o = arrange(b, x, y)
    op = AddLayer(o.shapes, o.constant, signs=(sign, 1) if o.swapped else (1, sign))
    return b.add(op, o.inputs, o.shape, o.index)


@onnx_rule
def Add(b: GraphBuilder, x: Operand, y: Operand) -> View:
    """any broadcasting; a scalar constant is a table, a constant per channel folds into the layer before it"""
    return _signed(b, x, y, 1)


@onnx_rule
def Sub(b: GraphBuilder, x: Operand, y: Operand) -> View:
    """any broadcasting; a scalar constant is a table, a constant per channel folds into the layer before it"""
    return _signed(b, x, y, -1)


class AddKernel(BinaryKernel):
    """One loop over two tensors of one shape."""

    function = "edgeq_add"
    source = "edgeq_add.c"
    params_type = "edgeq_add_params"

    def arithmetic(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, AddOp)
        return {"m1": op.m1, "m2": op.m2, "bias": op.bias, "shift": op.shift, "lo": op.lo, "hi": op.hi}


class AddBroadcastKernel(AddKernel):
    """Up to four nested loops."""

    function = "edgeq_add_broadcast"
    params_type = "edgeq_add_broadcast_params"

    def supports(self, node: Node) -> bool:
        return len(node.inputs) == 2

    def params(self, node: Node) -> Params:
        return broadcast_params(self.arithmetic(node), node)

    def cost(self, node: Node) -> float:
        return 28.0 * node.output.elements


class AddConstKernel(AddBroadcastKernel):
    """The same with the constant from the params."""

    function = "edgeq_add_const"

    def supports(self, node: Node) -> bool:
        return len(node.inputs) == 1


def cases() -> Iterator[Node]:
    """Every position of a broadcast, multipliers from 0 to extreme, both signs, tight clamps."""
    for shapes, constant, x, y in case_nodes():
        for m1, m2, bias, shift, lo, hi in [
            (1, 1, 0, 0, -128, 127),
            (4, -3, 11, 3, -100, 90),
            (-(2**22), 2**21 + 1, 2**29, 22, -128, 127),
            (0, 2**22, -(2**29), 15, -128, 127),
        ]:
            yield Node("case", AddOp(shapes, constant, bias, shift, lo, hi, m1, m2), x, y)
