"""pad: a constant, the edge, a reflection or the other end around a tensor. SPEC.md section "pad"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Shape, Tensor, size_of
from edgeq.numerics import quantize
from edgeq.ops._access import Access, gathered
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation
from edgeq.ops._layout import integers, ordered, output_index, tensor_shape

FILL = -1  # in a table: no source
MAX_DIMS = 3
MAX_SIZE = 32767  # tables are int16
Tables = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class PadOp(IntOp):
    """Memory as (sizes[0], sizes[1], sizes[2], run): out[i, j, k] = in[tables[0][i], tables[1][j], tables[2][k]], a
    run of elements, or `fill` where one of the three is -1. tables: int16, any length."""

    name: ClassVar[str] = "pad"
    sizes: Shape
    run: int
    tables: Tables
    fill: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        x = inputs[0].reshape(-1, *self.sizes, self.run)
        grid = np.ix_(*self.tables)
        out = x.transpose(1, 2, 3, 0, 4)[grid].transpose(3, 0, 1, 2, 4)
        outside = (grid[0] == FILL) | (grid[1] == FILL) | (grid[2] == FILL)
        return np.where(outside[..., None], np.int8(self.fill), out)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        lengths = tuple(len(t) for t in self.tables)
        if inputs[0].elements != size_of(self.sizes) * self.run or output.elements != size_of(lengths) * self.run:
            raise QuantizationError(f"{self.sizes} to {lengths} in runs of {self.run} is not {inputs[0]} to {output}")
        if max(*self.sizes, *lengths) > MAX_SIZE:
            raise QuantizationError(f"a dimension of {max(*self.sizes, *lengths)} is over {MAX_SIZE}")
        for table, size in zip(self.tables, self.sizes, strict=True):
            if table.dtype != np.int16 or table.min() < FILL or table.max() >= size:
                raise QuantizationError(f"table must be int16 in -1..{size - 1}")
        if not inputs[0].same_quantization(output):
            raise QuantizationError(f"{inputs[0]} and {output} must share scale and zero point")

    def positions(self) -> np.ndarray:
        """(elements of the output,) flat input position of each, negative where it is the fill."""
        x = np.arange(size_of(self.sizes) * self.run).reshape(*self.sizes, self.run)
        grid = np.ix_(*self.tables)
        outside = (grid[0] == FILL) | (grid[1] == FILL) | (grid[2] == FILL)
        return np.where(outside[..., None], FILL, x[grid]).ravel()

    def weight_bytes(self) -> int:
        return 2 * sum(len(t) for t in self.tables)


@dataclass(frozen=True, eq=False)
class PadLayer(LayerOp):
    """As PadOp, with a real fill, which saturates to the tensor's range."""

    keeps_quantization = True
    sizes: Shape
    run: int
    tables: Tables
    fill: float

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        filled = any((t == FILL).any() for t in self.tables)
        return inputs[0] and (self.fill >= 0 or not filled)

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        fill = int(quantize(np.array(self.fill), output.scale, output.zero_point))
        return PadOp(self.sizes, self.run, self.tables, fill)


def source_table(size: int, before: int, after: int, mode: str) -> np.ndarray:
    """(before + size + after,) int16: the source of each position along one axis."""
    if mode == "reflect" and max(before, after) >= size:
        raise Unsupported(f"reflects {max(before, after)} elements of an axis of {size}")
    pads, source = (before, after), np.arange(size)
    table = np.pad(source, pads, constant_values=FILL) if mode == "constant" else np.pad(source, pads, mode=mode)  # type: ignore[call-overload]
    return table.astype(np.int16)  # type: ignore[no-any-return]


