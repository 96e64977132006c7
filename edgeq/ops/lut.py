"""lut: any function of one tensor, as a table of 256 bytes computed at build time. SPEC.md section "lut".

An expression is "x" (the input), a float, or (function, *expressions). Neighbouring functions of one tensor merge into
one expression, so x * sigmoid(x), GELU written with Erf, and whole chains cost one table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor
from edgeq.numerics import LIMITS, dequantize, quantize
from edgeq.ops._access import Access, elementwise
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation

Expr = Any  # "x" | float | tuple[str, Expr, ...]
INF = float("inf")
F64 = np.ndarray


def _erf(x: F64) -> F64:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _sigmoid(x: F64) -> F64:
    return np.exp(-np.logaddexp(0, -x))


FUNCTIONS: dict[str, Callable[..., F64]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "clip": lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
    "leaky_relu": lambda x, slope: np.where(x < 0, slope * x, x),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
    "erf": _erf,
}


def evaluate(expr: Expr, x: F64) -> F64:
    """The expression at each element of x (float64)."""
    if isinstance(expr, str):
        return x
    if isinstance(expr, tuple):
        with np.errstate(all="ignore"):
            return np.asarray(FUNCTIONS[expr[0]](*(evaluate(e, x) for e in expr[1:])), np.float64)
    return np.full_like(x, expr)


def substitute(expr: Expr, **names: Expr) -> Expr:
    """The expression with the names in it replaced: substitute(outer, x=inner) is outer(inner(x))."""
    if isinstance(expr, tuple):
        return (expr[0], *(substitute(e, **names) for e in expr[1:]))
    return names.get(expr, expr) if isinstance(expr, str) else expr


@dataclass(frozen=True, eq=False)
class Lut(IntOp):
    """out = table[q - qmin] where qmin is the lowest value of the input's dtype; table: (256,) int8."""

    name: ClassVar[str] = "lut"
    table: np.ndarray

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return self.table[inputs[0].astype(np.int16) - np.iinfo(inputs[0].dtype).min]  # type: ignore[no-any-return]

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        if self.table.shape != (256,) or self.table.dtype != np.int8 or inputs[0].elements != output.elements:
            raise QuantizationError("a table is 256 int8 values, and the output as large as the input")

    def weight_bytes(self) -> int:
        return 256

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        return self, (first, end)


@dataclass(frozen=True, eq=False)
class Unary(LayerOp):
    """A function of one tensor, element by element."""

    expr: Expr

    def as_clamp(self) -> tuple[float, float] | None:
        """(lo, hi) where the function only clamps."""
        if isinstance(self.expr, tuple) and self.expr[0] == "clip" and self.expr[1] == "x":
            return self.expr[2], self.expr[3]
        return None

    def with_clamp(self, lo: float, hi: float) -> LayerOp:
        return Unary(("clip", self.expr, lo, hi))

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        probe = np.concatenate([np.linspace(-32, 32, 4097), np.geomspace(32, 1e30, 200)])
        values = evaluate(self.expr, np.abs(probe) if inputs[0] else np.concatenate([probe, -probe]))
        return bool(np.nanmin(values) >= 0)

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        x = inputs[0]
        lo, hi = LIMITS[x.dtype]
        real = dequantize(np.arange(lo, hi + 1), x.scale, x.zero_point).astype(np.float64)
        values = evaluate(self.expr, real)
        finite = np.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)  # e.g. log below 0: never observed, any value
        return Lut(quantize(finite, output.scale, output.zero_point))


def unary(b: GraphBuilder, view: View, expr: Expr) -> View:
    """Adds a function of `view`, in whatever memory order it has."""
    view = b.whole(view)
    return b.add(Unary(expr), [view.tensor], b.shape_of(view.tensor), view.index)


def _scalar(value: Operand | None, what: str, default: float) -> float:
    if value is None:
        return default
    values = constant(value, what)
    if values.size == 0 or not np.all(values == values.flat[0]):
        raise Unsupported(f"{what} of shape {values.shape}; one value is supported")
    return float(values.flat[0])


