"""depthwise_conv2d kernels for Helium."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._mve import LANES, lane_order, tap_groups
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d, DepthwiseKernel


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
        assert isinstance(node.op, DepthwiseConv2d)
        channels = node.output.shape[2]
        return LANES // channels if channels in (1, 2, 4, 8) and node.op.window.strides[1] == 1 else 1

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        _, in_w, channels = node.inputs[0].shape
        w, pixels = op.window, self.pixels(node)
        flat = op.weight.reshape(channels, w.taps)
        order, groups = tap_groups(flat)
        at = np.array([(t // w.kernel[1] * w.dilations[0], t % w.kernel[1] * w.dilations[1]) for t in order], np.int16)
        blocks = -(-pixels * channels // LANES)

        def lanes(x: np.ndarray) -> np.ndarray:
            """(C, n) -> (blocks, n, 16)."""
            full = np.zeros((blocks * LANES, x.shape[1]), x.dtype)
            full[: pixels * channels] = np.tile(x, (pixels, 1))
            return np.ascontiguousarray(full.reshape(blocks, LANES, -1).transpose(0, 2, 1))

        requant = lanes(np.stack([op.bias, -op.shift.astype(np.int32)], 1))
        return {
            "window": w.params(node.inputs[0].shape, node.output.shape),
            "in_c": channels, "taps": w.taps, "pixels": pixels, "groups": Array(np.array(groups, np.int16)),
            "pad_value": op.pad_value, "padded": int(w.padded),
            "at": Array(at), "offset": Array((at.astype(np.int32) @ [in_w, 1] * channels).astype(np.int32)),
            "weight": Array(lanes(flat[:, order])),
            "requant": Array(np.ascontiguousarray(requant[:, :, lane_order()])), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, channels = node.output.shape
        taps, pixels = node.op.window.taps, self.pixels(node)
        block = 30 + 10.5 * taps
        return h * w * ((60 + 4 * taps) / pixels + -(-channels * pixels // LANES) * block / pixels)

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, DepthwiseConv2d)  # a row is read again for each block of channels
        inputs, outputs = np.ones(node.inputs[0].shape[2], int), np.zeros(node.output.shape[2], int)
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, node.output.shape[1])

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.output.shape[2] if node.op.window.padded else 0
