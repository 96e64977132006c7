"""concat: joins tensors along one axis. SPEC.md section "concat"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor
from edgeq.ops._access import Access
from edgeq.ops._base import Call, GraphBuilder, Kernel, Operand, View, dynamic, onnx_rule
from edgeq.ops._cases import activation


@dataclass(frozen=True, eq=False)
class ConcatOp(IntOp):
    """Each input is (rows, widths[i]) elements in memory order, the output (rows, sum(widths)): rows side by side."""

    name: ClassVar[str] = "concat"
    rows: int
    widths: tuple[int, ...]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([x.reshape(len(x), self.rows, -1) for x in inputs], -1)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        if any(not t.same_quantization(output) for t in inputs):
            raise QuantizationError("inputs and output of a concat must share one quantisation")
        if [t.elements for t in inputs] != [self.rows * w for w in self.widths]:
            raise QuantizationError(f"inputs {[t.shape for t in inputs]} are not {self.rows} rows of {self.widths}")


@dataclass(frozen=True, eq=False)
class ConcatLayer(LayerOp):
    """Joins rows side by side."""

    keeps_quantization = True
    rows: int
    widths: tuple[int, ...]

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return all(inputs)

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        return ConcatOp(self.rows, self.widths)


@onnx_rule
def Concat(b: GraphBuilder, *inputs: Operand, axis: int = 0) -> View:
    """any axis; every input computed at run time"""
    views = [dynamic(x, f"input {i}") for i, x in enumerate(inputs)]
    if len(views) == 1:
        return views[0]
    rank = views[0].index.ndim
    shape = tuple(sum(v.shape[a] for v in views) if a == axis % rank else n for a, n in enumerate(views[0].shape))
    order = max(views, key=lambda v: v.index.size).axes_by_stride()
    outer = order[: order.index(axis % rank)]
    rows = int(np.prod([shape[a] for a in outer]))
    tensors = [b.stored(v, order) for v in views]
    stored = tuple(shape[a] for a in order)
    index = np.arange(int(np.prod(shape))).reshape(stored).transpose(np.argsort(order))
    widths = tuple(v.index.size // rows for v in views)
    return b.add(ConcatLayer(rows, widths), tensors, stored[1:] if stored[0] == 1 and rank > 1 else stored, index)


class ConcatKernel(Kernel):
    """One call an input: its rows to their place in the output's rows."""

    function = "edgeq_concat"
    source = "edgeq_concat.c"
    params_type = "edgeq_concat_params"

    def calls(self, node: Node) -> list[Call]:
        op = node.op
        assert isinstance(op, ConcatOp)
        starts = np.cumsum([0, *op.widths])
        return [
            Call({"rows": op.rows, "width": w, "out_width": int(starts[-1]), "start": int(starts[i])}, (i,))
            for i, w in enumerate(op.widths)
        ]

    def cost(self, node: Node) -> float:
        return 2.0 * node.output.elements

    def access(self, node: Node) -> Access:
        op = node.op
        assert isinstance(op, ConcatOp)
        starts = op.rows * np.cumsum([0, *op.widths])
        steps = [start + np.arange(op.rows * w).reshape(op.rows, w) for start, w in zip(starts, op.widths, strict=False)]
        return Access({i: s.ravel() for i, s in enumerate(steps)}, np.concatenate(steps, axis=1).ravel())


def cases() -> Iterator[Node]:
    """One row and several, one to three inputs of odd widths."""
    for rows, widths in [(1, (3, 5)), (6, (1, 7)), (5, (4, 4, 9)), (2, (16,))]:
        inputs = tuple(activation((rows, w), name=f"x{i}") for i, w in enumerate(widths))
        yield Node("case", ConcatOp(rows, widths), inputs, activation((rows, sum(widths)), name="y"))