@onnx_rule
def Relu(b: GraphBuilder, x: Operand) -> View:
    """fused into the layer before it, otherwise a table"""
    return unary(b, dynamic(x, "input"), ("clip", "x", 0.0, INF))


@onnx_rule
def Clip(b: GraphBuilder, x: Operand, lo: Operand | None = None, hi: Operand | None = None) -> View:
    """constant bounds; fused into the layer before it, otherwise a table"""
    return unary(b, dynamic(x, "input"), ("clip", "x", _scalar(lo, "bound", -INF), _scalar(hi, "bound", INF)))


@onnx_rule
def LeakyRelu(b: GraphBuilder, x: Operand, *, alpha: float = 0.01) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("leaky_relu", "x", alpha))


@onnx_rule
def Elu(b: GraphBuilder, x: Operand, *, alpha: float = 1.0) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("elu", "x", alpha))


@onnx_rule
def Sigmoid(b: GraphBuilder, x: Operand) -> View:
    """table; x * Sigmoid(x) is one table"""
    return unary(b, dynamic(x, "input"), ("sigmoid", "x"))


@onnx_rule
def HardSigmoid(b: GraphBuilder, x: Operand, *, alpha: float = 0.2, beta: float = 0.5) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("hard_sigmoid", "x", alpha, beta))


@onnx_rule
def Tanh(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("tanh", "x"))


@onnx_rule
def HardSwish(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("mul", "x", ("hard_sigmoid", "x", 1 / 6, 0.5)))


@onnx_rule
def Mish(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("mul", "x", ("tanh", ("softplus", "x"))))


@onnx_rule
def Softplus(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("softplus", "x"))


@onnx_rule
def Erf(b: GraphBuilder, x: Operand) -> View:
    """table; GELU written with Erf is one table"""
    return unary(b, dynamic(x, "input"), ("erf", "x"))


@onnx_rule
def Gelu(b: GraphBuilder, x: Operand, *, approximate: str = "none") -> View:
    """table; exact and tanh forms"""
    if approximate == "tanh":
        cube = ("mul", 0.044715, ("pow", "x", 3.0))
        gate: Expr = ("add", 1.0, ("tanh", ("mul", math.sqrt(2 / math.pi), ("add", "x", cube))))
    else:
        gate = ("add", 1.0, ("erf", ("mul", "x", math.sqrt(0.5))))
    return unary(b, dynamic(x, "input"), ("mul", ("mul", 0.5, "x"), gate))


@onnx_rule
def Neg(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("neg", "x"))


@onnx_rule
def Abs(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("abs", "x"))


@onnx_rule
def Exp(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("exp", "x"))


@onnx_rule
def Sqrt(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("sqrt", "x"))


@onnx_rule
def Log(b: GraphBuilder, x: Operand) -> View:
    """table"""
    return unary(b, dynamic(x, "input"), ("log", "x"))


@onnx_rule
def Pow(b: GraphBuilder, x: Operand, y: Operand) -> View:
    """constant scalar exponent; table"""
    return unary(b, dynamic(x, "base"), ("pow", "x", _scalar(y, "exponent", 1.0)))


class LutKernel(Kernel):
    """One load a byte."""

    function = "edgeq_lut"
    source = "edgeq_lut.c"
    params_type = "edgeq_lut_params"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Lut)
        return {"n": node.output.elements, "table": Array(self.packed(op, node.inputs[0].dtype))}

    @staticmethod
    def packed(op: Lut, dtype: str) -> np.ndarray:
        """The table in the order of the input's bytes read as unsigned."""
        return op.table if dtype == "uint8" else np.roll(op.table, -128)

    def cost(self, node: Node) -> float:
        return 5.0 * node.output.elements

    def access(self, node: Node) -> Access:
        return elementwise(node.output.elements)


def cases() -> Iterator[Node]:
    """One element, odd counts; a monotonic, a constant and a random table."""
    rng = np.random.default_rng(0)
    for shape in [(1,), (3, 5, 7), (256,)]:
        for table in (np.arange(-128, 128), np.full(256, -128), rng.integers(-128, 128, 256)):
            yield Node("case", Lut(table.astype(np.int8)), (activation(shape),), activation(shape, name="y"))
