"""Memory order of operands: which tensor holds a view in the order an operator wants, and how its output lies there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeq.ir import Shape, size_of
from edgeq.ops._base import GraphBuilder, Operand, View, constant


def integers(operand: Operand | Sequence[int] | None, what: str) -> list[int] | None:
    """Integers from a constant input or an attribute; None where left out. Raises Unsupported for run-time values."""
    if operand is None or isinstance(operand, (list, tuple)):
        return None if operand is None else [int(v) for v in operand]
    return [int(v) for v in constant(operand, what).reshape(-1)]  # type: ignore[arg-type]


def tensor_shape(stored: Sequence[int]) -> Shape:
    """Shape of the tensor for a view stored with this shape: without the batch, but a sequence stays (1, W, C)."""
    shape = tuple(stored)
    return shape[1:] if len(shape) not in (1, 3) and shape[:1] == (1,) else shape or (1,)


def ordered(b: GraphBuilder, view: View, axes: Sequence[int]) -> str:
    """Name of a tensor with `view` in row-major order of its ONNX axes as permuted by `axes`: its own, or a copy.

    Unlike GraphBuilder.stored, a tensor already in order keeps its shape.
    """
    memory = view.index.transpose(axes)
    whole = memory.size == size_of(b.shape_of(view.tensor))
    if whole and np.array_equal(memory.ravel(), np.arange(memory.size)):
        return view.tensor
    return b.stored(view, axes, tensor_shape(memory.shape))


def output_index(stored: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """View index of an ONNX output stored with shape `stored`, its axes permuted by `axes`."""
    return np.arange(size_of(tuple(stored))).reshape(stored).transpose(np.argsort(axes))
