"""Operators of two operands: broadcasting, constants, and one memory order for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, LayerOp, Node, Shape, Tensor, size_of
from edgeq.numerics import frac_bits_for, quantize
from edgeq.ops._access import Access, gathered
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View
from edgeq.ops._cases import activation
from edgeq.ops._layout import ordered, output_index, tensor_shape
from edgeq.ops._requant import narrowed, prove_clamp, prove_shift
from edgeq.ops.depthwise_conv2d import scale_channels
from edgeq.ops.lut import Expr, unary

INF = float("inf")
MAX_DIMS = 4  # of the C walk, edgeq_broadcast


# ---------------------------------------------------------------- import


@dataclass(frozen=True, eq=False)
class Operands:
    """Two operands in one memory order; the first is always computed at run time.

    shapes: of both, one rank, row-major as stored; together they broadcast to the output. constant: the second
    operand's values, float32, or None where it is inputs[1]. swapped: they stand the other way round in the model.
    shape and index: of the output's tensor and view.
    """

    inputs: tuple[str, ...]
    shapes: tuple[Shape, Shape]
    constant: np.ndarray | None
    swapped: bool
    shape: Shape
    index: np.ndarray


def _with_rank(index: np.ndarray, rank: int) -> np.ndarray:
    return index.reshape((1,) * (rank - index.ndim) + index.shape)


def arrange(b: GraphBuilder, x: Operand, y: Operand) -> Operands:
    """Brings both operands into the memory order of the larger one; free where they already are in one order."""
    if not isinstance(x, View):
        assert isinstance(y, View)
        return replace(arrange(b, y, x), swapped=True)
    if isinstance(y, View) and np.array_equal(x.index, y.index):
        x, y = b.whole(x), b.whole(y)
        if np.array_equal(x.index, y.index):  # any order will do, as it is the same
            flat = (x.index.size,)
            return Operands((x.tensor, y.tensor), (flat, flat), None, False, b.shape_of(x.tensor), x.index)
    values = y.index if isinstance(y, View) else y
    shape = np.broadcast_shapes(x.shape, values.shape)
    x = View(x.tensor, _with_rank(x.index, len(shape)))
    values = _with_rank(values, len(shape))
    second = View(y.tensor, values) if isinstance(y, View) else None
    leader = second if second is not None and values.size > x.index.size else x
    axes = leader.axes_by_stride()
    shapes = tuple(tuple(v.shape[a] for a in axes) for v in (x.index, values))
    if len(walk(*shapes)[0]) > MAX_DIMS:
        raise Unsupported(f"broadcast of {x.shape} and {values.shape} needs more than {MAX_DIMS} nested loops")
    inputs = [ordered(b, x, axes)]
    if second is not None:
        inputs.append(ordered(b, second, axes))
    constant = None if second is not None else np.ascontiguousarray(values.transpose(axes), np.float32)
    stored = tuple(shape[a] for a in axes)
    whole = leader.index.size == size_of(stored)
    out_shape = b.shape_of(inputs[-1 if leader is second else 0]) if whole else tensor_shape(stored)
    return Operands(tuple(inputs), shapes, constant, False, out_shape, output_index(stored, axes))  # type: ignore[arg-type]


def of_one_tensor(
    b: GraphBuilder, x: Operand, y: Operand, function: str,
    per_channel: Callable[[np.ndarray, bool], tuple[np.ndarray, np.ndarray] | None],
) -> View | None:  # fmt: skip
    """The cheaper forms: a table for a scalar constant and for x with itself, a 1x1 depthwise for one per channel.

    per_channel(constant, constant stands left) -> (scale, offset), each (C,), or None where it is not linear.
    """
    if isinstance(x, View) and isinstance(y, View):
        same = x.tensor == y.tensor and np.array_equal(x.index, y.index)
        return unary(b, x, (function, "x", "x")) if same else None
    swapped = isinstance(y, View)
    view, values = (y, x) if swapped else (x, y)
    assert isinstance(view, View) and isinstance(values, np.ndarray)
    rank = max(view.index.ndim, values.ndim)
    view, values = View(view.tensor, _with_rank(view.index, rank)), _with_rank(values, rank)
    if np.broadcast_shapes(view.shape, values.shape) != view.shape:
        return None
    if np.all(values == values.flat[0]):
        value = float(values.flat[0])
        return unary(b, view, (function, value, "x") if swapped else (function, "x", value))
    axis = channel_axis(values)
    if axis is None or view.axes_by_stride()[-1] != axis:  # in another order the constant is walked with strides
        return None
    linear = per_channel(values.reshape(-1).astype(np.float64), swapped)
    return None if linear is None else scale_channels(b, view, *linear, axis)


def channel_axis(values: np.ndarray) -> int | None:
    """The only axis along which a constant is longer than 1, or None."""
    wide = [a for a, n in enumerate(values.shape) if n > 1]
    return wide[0] if len(wide) == 1 else None


# ---------------------------------------------------------------- geometry


def walk(first: Shape, second: Shape) -> tuple[list[int], list[int], list[int]]:
    """(sizes, steps of the first, steps of the second): the fewest loops over the broadcast of two row-major shapes.

    A step is 0 where the operand stands still. Outermost first; never empty.
    """
    sizes: list[int] = []
    steps: list[tuple[int, int]] = []
    extent = [1, 1]  # elements of each operand inside the current axis
    for n in zip(reversed(first), reversed(second), strict=True):
        size = max(n)
        if size > 1:
            step = tuple(e if k > 1 else 0 for e, k in zip(extent, n, strict=True))
            if sizes and step == tuple(s * sizes[0] for s in steps[0]):  # goes on where the inner axis ended
                sizes[0] *= size
            else:
                sizes.insert(0, size)
                steps.insert(0, step)  # type: ignore[arg-type]
        extent = [e * k for e, k in zip(extent, n, strict=True)]
    if not sizes:
        return [1], [0], [0]
    return sizes, [s[0] for s in steps], [s[1] for s in steps]


def walk_params(first: Shape, second: Shape) -> Params:
    """The walk as fields of the C struct edgeq_broadcast."""
    sizes, step_1, step_2 = walk(first, second)
    pad = MAX_DIMS - len(sizes)
    return {
        "size": Array(np.array([1] * pad + sizes, np.int32)),
        "step_1": Array(np.array([0] * pad + step_1, np.int32)),
        "step_2": Array(np.array([0] * pad + step_2, np.int32)),
    }


# ---------------------------------------------------------------- operators


@dataclass(frozen=True, eq=False)
class BinaryOp(IntOp):
    """out = clamp(acc >> shift, lo, hi). shapes: as in Operands; constant: int8 of shapes[1], or None."""

    shapes: tuple[Shape, Shape]
    constant: np.ndarray | None
    bias: int
    shift: int
    lo: int
    hi: int

    @property
    def flat(self) -> bool:
        """Whether no operand is broadcast and both are computed at run time."""
        return self.constant is None and size_of(self.shapes[0]) == size_of(self.shapes[1]) and self.loops == 1

    @property
    def loops(self) -> int:
        return len(walk(*self.shapes)[0])

    def operands(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Both operands as int64, (N or 1, *shape), ready to broadcast."""
        arrays = [q.reshape(len(q), *shape) for q, shape in zip(inputs, self.shapes, strict=False)]
        if self.constant is not None:
            arrays.append(self.constant[None])
        return arrays[0].astype(np.int64), arrays[1].astype(np.int64)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        sizes = [size_of(shape) for shape in self.shapes]
        given = [t.elements for t in inputs] + ([] if self.constant is None else [self.constant.size])
        if given != sizes or output.elements != size_of(np.broadcast_shapes(*self.shapes)):
            raise QuantizationError(f"operands of {given} elements do not fit {self.shapes} -> {output.shape}")
        if self.constant is not None and (self.constant.dtype != np.int8 or self.constant.shape != self.shapes[1]):
            raise QuantizationError(f"constant must be int8 of shape {self.shapes[1]}")
        if self.loops > MAX_DIMS:
            raise QuantizationError(f"broadcast {self.shapes} needs more than {MAX_DIMS} nested loops")
        prove_shift(self.shift)
        prove_clamp(self.lo, self.hi)

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        if not self.flat or inputs[0].shape != inputs[1].shape:
            return None
        flat = ((end - first) * size_of(inputs[0].shape[1:]),)
        return replace(self, shapes=(flat, flat)), (first, end)

    def weight_bytes(self) -> int:
        return 0 if self.constant is None else self.constant.size


