"""copy: brings a tensor into another order in memory. SPEC.md section "copy".

The ONNX operators that only move data are operations on a view's index (edgeq/ops/_base.py) and vanish; a copy stands
where the next operator needs an order that memory does not have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor, size_of
from edgeq.ops._access import Access, gathered
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation
from edgeq.ops._layout import integers


@dataclass(frozen=True)
class Strides:
    """A strided walk: flat source positions offset + sum(i_d * steps[d]), i_d < sizes[d], the last axis fastest."""

    offset: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def positions(self) -> np.ndarray:
        """All positions in order, (prod(sizes),) int64."""
        out = np.array([self.offset])
        for size, step in zip(self.sizes, self.steps, strict=True):
            out = (out[:, None] + np.arange(size) * step).ravel()
        return out

    @property
    def contiguous(self) -> bool:
        return self.steps in ((), (1,))


def factor(positions: np.ndarray) -> Strides | None:
    """The strided walk that visits `positions` (1-D), or None where there is none. Inverse of Strides.positions."""
    sizes: list[int] = []
    steps: list[int] = []
    rest = np.asarray(positions)
    while len(rest) > 1:
        step = int(rest[1] - rest[0])
        breaks = np.flatnonzero(np.diff(rest) != step)
        run = int(breaks[0]) + 1 if len(breaks) else len(rest)
        if len(rest) % run:
            return None
        rows = rest.reshape(-1, run)
        if np.any(rows != rows[:, :1] + np.arange(run) * step):
            return None
        sizes.insert(0, run)
        steps.insert(0, step)
        rest = rows[:, 0]
    return Strides(int(rest[0]), tuple(sizes), tuple(steps))


@dataclass(frozen=True, eq=False)
class Copy(IntOp):
    """out.flat[i] = in.flat[walk.positions()[i]]"""

    name: ClassVar[str] = "copy"
    walk: Strides

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return inputs[0].reshape(len(inputs[0]), -1)[:, self.walk.positions()]

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        positions = self.walk.positions()
        if len(positions) != output.elements or positions.min() < 0 or positions.max() >= inputs[0].elements:
            raise QuantizationError(f"walk {self.walk} does not fit {inputs[0].shape} -> {output.shape}")

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        whole = self.walk == Strides(0, (inputs[0].elements,), (1,))
        return (Copy(Strides(0, ((end - first) * size_of(inputs[0].shape[1:]),), (1,))), (first, end)) if whole else None


@dataclass(frozen=True, eq=False)
class CopyLayer(LayerOp):
    """A strided copy."""

    keeps_quantization = True
    walk: Strides

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return inputs[0]

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        return Copy(self.walk)


# ---------------------------------------------------------------- ONNX operators that are views


def _axes(operand: Operand | list[int] | None, rank: int) -> list[int] | None:
    axes = integers(operand, "axes")
    return None if axes is None else [a % rank for a in axes]


@onnx_rule
def Constant(b: GraphBuilder, **attributes: object) -> View:
    """numbers; folded into the nodes that use it"""
    raise Unsupported("holds no tensor of numbers, and could not be folded")


@onnx_rule
def Identity(b: GraphBuilder, x: Operand) -> View:
    """no code"""
    return dynamic(x, "input")


@onnx_rule
def Dropout(
    b: GraphBuilder, x: Operand, ratio: Operand | None = None, training_mode: Operand | None = None, *, seed: int = 0
) -> View:
    """inference mode; no code"""
    if training_mode is not None and bool(constant(training_mode, "training_mode").any()):
        raise Unsupported("training mode")
    return dynamic(x, "input")


@onnx_rule
def Cast(b: GraphBuilder, x: Operand, *, to: int = 1, saturate: int = 1, round_mode: str = "up") -> View:
    """between float types; no code"""
    if to not in (1, 10, 11, 16):  # TensorProto FLOAT, FLOAT16, DOUBLE, BFLOAT16
        raise Unsupported(f"cast of run-time data to ONNX type {to}; only float types are supported")
    return dynamic(x, "input")


@onnx_rule
def Transpose(b: GraphBuilder, x: Operand, *, perm: list[int] | None = None) -> View:
    """no code, or a copy where the next operator needs another memory order"""
    view = dynamic(x, "input")
    return View(view.tensor, view.index.transpose(perm))


@onnx_rule
def Reshape(b: GraphBuilder, x: Operand, shape: Operand, *, allowzero: int = 0) -> View:
    """constant shape; no code"""
    view, target = dynamic(x, "input"), integers(shape, "shape") or []
    if not allowzero:
        target = [view.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return View(view.tensor, view.index.reshape(target))


@onnx_rule
def Flatten(b: GraphBuilder, x: Operand, *, axis: int = 1) -> View:
    """no code"""
    view = dynamic(x, "input")
    axis = axis % view.index.ndim if axis != view.index.ndim else axis
    return View(view.tensor, view.index.reshape(int(np.prod(view.shape[:axis])), -1))


@onnx_rule
def Squeeze(b: GraphBuilder, x: Operand, axes: Operand | None = None) -> View:
    """constant axes; no code"""
    view = dynamic(x, "input")
    chosen = _axes(axes, view.index.ndim)
    return View(view.tensor, np.squeeze(view.index, None if chosen is None else tuple(chosen)))


@onnx_rule
def Unsqueeze(b: GraphBuilder, x: Operand, axes: Operand) -> View:
    """constant axes; no code"""
    view, wanted = dynamic(x, "input"), integers(axes, "axes") or []
    return View(view.tensor, np.expand_dims(view.index, tuple(wanted)))


@onnx_rule
def Slice(
    b: GraphBuilder, x: Operand, starts: Operand, ends: Operand, axes: Operand | None = None,
    steps: Operand | None = None,
) -> View:  # fmt: skip
    """constant bounds, any step; a copy where its rows are not contiguous"""
    view = dynamic(x, "input")
    begin, end = integers(starts, "starts") or [], integers(ends, "ends") or []
    chosen = _axes(axes, view.index.ndim) or list(range(len(begin)))
    stride = integers(steps, "steps") or [1] * len(begin)
    index = view.index
    for axis, s, e, step in zip(chosen, begin, end, stride, strict=True):
        size = index.shape[axis]
        # as ONNX clamps: negative bounds count from the end, and may stay before the first element for steps < 0
        first = min(max(s + size if s < 0 else s, 0), size if step > 0 else size - 1)
        last = min(max(e + size if e < 0 else e, 0 if step > 0 else -1), size)
        index = index.take(np.arange(first, last, step), axis)
    if index.size == 0:
        raise Unsupported(f"selects nothing from shape {view.shape}")
    return View(view.tensor, index)


@onnx_rule
def Split(
    b: GraphBuilder, x: Operand, split: Operand | None = None, *, axis: int = 0, num_outputs: int = 0
) -> tuple[View, ...]:
    """constant sizes; as Slice"""
    view, sizes = dynamic(x, "input"), integers(split, "split")
    length = view.shape[axis]
    if sizes is None:
        each = -(-length // (num_outputs or b.outputs))
        sizes = [min(each, length - i) for i in range(0, length, each)]
    cuts = np.cumsum(sizes)[:-1]
    return tuple(View(view.tensor, part) for part in np.split(view.index, cuts, axis))


class CopyKernel(Kernel):
    """A walk of up to six axes; contiguous rows by memmove."""

    function = "edgeq_copy"
    source = "edgeq_copy.c"
    params_type = "edgeq_copy_params"

    def params(self, node: Node) -> Params:
        walk = node.op.walk  # type: ignore[attr-defined]
        pad = 6 - len(walk.sizes)
        if pad < 0:
            raise QuantizationError(f"walk over {len(walk.sizes)} axes; 6 are supported", node=node.name)
        return {
            "offset": walk.offset,
            "size": Array(np.array([1] * pad + list(walk.sizes), np.int32)),
            "step": Array(np.array([0] * pad + list(walk.steps), np.int32)),
        }

    def cost(self, node: Node) -> float:
        return 6.0 * node.output.elements

    def access(self, node: Node) -> Access:
        return gathered({0: node.op.walk.positions()}, {0: node.inputs[0].elements}, node.output.elements)  # type: ignore[attr-defined]


def cases() -> Iterator[Node]:
    """Every permutation of a 3-D tensor; slices with offsets and negative steps; one element; six axes."""
    x = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    picks: list[np.ndarray] = [x.transpose(p) for p in itertools.permutations(range(3))]
    picks += [x[1:, ::2, 1:4], x[::-1, :, ::-2], x[..., ::2], x[2:3, 3:4, 4:5], x[:, 1], x[..., :1]]
    six = np.arange(64).reshape((2,) * 6)
    picks += [six.transpose(5, 3, 1, 4, 2, 0)]
    for pick in picks:
        walk = factor(pick.ravel())
        assert walk is not None
        source = (2,) * 6 if pick.ndim == 6 else x.shape
        yield Node("case", Copy(walk), (activation(source),), activation(pick.shape, name="y"))
