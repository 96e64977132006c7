"""conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import channel_pairs, row_order
from edgeq.ops.conv2d import Conv2d, Conv2dKernel

SCRATCH = 2048  # bytes above which a window is expanded in parts
LANES = 3  # pixels at a time


def splits(op: Conv2d) -> bool:
    """Whether Conv2dSplitDspKernel can run it."""
    return op.groups == 1 and len(op.weight) % 2 == 0 and op.weight.shape[3] % 4 == 0 and op.window.taps > 1


class Conv2dDspKernel(Conv2dKernel):
    """Windows of three pixels expanded to int16, two channels by three pixels at a time."""

    function = "edgeq_conv2d_dsp"
    source = "edgeq_conv2d_dsp.c"
    params_type = "edgeq_conv2d_dsp_params"
    isa = "dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return op.groups == 1 and len(op.weight) > 1 and (self.scratch(node) <= SCRATCH or not splits(op))

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        steps, rest_steps = self.steps(op)
        part = self.part(op)
        parts = op.window.taps // part
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": op.weight.shape[3], "out_c": len(op.weight), "steps": steps // parts, "rest_steps": rest_steps,
            "part": part, "pad_value": op.pad_value,
            "weight": Array(channel_pairs(row_order(op.weight), op.bias, op.shift, parts)), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    @staticmethod
    def part(op: Conv2d) -> int:
        """Taps that are expanded at a time."""
        return op.window.taps

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)
        inputs, outputs = (np.zeros(t.shape[2], int) for t in (node.inputs[0], node.output))
        pixel = np.arange(node.output.shape[0] * node.output.shape[1])
        whole = pixel.size // LANES * LANES  # pixels; the others are walked one by one
        group = np.where(pixel < whole, pixel // LANES, pixel)
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, group)

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
        return int(8 * LANES * steps + 4 * rest_steps + -(-node.op.weight[0].size // 4) * 4)

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        pixels = node.output.shape[0] * node.output.shape[1]
        steps, _ = self.steps(op)
        return pixels * (60 + 16 * op.window.kernel[0] + 6.0 * steps) + self.product(node, steps)

    @staticmethod
    def product(node: Node, steps: int) -> float:
        """Instructions of all pixels by two channels."""
        groups, alone = divmod(node.output.shape[0] * node.output.shape[1], LANES)
        return -(-node.output.shape[2] // 2) * (groups * (36 + 20.6 * steps) + alone * (15 + 14 * steps))


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
        return node.output.shape[0] * node.output.shape[1] * (30 + 6 * steps) + self.product(node, steps)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 8 * LANES * self.steps(node.op)[0]


class Conv2dSplitDspKernel(Conv2dDspKernel):
    """Large windows: a part of the taps at a time, with sums kept in scratch."""

    function = "edgeq_conv2d_split_dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return splits(op)

    @staticmethod
    def part(op: Conv2d) -> int:
        room = SCRATCH - 4 * LANES * len(op.weight)
        taps, channels = op.window.taps, op.weight.shape[3]
        fit = [n for n in range(1, taps) if taps % n == 0 and 2 * LANES * n * channels <= room]
        return max(fit, default=1)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return int(2 * LANES * self.part(node.op) * node.op.weight.shape[3] + 4 * LANES * len(node.op.weight))

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        pixels = node.output.shape[0] * node.output.shape[1]
        return super().cost(node) + pixels * 30 * op.window.taps
