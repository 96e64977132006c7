"""depthwise_conv2d kernels for Armv6-M."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._planes import SCRATCH, Walk, banded, is_3x3, walk_params, walks
from edgeq.ops._v6m import clamp_params, foldable, folded_bias
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel


class V6mWalk(Walk):
    """A channel's lines are words."""

    @property
    def line(self) -> int:
        """Words of a line."""
        return max((-(-self.out[1] // 2) * 2 - 1) * self.window.strides[1] + 3, self.window.pads[1] + self.size[1])

    @property
    def band(self) -> int:
        rows = self.out[0]
        most = max((SCRATCH // (4 * self.line) - 3) // self.window.strides[0] + 1, 1)
        return -(-rows // -(-rows // most))

    @property
    def cost(self) -> float:
        """Estimated instructions for a channel."""
        (rows, columns), (down, stride) = self.out, self.window.strides
        bands = -(-rows // self.band)
        filled = (rows - 1) * down + 3 + (bands - 1) * max(3 - down, 0)
        return bands * 110 + filled * (35 + 3.5 * self.size[1]) + rows * (18 + (81 + stride) * -(-columns // 2))


class DepthwiseV6mKernel(DepthwiseKernel):
    """Four pixels at a time, read where they are through pointers to their taps."""

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

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, DepthwiseConv2d)
        channels = np.arange(node.output.shape[2])  # of four pixels, which are written one by one, the last perhaps again
        return windowed(node.op.window, node.inputs[0].shape, 2 * channels + 1, 2 * channels, 4)


class Depthwise3x3V6mKernel(DepthwiseV6mKernel):
    """3x3, a channel at a time as a plane of int32 in scratch, two outputs at a time."""

    function = "edgeq_depthwise_conv2d_3x3_v6m"
    source = "edgeq_depthwise_conv2d_3x3_v6m.c"
    params_type = "edgeq_depthwise_conv2d_3x3_v6m_params"

    def supports(self, node: Node) -> bool:
        return super().supports(node) and is_3x3(node)

    @staticmethod
    def walk(node: Node) -> V6mWalk:
        """The cheaper walk."""
        return min((V6mWalk(*fields) for fields in walks(node)), key=lambda w: w.cost)

    def params(self, node: Node) -> Params:
        op, walk = node.op, self.walk(node)
        assert isinstance(op, DepthwiseConv2d)
        return {
            **walk_params(node, walk), "line": walk.line, "bias": Array(folded_bias(op).astype(np.int32)),
            "shift": Array(op.shift), **clamp_params(op),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return self.walk(node).cost * node.output.shape[2]

    def scratch(self, node: Node) -> int:
        walk = self.walk(node)
        return 4 * walk.line * walk.lines

    def access(self, node: Node) -> Access:
        channels = np.arange(node.output.shape[2])
        return banded(node, self.walk(node), channels, channels)
