"""depthwise_conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import blocks, runs, two_steps
from edgeq.ops._planes import Walk, banded, is_3x3, walk_params, walks
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel

CHANNELS = 4  # at a time
LINE = 224  # bytes of scratch for a line of them
STRIP = {1: 26, 2: 12}  # stride -> columns of the output that a line is enough for, even


def shares(n: int, most: int) -> int:
    """The even size of the fewest equal parts of n, each up to `most`."""
    size = -(-n // -(-n // most))
    return size + size % 2


def channel_steps(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps in which channels are read and written, four at a time; the last four once more where they are no multiple."""
    writes = np.arange(channels) // CHANNELS
    reads = writes.copy()
    reads[-CHANNELS:] = writes[-1]
    return reads, writes


class DspWalk(Walk):
    """Lines of four channels, in int16."""

    most: ClassVar[dict[int, int]] = {1: 6, 2: 4}  # stride -> rows of a band at most

    @property
    def band(self) -> int:
        return shares(self.out[0], self.most[self.window.strides[0]])

    @property
    def strip(self) -> int:
        """Output columns at a time."""
        return shares(self.out[1], STRIP[self.window.strides[1]])

    def cost(self, channels: int) -> float:
        """Estimated instructions."""
        (rows, columns), stride = self.out, self.window.strides[0]
        bands, strips, fours = -(-rows // self.band), -(-columns // self.strip), -(-channels // CHANNELS)
        filled = ((rows - 1) * stride + 3 + (bands - 1) * (3 - stride)) * (strips * 12 + 14 * (columns * stride / 2 + 1))
        blocks = -(-rows // 2) * (strips * 24 + (44 + 9 * (stride - 1)) * -(-columns // 2))
        return bands * strips * (60 + 4 * 56 * self.lines + fours * (90 + 4 * 45)) + fours * (filled + 4 * blocks)


class NarrowWalk(DspWalk):
    """With less scratch."""

    most: ClassVar[dict[int, int]] = {1: 2, 2: 2}


class Depthwise3x3DspKernel(DepthwiseKernel):
    """3x3, four channels at a time as lines of int16 in scratch, two rows by two columns of outputs at a time."""

    function = "edgeq_depthwise_conv2d_3x3_dsp"
    source = "edgeq_depthwise_conv2d_dsp.c"
    params_type = "edgeq_depthwise_conv2d_dsp_params"
    isa = "dsp"
    uses_scratch = True
    walk_type: ClassVar[type[DspWalk]] = DspWalk

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        w = node.op.window  # no window may be of padding alone
        return is_3x3(node) and w.strides in ((1, 1), (2, 2)) and max(w.pads) < 3 and node.output.shape[2] >= CHANNELS

    @classmethod
    def walk(cls, node: Node) -> DspWalk:
        """The cheaper walk."""
        return min((cls.walk_type(*fields) for fields in walks(node)), key=lambda w: w.cost(node.output.shape[2]))

    def params(self, node: Node) -> Params:
        walk = self.walk(node)
        assert isinstance(node.op, DepthwiseConv2d)
        return {**walk_params(node, walk), "strip": walk.strip, "lines": walk.lines, **node.op.requant_params()}

    def cost(self, node: Node) -> float:
        return self.walk(node).cost(node.output.shape[2])

    def scratch(self, node: Node) -> int:
        return LINE * self.walk(node).lines

    def access(self, node: Node) -> Access:
        walk = self.walk(node)
        return banded(node, walk, *channel_steps(node.output.shape[2]), walk.strip)


class Depthwise3x3NarrowDspKernel(Depthwise3x3DspKernel):
    """The same two rows of outputs at a time."""

    walk_type = NarrowWalk


class DepthwiseAnyDspKernel(DepthwiseKernel):
    """Any window, four channels by two taps at a time."""

    function = "edgeq_depthwise_conv2d_any_dsp"
    source = "edgeq_depthwise_conv2d_any_dsp.c"
    params_type = "edgeq_depthwise_conv2d_any_dsp_params"
    isa = "dsp"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        return CHANNELS <= node.inputs[0].shape[2] == node.output.shape[2]

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        taps = op.weight.reshape(len(op.weight), -1)
        words = [blocks(run, CHANNELS, taps, op.bias, op.shift, two_steps) for run in runs(len(taps), CHANNELS)]
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "channels": len(op.weight), "pad_value": op.pad_value,
            "weight": Array(np.concatenate(words)), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        (h, w, channels), taps = node.output.shape, node.op.window.taps
        return h * w * (60 + 20 * taps + -(-channels // CHANNELS) * (27 + 20 * -(-taps // 2)))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        return 8 * -(-node.op.window.taps // 2) + -(-node.output.shape[2] // 4) * 4

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, DepthwiseConv2d)
        return windowed(node.op.window, node.inputs[0].shape, *channel_steps(node.output.shape[2]))
