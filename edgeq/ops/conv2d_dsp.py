"""conv2d kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import FINAL, PART, blocks, fits, joined, joins, row_order, runs
from edgeq.ops.conv2d import Conv2d, Conv2dKernel

SCRATCH = 2048  # bytes above which a window is expanded in parts
LANES = 3  # pixels at a time


def splits(op: Conv2d) -> bool:
    """Whether Conv2dSplitDspKernel can run it, as far as shapes go."""
    return op.groups == 1 and len(op.weight) % 2 == 0 and op.weight.shape[3] % 4 == 0


def windows_inside(node: Node) -> int:
    """Pixels of the output whose windows lie inside the input, each row's taps side by side."""
    op, count = node.op, 1
    assert isinstance(op, Conv2d)
    for axis, outs in enumerate(node.output.shape[:2]):
        begin = np.arange(outs) * op.window.strides[axis] - op.window.pads[axis]
        count *= int(np.sum((begin >= 0) & (begin + op.window.reach[axis] <= node.inputs[0].shape[axis])))
    return count if op.window.dilations[1] == 1 else 0


class Conv2dDspKernel(Conv2dKernel):
    """Windows of three pixels expanded to int16, two channels by three pixels at a time."""

    function = "edgeq_conv2d_dsp"
    source = "edgeq_conv2d_dsp.c"
    params_type = "edgeq_conv2d_dsp_params"
    isa = "dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        if op.groups > 1 or len(op.weight) < 2 or not joins(row_order(op.weight), op.bias, op.shift):
            return False
        return self.scratch(node) <= SCRATCH or op.window.taps == 1 or not splits(op)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        (steps, rest_steps), part = self.steps(op), self.part(op)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": op.weight.shape[3], "out_c": len(op.weight),
            "steps": steps * part // op.window.taps, "rest_steps": rest_steps, "part": part, "pad_value": op.pad_value,
            "weight": Array(np.concatenate(self.packed(op))), "bias": self.bias(op), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    @staticmethod
    def part(op: Conv2d) -> int:
        """Taps that are expanded at a time."""
        return op.window.taps

    def packed(self, op: Conv2d) -> list[np.ndarray]:
        """The field weight, run by run."""
        return [joined(run, 2, row_order(op.weight), op.bias, op.shift) for run in runs(len(op.weight), 2)]

    def bias(self, op: Conv2d) -> int | Array:
        """The field bias, where biases are not in weight."""
        return 0

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
        (steps, rest_steps), (rows, columns) = self.steps(op), op.window.kernel
        pixels = node.output.shape[0] * node.output.shape[1]
        copies = rows if op.window.dilations[1] == 1 else rows * columns  # of neighbours, where a window is not inside
        expand = pixels * (56 + 7.5 * rows + 6.5 * steps + 13 * rest_steps)
        return expand + (pixels - windows_inside(node)) * (41 * copies + 10 * steps) + self.product(node, steps)

    @staticmethod
    def groups(node: Node) -> tuple[int, int]:
        """(Groups of three pixels, pixels alone)."""
        return divmod(node.output.shape[0] * node.output.shape[1], LANES)

    def product(self, node: Node, steps: int) -> float:
        """Instructions of all pixels by two channels."""
        groups, alone = self.groups(node)
        return -(-node.output.shape[2] // 2) * (groups * (33 + 17.2 * steps) + alone * (24 + 13 * steps))


class Conv1x1DspKernel(Conv2dDspKernel):
    """1x1 without padding."""

    function = "edgeq_conv2d_1x1_dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return super().supports(node) and op.window.kernel == (1, 1) and not op.window.padded

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Conv2d)
        (steps, _), (groups, alone) = self.steps(node.op), self.groups(node)
        return groups * (90 + 18 * steps) + alone * (60 + 6.5 * steps) + self.product(node, steps)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 8 * LANES * self.steps(node.op)[0]


class Conv2dSplitDspKernel(Conv2dDspKernel):
    """Large windows: a part of the taps at a time, with sums kept in scratch. And accumulators of any size."""

    function = "edgeq_conv2d_split_dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return splits(op) and (op.window.taps > 1 or self.scratch(node) <= SCRATCH) and fits(self.parts(op))

    @staticmethod
    def part(op: Conv2d) -> int:
        room = SCRATCH - 4 * LANES * len(op.weight)
        taps, channels = op.window.taps, op.weight.shape[3]
        fit = [n for n in range(1, taps) if taps % n == 0 and 2 * LANES * n * channels <= room]
        return max(fit, default=1)

    def packed(self, op: Conv2d) -> list[np.ndarray]:
        *parts, last = self.parts(op)
        marked = [*((part, PART) for part in parts), (last, PART + FINAL)]
        run, no_bias = range(0, len(op.weight), 2), np.zeros(0, np.int32)
        return [blocks(run, 2, part, no_bias, op.shift, marks=marks) for part, marks in marked]

    def parts(self, op: Conv2d) -> list[np.ndarray]:
        """The (O, taps) weights of each part."""
        return np.split(row_order(op.weight), op.window.taps // self.part(op), axis=1)

    def bias(self, op: Conv2d) -> int | Array:
        return Array(op.bias)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return int(2 * LANES * self.part(node.op) * node.op.weight.shape[3] + 4 * LANES * len(node.op.weight))

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        steps, groups, outputs = self.steps(op)[0], sum(self.groups(node)), len(op.weight)
        product = outputs // 2 * (40 * len(self.parts(op)) + 17.2 * steps)
        return groups * (240 + 12 * outputs + LANES * (50 * op.window.taps + 5.4 * steps) + product)
