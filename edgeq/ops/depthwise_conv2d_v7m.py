"""depthwise_conv2d kernels for Armv7-M."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._planes import SCRATCH, Walk, banded, exchanged, is_3x3, walk_params, walks
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel

BLOCK = 4  # channels


class V7mWalk(Walk):
    """A channel's lines are words."""

    @property
    def line(self) -> int:
        """Words of a line."""
        return (self.out[1] - 1) * self.window.strides[1] + 3

    @property
    def band(self) -> int:
        lines = max(SCRATCH // (4 * self.line), 3)
        return min((lines - 3) // self.window.strides[0] + 1, self.out[0])

    @property
    def tile(self) -> int:
        """Outputs at a time."""
        columns = self.out[1]
        if self.window.strides[1] == 2:
            return 2
        return 3 if columns % 4 >= 2 and columns % 3 == 0 else 4

    @property
    def cost(self) -> float:
        """Estimated instructions for a channel."""
        rows, columns = self.out
        instructions = {2: 48, 3: 60, 4: 71}[self.tile]
        bands = -(-rows // self.band)
        filled = self.size[0] + (bands - 1) * max(3 - self.window.strides[0], 0)
        fill = filled * (10 + 2.1 * self.size[1])
        return bands * 80 + fill + rows * (24 + columns // self.tile * instructions + 33 * (columns % self.tile))


class Depthwise3x3V7mKernel(DepthwiseKernel):
    """3x3, a channel at a time as a plane of words in scratch, four outputs at a time, or two with stride 2."""

    function = "edgeq_depthwise_conv2d_3x3_v7m"
    source = "edgeq_depthwise_conv2d_v7m.c"
    params_type = "edgeq_depthwise_conv2d_3x3_v7m_params"
    isa = "v7m"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        return is_3x3(node)

    @staticmethod
    def walk(node: Node) -> V7mWalk:
        """The cheaper walk."""
        return min((V7mWalk(*fields) for fields in walks(node)), key=lambda w: w.cost)

    def params(self, node: Node) -> Params:
        walk = self.walk(node)
        assert isinstance(node.op, DepthwiseConv2d)
        return {**walk_params(node, walk), "line": walk.line, "tile": walk.tile, **node.op.requant_params()}

    def cost(self, node: Node) -> float:
        return self.walk(node).cost * node.output.shape[2]

    def scratch(self, node: Node) -> int:
        walk = self.walk(node)
        return 4 * walk.line * walk.lines

    def access(self, node: Node) -> Access:
        channels = np.arange(node.output.shape[2])
        return banded(node, self.walk(node), channels, channels)


class DepthwiseV7mKernel(DepthwiseKernel):
    """Any window, four channels at a time."""

    function = "edgeq_depthwise_conv2d_v7m"
    source = "edgeq_depthwise_conv2d_v7m.c"
    params_type = "edgeq_depthwise_conv2d_v7m_params"
    isa = "v7m"

    def supports(self, node: Node) -> bool:
        return BLOCK <= node.inputs[0].shape[2] == node.output.shape[2]

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        channels = len(op.weight)
        taps = op.weight.reshape(channels, -1)
        firsts = [min(at, channels - BLOCK) for at in range(0, channels, BLOCK)]
        window, size, out = op.window, node.inputs[0].shape, node.output.shape
        if self.column(node):
            window, size, out = exchanged(window), (1, size[0], channels), (1, out[0], channels)
        return {
            "window": window.params(size, out), "channels": channels,
            "pad": Array(np.full(BLOCK, op.pad_value, np.int8)) if op.window.padded else 0,
            "weight": Array(np.concatenate([taps[at : at + BLOCK].T for at in firsts])), **op.requant_params(),
        }  # fmt: skip

    @staticmethod
    def column(node: Node) -> bool:
        """Whether the input is a column under a window of one, which is walked as a row."""
        assert isinstance(node.op, DepthwiseConv2d)
        return node.inputs[0].shape[1] == node.output.shape[1] == node.op.window.kernel[1] == 1

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        w = node.op.window
        rows = 1 if self.column(node) else w.kernel[0]
        block = 76 + 62 * rows + 16 * w.taps
        return node.output.shape[0] * node.output.shape[1] * (30 + -(-len(node.op.weight) // BLOCK) * block)

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, DepthwiseConv2d)
        writes = np.arange(node.output.shape[2]) // BLOCK
        reads = writes.copy()
        reads[-BLOCK:] = writes[-1]  # once more, where they are written once more
        return windowed(node.op.window, node.inputs[0].shape, reads, writes)
