"""fully_connected: a matrix times a vector. SPEC.md section "fully_connected"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Node, Shape, Tensor
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation, limit_linear, random_linear
from edgeq.ops._linear import LinearLayer, LinearOp
from edgeq.ops.conv2d import Conv2dLayer


@dataclass(frozen=True, eq=False)
class FullyConnected(LinearOp):
    """weight (O, K); the input's elements in memory order are the vector (K,); output (O,)."""

    name: ClassVar[str] = "fully_connected"

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        rows = inputs[0].reshape(len(inputs[0]), -1).astype(np.float64)  # exact: sums stay far below 2^53
        return self.requantize((rows @ self.weight.T.astype(np.float64)).astype(np.int64))

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        super().validate(inputs, output)
        if self.weight.shape != (output.elements, inputs[0].elements):
            raise QuantizationError(f"shapes {inputs[0].shape} -> {output.shape} do not fit weight {self.weight.shape}")

    def macs(self, inputs: Sequence[Tensor], output: Tensor) -> int:
        return int(self.weight.size)


@dataclass(frozen=True, eq=False)
class FullyConnectedLayer(LinearLayer):
    """Float matrix product; weight (O, K) in the memory order of its input."""

    int_op = FullyConnected

    def respond(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        return weight @ x.ravel()

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return int(self.weight.size)


def linear(b: GraphBuilder, view: View, weight: np.ndarray, bias: np.ndarray) -> View:
    """Adds view (..., K) times weight (O, K) plus bias (O,). One row absorbs any memory order into the weights;
    more rows are a 1x1 convolution along them."""
    outputs, k = weight.shape
    rows = view.index.size // k
    out_shape = (*view.shape[:-1], outputs)
    if rows == 1:
        view = b.whole(view)
        stored = np.empty_like(weight)
        stored[:, view.index.ravel()] = weight
        return b.add(FullyConnectedLayer(stored, bias), [view.tensor], (outputs,), np.arange(outputs).reshape(out_shape))
    tensor = b.stored(view, shape=(1, rows, k))
    op = Conv2dLayer(weight.reshape(outputs, 1, 1, k), bias)
    return b.add(op, [tensor], (1, rows, outputs), np.arange(rows * outputs).reshape(out_shape))


@onnx_rule
def Gemm(
    b: GraphBuilder, x: Operand, w: Operand, bias: Operand | None = None, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
) -> View:  # fmt: skip
    """constant weight and bias; any alpha, beta, transA, transB"""
    view, weight = dynamic(x, "input A"), constant(w, "weight B")
    if transA:
        view = View(view.tensor, view.index.T)
    weight = np.ascontiguousarray((weight if transB else weight.T) * np.float32(alpha))
    if view.shape[1] != weight.shape[1]:
        raise Unsupported(f"weight for {weight.shape[1]} inputs on an input of shape {view.shape}")
    offset = np.zeros(len(weight), np.float32)
    if bias is not None:
        offset = constant(bias, "bias C") * np.float32(beta)
        if offset.ndim == 2 and len(offset) > 1:
            raise Unsupported(f"bias C of shape {offset.shape}; one row is supported")
        offset = np.broadcast_to(offset.reshape(-1), (len(weight),)).copy()
    return linear(b, view, weight, offset)


@onnx_rule
def MatMul(b: GraphBuilder, x: Operand, w: Operand) -> View:
    """with one constant side of rank 1 or 2"""
    if isinstance(x, np.ndarray):  # const @ x: the same with both sides transposed
        if x.ndim != 2 or not isinstance(w, View) or w.index.ndim != 2:
            raise Unsupported("a constant left side is supported for two matrices")
        out = linear(b, View(w.tensor, w.index.T), x, np.zeros(len(x), np.float32))
        return View(out.tensor, out.index.T)
    weight = constant(w, "right side")
    if weight.ndim == 1:
        out = linear(b, x, weight[None], np.zeros(1, np.float32))
        return View(out.tensor, out.index[..., 0])
    if weight.ndim != 2:
        raise Unsupported(f"constant of rank {weight.ndim}; a matrix is supported")
    return linear(b, x, np.ascontiguousarray(weight.T), np.zeros(weight.shape[1], np.float32))


MAX_EXPANDED = 256  # inputs that a DSP kernel expands in scratch


class FullyConnectedKernel(Kernel):
    """One dot product an output."""

    function = "edgeq_fully_connected"
    source = "edgeq_fully_connected.c"
    params_type = "edgeq_fully_connected_params"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, FullyConnected)
        return {"in_n": op.weight.shape[1], "out_n": op.weight.shape[0], "weight": Array(op.weight),
                **op.requant_params()}  # fmt: skip

    def cost(self, node: Node) -> float:
        return 5.0 * node.macs + 30.0 * node.output.elements


def cases() -> Iterator[Node]:
    """Vectors below, at and above block edges; one input; one output; one clamp bound."""
    sizes = [(1, 1), (1, 9), (7, 3), (8, 128), (64, 10), (65, 4), (640, 2), (31, 17), (640, 6), (258, 5), (260, 9), (260, 7)]
    sizes += [(90, 5), (112, 4), (128, 6), (140, 8), (161, 3), (170, 9), (7, 37)]
    for k, o in sizes:
        for spread in (0, 1, 2):
            x = activation((k,), zero_point=(0, -128, 5)[spread])
            yield Node("case", FullyConnected(*random_linear((o, k), spread)), (x,), activation((o,), name="y"))
    for k, o, limit in [(8, 37, 2**23), (12, 7, 2**23), (33, 8, 2**23), (8, 37, 2**24), (1100, 7, 2**30)]:  # 24 bits, and more
        yield Node("case", FullyConnected(*limit_linear((o, k), limit)), (activation((k,)),), activation((o,), name="y"))
    for lo, hi in [(-127, 127), (-128, 126)]:
        weight, bias, shift, _, _ = random_linear((8, 8), 2)
        yield Node("case", FullyConnected(weight, bias, shift, lo, hi), (activation((8,)),), activation((8,), name="y"))
    weight, bias, shift, _, _ = random_linear((8, 20), 1)
    for lo, hi in [(-128, 126), (-127, 127)]:
        yield Node("case", FullyConnected(weight, bias, shift, lo, hi), (activation((20,)),), activation((8,), name="y"))
