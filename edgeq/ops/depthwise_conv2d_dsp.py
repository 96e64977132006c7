"""depthwise_conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import channel_blocks, two_steps
from edgeq.ops._window import Window
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel

CHANNELS = 4  # at a time
LINE = 224  # bytes of scratch for a line of them
LINES = 9  # at most
STRIP = {1: 26, 2: 12}  # stride -> columns of the output that a line is enough for, even


def shares(n: int, most: int) -> int:
    """The even size of the fewest equal parts of n, each up to `most`."""
    size = -(-n // -(-n // most))
    return size + size % 2


@dataclass(frozen=True)
class Walk:
    """How a 3x3 kernel walks over an input of size (H, W): the window with rows and columns exchanged or not."""

    window: Window
    size: tuple[int, int]
    transposed: bool

    @property
    def out(self) -> tuple[int, int]:
        return self.window.out_size(self.size)

    @property
    def band(self) -> int:
        """Output rows at a time."""
        return shares(self.out[0], 6 if self.window.strides[0] == 1 else 4)

    @property
    def strip(self) -> int:
        """Output columns at a time."""
        return shares(self.out[1], STRIP[self.window.strides[1]])

    @property
    def whole(self) -> bool:
        """Whether all of a channel is read before any of it is written."""
        return self.band >= self.out[0] and self.strip >= self.out[1]

    @property
    def lines(self) -> int:
        """Input lines of a band."""
        return (self.band - 1) * self.window.strides[0] + 3

    def cost(self, channels: int) -> float:
        """Estimated instructions."""
        (rows, columns), stride = self.out, self.window.strides[0]
        bands, strips, fours = -(-rows // self.band), -(-columns // self.strip), -(-channels // CHANNELS)
        filled = ((rows - 1) * stride + 3 + (bands - 1) * (3 - stride)) * (strips * 12 + 14 * (columns * stride / 2 + 1))
        blocks = -(-rows // 2) * (strips * 24 + (44 + 9 * (stride - 1)) * -(-columns // 2))
        return bands * strips * (60 + 4 * 56 * self.lines + fours * (90 + 4 * 45)) + fours * (filled + 4 * blocks)


def walk(window: Window, size: tuple[int, int], transposed: bool) -> Walk:
    """The walk over an input of (H, W), along its columns where `transposed`."""
    if transposed:
        top, left, bottom, right = window.pads
        window = Window(window.kernel, window.strides[::-1], (1, 1), (left, top, right, bottom))
        size = size[1], size[0]
    return Walk(window, size, transposed)


class Depthwise3x3DspKernel(DepthwiseKernel):
    """3x3, four channels at a time as lines of int16 in scratch, two rows by two columns of outputs at a time.

    All inputs of four channels of a block of output pixels are read before the first of their outputs is written.
    """

    function = "edgeq_depthwise_conv2d_3x3_dsp"
    source = "edgeq_depthwise_conv2d_dsp.c"
    params_type = "edgeq_depthwise_conv2d_dsp_params"
    isa = "dsp"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        w, channels = node.op.window, node.inputs[0].shape[2]
        one = (w.kernel, w.dilations) == ((3, 3), (1, 1)) and w.strides in ((1, 1), (2, 2))
        return one and max(w.pads) < 3 and CHANNELS <= channels == node.output.shape[2]  # no window of padding alone

    @staticmethod
    def walk(node: Node) -> Walk:
        """The cheaper one."""
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, channels = node.inputs[0].shape
        walks = [walk(node.op.window, (h, w), transposed) for transposed in (False, True)]
        return min(walks, key=lambda w: w.cost(channels))

    def params(self, node: Node) -> Params:
        op, walk = node.op, self.walk(node)
        assert isinstance(op, DepthwiseConv2d)
        channels = len(op.weight)
        taps = op.weight[..., 0].transpose(0, 2, 1) if walk.transposed else op.weight[..., 0]
        in_steps = (node.inputs[0].shape[1] * channels, channels)
        out_steps = (node.output.shape[1] * channels, channels)
        if walk.transposed:
            in_steps, out_steps = in_steps[::-1], out_steps[::-1]
        return {
            "window": walk.window.params((*walk.size, channels), (*walk.out, channels)),
            "channels": channels, "band": walk.band, "strip": walk.strip, "lines": walk.lines, "pad_value": op.pad_value,
            "in_row": in_steps[0], "in_column": in_steps[1], "out_row": out_steps[0], "out_column": out_steps[1],
            "weight": Array(np.ascontiguousarray(taps)), **op.requant_params(),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return self.walk(node).cost(node.output.shape[2])

    def scratch(self, node: Node) -> int:
        return LINE * self.walk(node).lines

    def overlays(self, node: Node) -> dict[int, int]:
        assert isinstance(node.op, DepthwiseConv2d)
        shape = node.output.shape
        whole = self.walk(node).whole and shape[2] % CHANNELS == 0  # then a channel is read before it is written
        return {0: 0} if whole and node.inputs[0].shape == shape and node.op.window.strides == (1, 1) else {}


class DepthwiseAnyDspKernel(DepthwiseKernel):
    """Any window, four channels by two taps at a time. Four channels of a pixel are written after their window is read."""

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
        weight = channel_blocks(op.weight.reshape(len(op.weight), -1), op.bias, op.shift, two_steps)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "channels": len(op.weight), "pad_value": op.pad_value, "weight": Array(weight), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        (h, w, channels), taps = node.output.shape, node.op.window.taps
        return h * w * (60 + 20 * taps + -(-channels // CHANNELS) * (27 + 20 * -(-taps // 2)))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        return 8 * -(-node.op.window.taps // 2) + -(-node.output.shape[2] // 4) * 4

    def overlays(self, node: Node) -> dict[int, int]:
        return super().overlays(node) if node.output.shape[2] % CHANNELS == 0 else {}
