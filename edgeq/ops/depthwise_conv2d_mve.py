"""depthwise_conv2d kernels for Helium."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node, Shape
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._mve import LANES, in_rows, lane_order, tap_groups
from edgeq.ops._pool import taps_inside
from edgeq.ops._window import Window
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel


def geometry(node: Node) -> tuple[Window, Shape, Shape]:
    """Window, input shape and output shape as the kernel sees them."""
    assert isinstance(node.op, DepthwiseConv2d)
    return in_rows(node.op.window, node.inputs[0].shape, node.output.shape)


def inner_pixels(window: Window, inputs: Shape) -> np.ndarray:
    """(4,) int16: the first output row, the end of the rows, and the same of the columns, whose windows are inside."""
    rows, columns = np.nonzero(taps_inside(window, inputs[:2]) == window.taps)
    ends = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1] if rows.size else [0, 0, 0, 0]
    return np.array(ends, np.int16)


def in_lanes(x: np.ndarray, blocks: int, pixels: int = 1) -> np.ndarray:
    """(channels, n) -> (blocks, n, 16): the channels of so many pixels, filled up with zeros."""
    full = np.zeros((blocks * LANES, x.shape[1]), x.dtype)
    full[: pixels * len(x)] = np.tile(x, (pixels, 1))
    return np.ascontiguousarray(full.reshape(blocks, LANES, -1).transpose(0, 2, 1))


class DepthwiseMveKernel(DepthwiseKernel):
    """16 channels at a time, or neighbouring pixels of few channels; taps in groups whose sums fit 16 bits."""

    function = "edgeq_depthwise_conv2d_mve"
    source = "edgeq_depthwise_conv2d_mve.c"
    params_type = "edgeq_depthwise_conv2d_mve_params"
    isa = "mve"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.inputs[0].shape[2] == node.output.shape[2] and node.op.window.taps <= 64

    def pixels(self, node: Node) -> int:
        """Pixels that share a vector."""
        channels = node.output.shape[2]
        return LANES // channels if channels in (1, 2, 4, 8) and geometry(node)[0].strides[1] == 1 else 1

    def has_nine(self, node: Node, groups: list[int]) -> bool:
        """Whether there is code of its own for the groups, of whole vectors."""
        return groups in ([3, 0, 0], [2, 1, 1]) and self.pixels(node) * node.output.shape[2] % LANES == 0

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        (w, inputs, output), pixels = geometry(node), self.pixels(node)
        _, in_w, channels = inputs
        flat = op.weight.reshape(channels, w.taps)
        order, groups = tap_groups(flat)
        at = np.array([(t // w.kernel[1] * w.dilations[0], t % w.kernel[1] * w.dilations[1]) for t in order], np.int16)
        blocks = -(-pixels * channels // LANES)
        requant = in_lanes(np.stack([op.bias, -op.shift.astype(np.int32)], 1), blocks, pixels)
        return {
            "window": w.params(inputs, output), "in_c": channels, "taps": w.taps, "pixels": pixels,
            "nine": int(self.has_nine(node, groups)), "groups": Array(np.array(groups, np.int16)),
            "inner": Array(inner_pixels(w, inputs)), "pad_value": op.pad_value, "padded": int(w.padded),
            "at": Array(np.ascontiguousarray(at.T)),
            "offset": Array((at.astype(np.int32) @ [in_w, 1] * channels).astype(np.int32)),
            "weight": Array(in_lanes(flat[:, order], blocks, pixels)),
            "requant": Array(np.ascontiguousarray(requant[:, :, lane_order()])), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        op, pixels = node.op, self.pixels(node)
        assert isinstance(op, DepthwiseConv2d)
        window, inputs, (h, w, channels) = geometry(node)
        taps, blocks = window.taps, -(-channels // LANES)
        groups = tap_groups(op.weight.reshape(channels, taps))[1]
        inner = int((taps_inside(window, inputs[:2]) == taps).sum())
        block = 29 + float(np.dot(groups, (33, 23, 15)))
        each, border = 45 + 1.5 * taps, 50 + 4 * taps
        if self.has_nine(node, groups):
            each, block = 13, block - 29
        return 60 + h * 80 + inner / pixels * (each + -(-channels * pixels // LANES) * block) + (h * w - inner) * (
            border + blocks * block)  # fmt: skip

    def access(self, node: Node) -> Access:
        window, inputs, outputs = geometry(node)  # a row is read again for each block of channels
        return windowed(window, inputs, np.ones(inputs[2], int), np.zeros(outputs[2], int), outputs[1])

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.output.shape[2] if node.op.window.padded else 0


class DepthwiseAnyMveKernel(DepthwiseKernel):
    """What the other cannot: several output channels of an input channel, more than 64 taps. 16 outputs at a time."""

    function = "edgeq_depthwise_conv2d_any_mve"
    source = "edgeq_depthwise_conv2d_mve.c"
    params_type = "edgeq_depthwise_conv2d_any_mve_params"
    isa = "mve"
    block = LANES

    def supports(self, node: Node) -> bool:
        return not DepthwiseMveKernel().supports(node)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        in_c, out_c = node.inputs[0].shape[2], node.output.shape[2]
        blocks = -(-out_c // LANES)
        channel = np.minimum(np.arange(blocks * LANES) // (out_c // in_c), in_c - 1).reshape(blocks, LANES)
        requant = in_lanes(np.stack([op.bias, -op.shift.astype(np.int32)], 1), blocks)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": in_c, "out_c": out_c, "pad_value": op.pad_value, "first": Array(channel[:, 0].astype(np.int16)),
            "channel": Array((channel - channel[:, :1]).astype(np.uint8)),
            "weight": Array(in_lanes(op.weight.reshape(out_c, -1), blocks)),
            "requant": Array(np.ascontiguousarray(requant[:, :, lane_order()])), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, channels = node.output.shape
        return h * w * (18.0 + -(-channels // LANES) * (128 + 26 * node.op.window.taps))
