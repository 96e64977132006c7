"""depthwise_conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access
from edgeq.ops._base import Array, Params
from edgeq.ops._window import Window
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel

SCRATCH = 2048  # bytes that a band of planes may take, if three lines fit at all


@dataclass(frozen=True)
class Planes:
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
        """Lines of a band's planes."""
        return (self.band - 1) * self.window.strides[0] + 3

    @property
    def cost(self) -> float:
        """Estimated instructions for two channels."""
        (rows, columns), stride = self.out, self.window.strides[1]
        bands = -(-rows // self.band)
        filled = (rows - 1) * self.window.strides[0] + 3 + (bands - 1) * max(3 - self.window.strides[0], 0)
        fill = filled * (30 + 4.75 * self.line)
        return bands * 130 + fill + 2 * rows * (16 + (29 + stride / 2) * (columns // 2) + 18 * (columns % 2))


def planes(window: Window, size: tuple[int, int], transposed: bool) -> Planes:
    """The walk over an input of (H, W), along its columns where `transposed`."""
    if transposed:
        (top, left, bottom, right), (sh, sw) = window.pads, window.strides
        window = Window(window.kernel, (sw, sh), (1, 1), (left, top, right, bottom))
        size = size[1], size[0]
    rows, columns = window.out_size(size)
    line = -(-columns // 2) * window.strides[1] + 1
    lines = max(SCRATCH // (8 * line), 3)
    return Planes(window, size, transposed, min((lines - 3) // window.strides[0] + 1, rows), line)


class Depthwise3x3DspKernel(DepthwiseKernel):
    """3x3, two channels at a time as planes of int16 in scratch, two outputs at a time."""

    function = "edgeq_depthwise_conv2d_3x3_dsp"
    source = "edgeq_depthwise_conv2d_dsp.c"
    params_type = "edgeq_depthwise_conv2d_dsp_params"
    isa = "dsp"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        w, channels = node.op.window, node.inputs[0].shape[2]
        return (w.kernel, w.dilations) == ((3, 3), (1, 1)) and max(w.strides) <= 2 and channels == node.output.shape[2] > 1

    @staticmethod
    def planes(node: Node) -> Planes:
        """The cheaper walk."""
        assert isinstance(node.op, DepthwiseConv2d)
        size = node.inputs[0].shape[:2]
        walks = [planes(node.op.window, (size[0], size[1]), transposed) for transposed in (False, True)]
        return min(walks, key=lambda w: w.cost)

    def params(self, node: Node) -> Params:
        op, walk = node.op, self.planes(node)
        assert isinstance(op, DepthwiseConv2d)
        channels = len(op.weight)
        taps = op.weight[..., 0].transpose(0, 2, 1) if walk.transposed else op.weight[..., 0]
        in_steps = (node.inputs[0].shape[1] * channels, channels)
        out_steps = (node.output.shape[1] * channels, channels)
        if walk.transposed:
            in_steps, out_steps = in_steps[::-1], out_steps[::-1]
        return {
            "window": walk.window.params((*walk.size, channels), (*walk.out, channels)),
            "channels": channels, "band": walk.band, "line": walk.line, "pad_value": op.pad_value,
            "in_row": in_steps[0], "in_column": in_steps[1], "out_row": out_steps[0], "out_column": out_steps[1],
            "weight": Array(np.ascontiguousarray(taps)), **op.requant_params(),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return self.planes(node).cost * -(-node.output.shape[2] // 2)

    def scratch(self, node: Node) -> int:
        walk = self.planes(node)
        return 8 * walk.line * walk.lines

    def access(self, node: Node) -> Access | None:
        if self.planes(node).band != self.planes(node).out[0]:
            return None
        writes = np.arange(node.output.shape[2]) // 2  # channels by twos: their planes are copied, then they are written
        reads = np.concatenate([writes[:-2], writes[-1:], writes[-1:]])  # the last two together, whatever the number
        reads, writes = (np.broadcast_to(a, t.shape).ravel() for a, t in ((reads, node.inputs[0]), (writes, node.output)))
        return Access({0: reads}, writes)
