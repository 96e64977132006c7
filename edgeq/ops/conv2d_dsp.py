"""conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import channel_blocks, row_order
from edgeq.ops.conv2d import Conv2d, Conv2dKernel

TILE_SCRATCH = 2048  # bytes that a tile of pixels may take
TILE_PAIRS = 32  # of pixels; more gain next to nothing


class Conv2dDspKernel(Conv2dKernel):
    """Windows of two pixels expanded to int16, two channels by two pixels at a time."""

    function = "edgeq_conv2d_dsp"
    source = "edgeq_conv2d_dsp.c"
    params_type = "edgeq_conv2d_dsp_params"
    isa = "dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return op.groups == 1 and len(op.weight) > 1

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        steps, rest_steps = self.steps(op)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": op.weight.shape[3], "out_c": len(op.weight), "steps": steps, "rest_steps": rest_steps,
            "tile": self.tile(node),
            "pad_value": op.pad_value, "weight": Array(channel_blocks(row_order(op.weight), op.bias, op.shift, 2)),
            "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def tile(self, node: Node) -> int:
        """Pixels that are expanded before the channels are walked."""
        return 2

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)
        inputs, outputs = (np.zeros(t.shape[2], int) for t in (node.inputs[0], node.output))
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, self.tile(node))

    @staticmethod
    def steps(op: Conv2d) -> tuple[int, int]:
        """(Steps of four taps in a window, those of them for the rows' rests)."""
        _, rows, taps, channels = op.weight.shape
        whole, rest = divmod(taps * channels, 4)
        rest_steps = -(-rows * rest // 4)
        return rows * whole + rest_steps, rest_steps

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        steps, rest_steps = self.steps(node.op)
        return int(16 * steps + 8 * rest_steps + 2 * node.op.weight[0, 0].size)

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        pixels = node.output.shape[0] * node.output.shape[1]
        steps, _ = self.steps(op)
        return pixels * (50 + 15 * op.window.kernel[0] + 6.0 * steps) + self.product(node, steps)

    @staticmethod
    def product(node: Node, steps: int) -> float:
        """Instructions of all pixel and channel pairs."""
        blocks = -(-node.output.shape[0] * node.output.shape[1] // 2) * -(-node.output.shape[2] // 2)
        return blocks * (23 + 14.25 * steps)


class Conv1x1DspKernel(Conv2dDspKernel):
    """1x1 without padding."""

    function = "edgeq_conv2d_1x1_dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return super().supports(node) and op.window.kernel == (1, 1) and not op.window.padded

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Conv2d)
        steps, _ = self.steps(node.op)
        return node.output.shape[0] * node.output.shape[1] * (40 + 5.5 * steps) + self.product(node, steps)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 16 * self.steps(node.op)[0]


class Conv1x1TileDspKernel(Conv1x1DspKernel):
    """1x1 for many pixels and few inputs: weights are expanded too, once for a tile of pixels."""

    function = "edgeq_conv2d_1x1_tile_dsp"

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, Conv2d)
        pixels = node.output.shape[0] * node.output.shape[1]
        return super().supports(node) and self.steps(node.op)[0] <= 8 and pixels > 1

    def tile(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        steps, pixels = self.steps(node.op)[0], node.output.shape[0] * node.output.shape[1]
        pairs = -(-pixels // 2)
        most = min(TILE_SCRATCH // (16 * steps) - 1, TILE_PAIRS)
        tiles = max(-(-pairs // most), 1 + pixels % 2)  # an odd tile needs one before it
        return 2 * -(-pairs // tiles)

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Conv2d)
        pixels, steps = node.output.shape[0] * node.output.shape[1], self.steps(node.op)[0]
        pairs, tiles = -(-pixels // 2), -(-pixels // self.tile(node))
        walk = tiles * (60 + 8 * steps + 55) + pairs * (26 + 10 * steps)
        return tiles * 60 + pairs * (30 + 9 * steps) + -(-node.output.shape[2] // 2) * walk

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 8 * self.steps(node.op)[0] * (self.tile(node) + 2)
