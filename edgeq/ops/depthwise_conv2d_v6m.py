"""depthwise_conv2d kernels for Armv6-M."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._v6m import clamp_params, foldable, folded_bias
from edgeq.ops._window import Window
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel

SCRATCH = 2048  # bytes that a band of a plane may take, if three lines fit at all


@dataclass(frozen=True)
class Walk:
    """How a 3x3 kernel walks: the window with rows and columns exchanged or not, output rows in a band, words in a line."""

    window: Window
    size: tuple[int, int]
    transposed: bool
    band: int
    line: int

    @property
    def out(self) -> tuple[int, int]:
        return self.window.out_size(self.size)

    @property
    def lines(self) -> int:
        """Lines of a band's plane."""
        return (self.band - 1) * self.window.strides[0] + 3

    @property
    def cost(self) -> float:
        """Estimated instructions for a channel."""
        (rows, columns), stride = self.out, self.window.strides[1]
        bands = -(-rows // self.band)
        filled = (rows - 1) * self.window.strides[0] + 3 + (bands - 1) * max(3 - self.window.strides[0], 0)
        return bands * 110 + filled * (35 + 3.5 * self.size[1]) + rows * (18 + (81 + stride) * -(-columns // 2))


def walk(window: Window, size: tuple[int, int], transposed: bool) -> Walk:
    """The walk over an input of (H, W), along its columns where `transposed`."""
    if transposed:
        (top, left, bottom, right), (sh, sw) = window.pads, window.strides
        window = Window(window.kernel, (sw, sh), (1, 1), (left, top, right, bottom))
        size = size[1], size[0]
    rows, columns = window.out_size(size)
    line = max((-(-columns // 2) * 2 - 1) * window.strides[1] + 3, window.pads[1] + size[1])
    most = max((SCRATCH // (4 * line) - 3) // window.strides[0] + 1, 1)
    return Walk(window, size, transposed, -(-rows // -(-rows // most)), line)


class DepthwiseV6mKernel(DepthwiseKernel):
    """Four pixels at a time, read where they are through pointers to their taps.

    All inputs of four pixels are read, channel by channel, before that channel of the four is written.
    """

    function = "edgeq_depthwise_conv2d_v6m"
    source = "edgeq_depthwise_conv2d_v6m.c"
    params_type = "edgeq_depthwise_conv2d_v6m_params"
    isa = "v6m"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.inputs[0].shape[2] == node.output.shape[2] and foldable(node.op)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "channels": len(op.weight), "pad_value": op.pad_value, "padded": int(op.window.padded),
            "weight": Array(np.ascontiguousarray(op.weight[..., 0].transpose(1, 2, 0))),
            "bias": Array(folded_bias(op).astype(np.int32)), "shift": Array(op.shift), **clamp_params(op),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, channels = node.output.shape
        taps, rows = node.op.window.taps, node.op.window.kernel[0]
        lists = 300 + 80 * rows + 75 * taps
        return float(-(-h * w // 4) * (lists + channels * (62 + 14.3 * taps)))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        pointers = 5 * node.op.window.taps
        return 4 + 8 * pointers + node.output.shape[2] * node.op.window.padded  # as on a 64-bit host; 4: to align them


class Depthwise3x3V6mKernel(DepthwiseV6mKernel):
    """3x3, a channel at a time as a plane of int32 in scratch, two outputs at a time.

    All inputs of a band of output rows are read, channel by channel, before that channel of the band is written.
    """

    function = "edgeq_depthwise_conv2d_3x3_v6m"
    source = "edgeq_depthwise_conv2d_3x3_v6m.c"
    params_type = "edgeq_depthwise_conv2d_3x3_v6m_params"

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        w = node.op.window
        return super().supports(node) and (w.kernel, w.dilations) == ((3, 3), (1, 1)) and max(w.strides) <= 2

    @staticmethod
    def walk(node: Node) -> Walk:
        """The cheaper walk."""
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, _ = node.inputs[0].shape
        return min((walk(node.op.window, (h, w), transposed) for transposed in (False, True)), key=lambda x: x.cost)

    def params(self, node: Node) -> Params:
        op, by = node.op, self.walk(node)
        assert isinstance(op, DepthwiseConv2d)
        channels = len(op.weight)
        taps = op.weight[..., 0].transpose(0, 2, 1) if by.transposed else op.weight[..., 0]
        in_steps = (node.inputs[0].shape[1] * channels, channels)
        out_steps = (node.output.shape[1] * channels, channels)
        if by.transposed:
            in_steps, out_steps = in_steps[::-1], out_steps[::-1]
        return {
            "window": by.window.params((*by.size, channels), (*by.out, channels)),
            "channels": channels, "band": by.band, "line": by.line, "pad_value": op.pad_value,
            "in_row": in_steps[0], "in_column": in_steps[1], "out_row": out_steps[0], "out_column": out_steps[1],
            "weight": Array(np.ascontiguousarray(taps)), "bias": Array(folded_bias(op).astype(np.int32)),
            "shift": Array(op.shift), **clamp_params(op),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return self.walk(node).cost * node.output.shape[2]

    def scratch(self, node: Node) -> int:
        by = self.walk(node)
        return 4 * by.line * by.lines

    def overlays(self, node: Node) -> dict[int, int]:
        assert isinstance(node.op, DepthwiseConv2d)
        by = self.walk(node)
        whole = by.band == by.out[0]  # then a channel is read before it is written
        return {0: 0} if whole and node.inputs[0].shape == node.output.shape and by.window.strides == (1, 1) else {}
