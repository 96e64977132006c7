"""What max_pool and avg_pool share: which taps lie inside the input, and how the output may take its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Shape, Tensor
from edgeq.ops._base import GraphBuilder, View
from edgeq.ops._window import Window


def taps_inside(window: Window, size: Sequence[int], border: Sequence[int] = (0, 0, 0, 0)) -> np.ndarray:
    """(OH, OW) int64: taps of each window inside an input of (H, W) extended by border (top, left, bottom, right)."""
    counts = []
    for positions, n, before, after in zip(_positions(window, size), size, border[:2], border[2:], strict=False):
        counts.append(((positions >= -before) & (positions < n + after)).sum(1))
    return np.outer(*counts)


def _positions(window: Window, size: Sequence[int]) -> list[np.ndarray]:
    """For each axis (output size, kernel size): the input position of each tap."""
    outs = window.out_size((size[0], size[1]))
    return [
        np.arange(outs[a])[:, None] * window.strides[a] - window.pads[a]
        + np.arange(window.kernel[a]) * window.dilations[a]
        for a in (0, 1)
    ]  # fmt: skip


def check_shapes(window: Window, inputs: Sequence[Tensor], output: Tensor) -> None:
    """Raises QuantizationError where a pool of (H, W, C) does not give the output's shape."""
    shape = inputs[0].shape
    if len(shape) != 3 or output.shape != (*window.out_size((shape[0], shape[1])), shape[2]):
        raise QuantizationError(f"shapes {shape} -> {output.shape} do not fit {window}")


def whole_window(b: GraphBuilder, view: View) -> tuple[str, Window, Shape]:
    """(tensor, window, output shape) of a global pool."""
    tensor = b.channels_last(view)
    h, w, c = b.shape_of(tensor)
    return tensor, Window((h, w)), (1, 1, c)


def case_windows() -> Iterator[tuple[Shape, Window]]:
    """(input shape, window): block edges, odd shapes, one row, stride, dilation, padding beyond the kernel, ceil."""
    yield from [
        ((4, 4, 16), Window((2, 2), (2, 2))),
        ((5, 7, 17), Window((3, 2), (2, 1))),
        ((5, 5, 15), Window((3, 3), (2, 2), pads=(1, 1, 1, 1))),
        ((6, 5, 33), Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
        ((1, 9, 3), Window((1, 4), (1, 3), ceil=True)),
        ((6, 6, 2), Window((3, 3), (2, 2), pads=(1, 1, 1, 1), ceil=True)),
        ((7, 8, 1), Window((2, 3), (1, 2), (3, 2), (2, 1, 1, 3))),
        ((2, 2, 5), Window((2, 2), pads=(3, 2, 3, 2))),
        ((3, 6, 4), Window((1, 1), (1, 2))),
        ((8, 6, 40), Window((8, 6))),
        ((9, 1, 1), Window((5, 1), pads=(2, 0, 2, 0))),
        ((1, 1, 1), Window((1, 1))),
    ]