@dataclass(frozen=True, eq=False)
class BinaryLayer(LayerOp):
    """A float operator of two operands, clamped to [lo, hi]; shapes and constant (float32) as in Operands."""

    shapes: tuple[Shape, Shape]
    constant: np.ndarray | None = None
    lo: float = -INF
    hi: float = INF

    def with_clamp(self, lo: float, hi: float) -> LayerOp:
        lo, hi = narrowed(self.lo, self.hi, lo, hi)
        return replace(self, lo=lo, hi=hi)

    def combine(self) -> Expr:
        """The operator as an expression in "x" and "y", without the clamp."""
        raise NotImplementedError

    def as_function(self) -> Expr:
        if self.constant is not None or self.shapes[0] != self.shapes[1]:
            return None
        return ("clip", self.combine(), self.lo, self.hi)

    def params(self) -> int:
        return 0 if self.constant is None else self.constant.size

    def second(self, inputs: Sequence[Tensor]) -> tuple[float, int, np.ndarray | None]:
        """(scale, zero point, int8 values of a constant) of the second operand. A constant gets a power-of-two scale
        and zero point 0."""
        if self.constant is None:
            return inputs[1].scale, inputs[1].zero_point, None
        scale = 2.0 ** -frac_bits_for(float(np.abs(self.constant).max(initial=0)))
        return scale, 0, quantize(self.constant, scale, 0)

    def never_negative_operands(self, inputs: Sequence[bool]) -> bool:
        """Whether both operands provably never are below zero."""
        return all(inputs) and (self.constant is None or bool(self.constant.min(initial=0) >= 0))