def pad_view(b: GraphBuilder, view: View, pads: Sequence[tuple[int, int]], mode: str, fill: float) -> View:
    """Adds a pad of (before, after) >= 0 along each ONNX axis."""
    axes = view.axes_by_stride()
    groups: list[list[int]] = []  # [size, before, after], outermost first; unpadded neighbours are one
    for a in axes:
        if groups and not any(pads[a]) and not any(groups[-1][1:]):
            groups[-1][0] *= view.shape[a]
        elif view.shape[a] > 1 or any(pads[a]):
            groups.append([view.shape[a], *pads[a]])
    run = groups.pop()[0] if not any(groups[-1][1:]) else 1
    if len(groups) > MAX_DIMS:
        raise Unsupported(f"pads {list(pads)} of shape {view.shape} need more than {MAX_DIMS} nested loops")
    groups = [[1, 0, 0]] * (MAX_DIMS - len(groups)) + groups
    tables = tuple(source_table(size, before, after, mode) for size, before, after in groups)
    tensor = ordered(b, view, axes)
    stored = [view.shape[a] + sum(pads[a]) for a in axes]
    op = PadLayer(tuple(g[0] for g in groups), run, tables, fill)  # type: ignore[arg-type]
    return b.add(op, [tensor], tensor_shape(stored), output_index(stored, axes))


@onnx_rule
def Pad(
    b: GraphBuilder, x: Operand, pads: Operand, constant_value: Operand | None = None,
    axes: Operand | None = None, *, mode: str = "constant",
) -> View:  # fmt: skip
    """constant pads; modes constant, edge, reflect and wrap; negative pads; zeros before a Conv fold into it"""
    view, amounts = dynamic(x, "input"), integers(pads, "pads")
    rank = view.index.ndim
    chosen = [a % rank for a in integers(axes, "axes") or range(rank)]
    if amounts is None or len(amounts) != 2 * len(chosen):
        raise Unsupported(f"pads {amounts} for {len(chosen)} axes")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise Unsupported(f"mode {mode!r} is not supported")
    fill = 0.0 if constant_value is None else float(constant(constant_value, "constant_value").reshape(-1)[0])
    both = [(0, 0)] * rank
    for i, a in enumerate(chosen):
        both[a] = (amounts[i], amounts[i + len(chosen)])
    cut = tuple(slice(max(0, -p), n - max(0, -q)) for (p, q), n in zip(both, view.shape, strict=True))
    view = View(view.tensor, view.index[cut])
    if view.index.size == 0:
        raise Unsupported(f"pads {amounts} leave nothing of the input")
    added = [(max(0, p), max(0, q)) for p, q in both]
    return pad_view(b, view, added, mode, fill) if any(map(any, added)) else view


class PadKernel(Kernel):
    """A table for each of three axes; runs by memmove."""

    function = "edgeq_pad"
    source = "edgeq_pad.c"
    params_type = "edgeq_pad_params"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, PadOp)
        lengths = [len(t) for t in op.tables]
        return {
            "in_w": op.sizes[1], "in_c": op.sizes[2], "out_h": lengths[0], "out_w": lengths[1], "out_c": lengths[2],
            "run": op.run, "fill": op.fill,
            "row": Array(op.tables[0]), "column": Array(op.tables[1]), "channel": Array(op.tables[2]),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, PadOp)
        return 1.0 * node.output.elements + 30.0 * node.output.elements / node.op.run

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, PadOp)
        return gathered({0: node.op.positions()}, {0: node.inputs[0].elements}, node.output.elements)


def cases() -> Iterator[Node]:
    """Each axis alone and all together, each mode, runs of one and more, one element."""
    for sizes, run, amounts in [
        ((1, 1, 1), 1, ((0, 0), (0, 0), (1, 2))),
        ((1, 4, 5), 3, ((0, 0), (1, 0), (2, 1))),
        ((3, 4, 5), 1, ((1, 2), (0, 3), (2, 0))),
        ((3, 4, 5), 4, ((0, 2), (3, 0), (0, 0))),
        ((1, 1, 9), 1, ((0, 0), (0, 0), (8, 8))),
    ]:
        for mode, fill in [("constant", -128), ("constant", 5), ("edge", 0), ("reflect", 0), ("wrap", 0)]:
            if mode == "reflect" and sizes == (1, 1, 1):
                continue
            tables = tuple(source_table(n, p, q, mode) for n, (p, q) in zip(sizes, amounts, strict=True))
            y = activation((*(len(t) for t in tables), run), name="y")
            yield Node("case", PadOp(sizes, run, tables, fill), (activation((*sizes, run)),), y)  # type: ignore[arg-type]
