"""How kernels for depthwise 3x3 convolution walk: a band of output rows at a time, its input copied channel by channel to
lines in scratch; along the columns where that is cheaper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access
from edgeq.ops._base import Array, Params
from edgeq.ops._window import Window
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d

SCRATCH = 2048  # bytes that a band's lines may take, if one output row's fit at all


@dataclass(frozen=True)
class Walk:
    """window, size: of the input, (H, W), with rows and columns exchanged where `transposed`."""

    window: Window
    size: tuple[int, int]
    transposed: bool

    @property
    def out(self) -> tuple[int, int]:
        return self.window.out_size(self.size)

    @property
    def band(self) -> int:
        """Output rows at a time."""
        raise NotImplementedError

    @property
    def lines(self) -> int:
        """Input rows of a band."""
        return (self.band - 1) * self.window.strides[0] + 3


def is_3x3(node: Node) -> bool:
    """Whether such kernels can run the node."""
    assert isinstance(node.op, DepthwiseConv2d)
    w, channels = node.op.window, node.inputs[0].shape[2]
    return (w.kernel, w.dilations) == ((3, 3), (1, 1)) and max(w.strides) <= 2 and channels == node.output.shape[2]


def exchanged(window: Window) -> Window:
    """With rows and columns exchanged."""
    top, left, bottom, right = window.pads
    return Window(window.kernel[::-1], window.strides[::-1], window.dilations[::-1], (left, top, right, bottom))


def walks(node: Node) -> list[tuple[Window, tuple[int, int], bool]]:
    """The fields of both walks."""
    assert isinstance(node.op, DepthwiseConv2d)
    h, w, _ = node.inputs[0].shape
    return [(node.op.window, (h, w), False), (exchanged(node.op.window), (w, h), True)]


def walk_params(node: Node, walk: Walk) -> Params:
    """The fields window, channels, band, pad_value, in_row, in_column, out_row, out_column (in elements) and weight."""
    op, channels = node.op, node.output.shape[2]
    assert isinstance(op, DepthwiseConv2d)
    taps = op.weight[..., 0].transpose(0, 2, 1) if walk.transposed else op.weight[..., 0]
    steps = [(t.shape[1] * channels, channels)[:: -1 if walk.transposed else 1] for t in (node.inputs[0], node.output)]
    return {
        "window": walk.window.params((*walk.size, channels), (*walk.out, channels)), "channels": channels,
        "band": walk.band, "pad_value": op.pad_value, "in_row": steps[0][0], "in_column": steps[0][1],
        "out_row": steps[1][0], "out_column": steps[1][1], "weight": Array(np.ascontiguousarray(taps)),
    }  # fmt: skip


def banded(node: Node, walk: Walk, reads: np.ndarray, writes: np.ndarray, strip: int | None = None) -> Access:
    """Bands, in each strips of so many output columns (default: all), in each the channels in steps.

    reads, writes (C,): the step in which a channel is copied, or written.
    """
    steps, size = int(max(reads.max(), writes.max())) + 1, (walk.band, strip or walk.out[1])
    strips = -(-walk.out[1] // size[1])
    last, own = [], []  # for each axis: the last part that reads an input position, the part of an output position
    for axis in (0, 1):
        own.append(np.arange(walk.out[axis]) // size[axis])
        position = (np.arange(walk.size[axis]) + walk.window.pads[axis]) // walk.window.strides[axis]
        last.append(own[-1][np.minimum(position, walk.out[axis] - 1)])
    tables = []
    for part, step in ((last, reads), (own, writes)):
        table = (part[0][:, None] * strips + part[1])[..., None] * steps + step
        tables.append((table.transpose(1, 0, 2) if walk.transposed else table).ravel())
    return Access({0: tables[0]}, tables[1])
