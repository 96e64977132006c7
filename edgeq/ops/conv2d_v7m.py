"""conv2d kernels for Armv7-M."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._v7m import STEP, Groups, groups, less_halves
from edgeq.ops.conv2d import Conv2d, Conv2dKernel

TILE = 4  # pixels
MAX_STEPS = 16  # in a group
MAX_SKIPPED = 255  # steps
PART_SCRATCH = 2048  # bytes that parts of a kernel may take with the sums of all channels, if one position fits at all


class Conv2dV7mKernel(Conv2dKernel):
    """Windows of four pixels packed by twos into words; then for each channel one multiplication for two pixels."""

    function = "edgeq_conv2d_v7m"
    source = "edgeq_conv2d_v7m.c"
    params_type = "edgeq_conv2d_v7m_params"
    isa = "v7m"
    skips: ClassVar[bool] = False  # whether zeros are left out
    group_cost: ClassVar[int] = 8  # instructions of a group beside 7 for each step

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, Conv2d)
        return node.op.groups == 1 and not Conv2dPartsV7mKernel.preferred(node.op)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        w, (height, width, channels), parts = op.window, node.inputs[0].shape, self.parts(op)
        bias = less_halves(op.bias, np.sum([part.count for part in parts], 0))
        return {
            "window": w.params((height, width, channels), node.output.shape),
            "in_c": channels, "out_c": len(op.weight), "part": self.part(op),
            "inside_h": max(height - w.reach[0] + 1, 0),
            "inside_w": max(width - w.reach[1] + 1, 0) if w.dilations[1] == 1 else 0,
            "pad": Array(np.full(channels, op.pad_value, np.int8)) if w.padded else 0,
            "weight": Array(np.frombuffer(self.packed(op, parts, bias), np.uint8)),
            **self.requantization(op, bias), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    @staticmethod
    def part(op: Conv2d) -> int:
        """Positions of the kernel at a time."""
        return op.window.taps

    def parts(self, op: Conv2d) -> list[Groups]:
        """The taps of each part."""
        taps = op.weight.reshape(len(op.weight), -1)
        return [groups(np.pad(taps, ((0, 0), (0, -taps.shape[1] % STEP))), MAX_STEPS, self.skips)]

    def packed(self, op: Conv2d, parts: list[Groups], bias: np.ndarray) -> bytes:
        """The field weight."""
        last = len(op.weight) - 1
        return b"".join(
            bias[o].tobytes() + parts[0].packed(o, self.skips) + bytes([int(op.shift[o]) * 2 + (o == last)])
            for o in range(len(op.weight))
        )

    def requantization(self, op: Conv2d, bias: np.ndarray) -> Params:
        """The fields bias and shift, where they are not in weight."""
        return {"bias": 0, "shift": 0}

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        tiles = -(-node.output.shape[0] * node.output.shape[1] // TILE)
        parts = self.parts(op)
        count = sum(int(part.count.sum()) for part in parts)
        steps = sum(int((np.flatnonzero(part.ends) - np.flatnonzero(part.begins) + 1).sum()) for part in parts)
        gather = 120 + 45 * op.window.kernel[0] + 9 * op.weight[0].size
        return tiles * (gather + 7 * steps + self.group_cost * count + self.channel_cost(op) * len(op.weight))

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)
        inputs, outputs = (np.zeros(t.shape[2], int) for t in (node.inputs[0], node.output))
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, TILE)

    def channel_cost(self, op: Conv2d) -> float:
        """Instructions for a channel of four pixels beside those of its groups."""
        return 24

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 16 * -(-node.op.weight[0].size // STEP)


class Conv2dSparseV7mKernel(Conv2dV7mKernel):
    """The same without most zeros among the weights."""

    function = "edgeq_conv2d_sparse_v7m"
    skips = True
    group_cost = 10

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, Conv2d)
        return super().supports(node) and node.op.weight[0].size <= STEP * MAX_SKIPPED


class Conv2dPartsV7mKernel(Conv2dV7mKernel):
    """For large kernels: a part of the taps at a time, with the sums of all channels in scratch."""

    function = "edgeq_conv2d_parts_v7m"
    group_cost = 9

    @staticmethod
    def preferred(op: Conv2d) -> bool:
        """Whether the whole kernel would take too much scratch."""
        return op.window.taps > 1 and 8 * op.weight[0].size > PART_SCRATCH

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, Conv2d)
        return node.op.groups == 1 and self.preferred(node.op)

    @staticmethod
    def part(op: Conv2d) -> int:
        outputs, _, columns, channels = op.weight.shape
        most = max((PART_SCRATCH - 16 * outputs) // (8 * channels), 1)
        if most >= columns:
            most -= most % columns
        return min(most, op.window.taps)

    def parts(self, op: Conv2d) -> list[Groups]:
        step = self.part(op) * op.weight.shape[3]
        taps = op.weight.reshape(len(op.weight), -1)
        parts = [taps[:, at : at + step] for at in range(0, taps.shape[1], step)]
        return [groups(np.pad(part, ((0, 0), (0, -part.shape[1] % (2 * STEP)))), 8).paired() for part in parts]

    def packed(self, op: Conv2d, parts: list[Groups], bias: np.ndarray) -> bytes:
        return b"".join(part.packed_pairs(o) for part in parts for o in range(len(op.weight)))

    def requantization(self, op: Conv2d, bias: np.ndarray) -> Params:
        return {"bias": Array(bias), "shift": Array(op.shift)}

    def channel_cost(self, op: Conv2d) -> float:
        return 40 + 10 * len(self.parts(op))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return 16 * len(node.op.weight) + 32 * -(-self.part(node.op) * node.op.weight.shape[3] // (2 * STEP))