# ---------------------------------------------------------------- kernels


class BinaryKernel(Kernel):
    """One loop over two tensors of one shape."""

    def arithmetic(self, node: Node) -> Params:
        """The fields of edgeq_<op>_params besides n."""
        raise NotImplementedError

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, BinaryOp)
        return node.op.flat

    def params(self, node: Node) -> Params:
        return {"n": node.output.elements, **self.arithmetic(node)}

    def cost(self, node: Node) -> float:
        return 25.0 * node.output.elements

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, BinaryOp)
        shapes = dict(zip(range(len(node.inputs)), node.op.shapes, strict=False))
        shape = np.broadcast_shapes(*node.op.shapes)
        sources = {i: np.broadcast_to(np.arange(size_of(s)).reshape(s), shape).ravel() for i, s in shapes.items()}
        return gathered(sources, {i: size_of(s) for i, s in shapes.items()}, node.output.elements)


def broadcast_params(arithmetic: Params, node: Node) -> Params:
    """The fields of edgeq_<op>_broadcast_params."""
    op = node.op
    assert isinstance(op, BinaryOp)
    row = walk(*op.shapes)[0][-1]
    fields: Params = {op.name: {"n": row, **arithmetic}, "walk": walk_params(*op.shapes)}
    return fields if op.constant is None else {**fields, "constant": Array(op.constant)}


def case_nodes() -> Iterator[tuple[tuple[Shape, Shape], np.ndarray | None, tuple[Tensor, ...], Tensor]]:
    """(shapes, constant, inputs, output) for the operators' cases: each position of a broadcast, with two tensors and
    with a constant."""
    rng = np.random.default_rng(0)
    for first, second in [
        ((1,), (1,)),
        ((39,), (39,)),
        ((3, 4, 5), (3, 4, 5)),
        ((4, 3, 6), (1, 1, 6)),
        ((4, 3, 6), (4, 3, 1)),
        ((4, 3, 6), (4, 1, 1)),
        ((4, 3, 6), (1, 3, 1)),
        ((4, 3, 6), (4, 1, 6)),
        ((1, 1, 7), (2, 5, 7)),
        ((5, 1), (1, 9)),
        ((2, 3, 2, 3), (1, 3, 1, 3)),
        ((2, 1, 2, 1), (1, 3, 1, 3)),
        ((2, 3), (1, 1)),
    ]:
        x, x1 = activation(first), activation(second, -128, name="x1")
        y = activation(np.broadcast_shapes(first, second), name="y")
        yield (first, second), None, (x, x1), y
        yield (first, second), rng.integers(-128, 128, second).astype(np.int8), (x,), y
