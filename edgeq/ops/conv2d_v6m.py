"""conv2d kernels for Armv6-M."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._v6m import Stream, foldable, requant, stream, streamable
from edgeq.ops.conv2d import Conv2d, Conv2dKernel

SCRATCH = 2048  # bytes that windows and sums may take, if 32 taps at a time fit


class Conv2dV6mKernel(Conv2dKernel):
    """Windows of four pixels gathered as words of two pixels each: one multiplication gives two products."""

    function = "edgeq_conv2d_v6m"
    source = "edgeq_conv2d_v6m.c"
    params_type = "edgeq_conv2d_v6m_params"
    isa = "v6m"

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, Conv2d)
        return node.op.groups == 1 and foldable(node.op) and streamable(rows(node.op))

    @staticmethod
    def chunk(op: Conv2d) -> int:
        """Taps that are gathered at a time: all, or as many as leave room for the sums between chunks."""
        taps = op.weight[0].size + op.weight[0].size % 2
        if 8 * taps <= SCRATCH:
            return int(taps)
        most = max((SCRATCH - 16 * len(op.weight) - op.weight.shape[3]) // 8, 32)
        return int(2 * -(-taps // (2 * -(-taps // most))))

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        coded = packed(op)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": op.weight.shape[3], "out_c": len(op.weight), "taps": op.weight[0].size, "chunk": self.chunk(op),
            "pad_value": op.pad_value, "padded": int(op.window.padded),
            "weight": Array(np.frombuffer(coded.data, np.int8)), **requant(op, coded.groups),
        }  # fmt: skip

    def scratch(self, node: Node) -> int:
        op = node.op
        assert isinstance(op, Conv2d)
        chunk, taps = self.chunk(op), op.weight[0].size
        return int(8 * chunk + 16 * len(op.weight) * (chunk < taps) + op.weight.shape[3] * op.window.padded)

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)
        inputs, outputs = (np.zeros(t.shape[2], int) for t in (node.inputs[0], node.output))
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, 4)

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        coded, chunks = packed(op), -(-op.weight[0].size // self.chunk(op))
        channels = len(op.weight) * (95 + 50 * (chunks - 1))
        weights = 13 * coded.steps + 18 * int(coded.groups.sum()) + 10 * coded.skips
        rows, pieces = op.window.kernel[0] + chunks - 1, op.window.taps if op.window.padded else op.window.kernel[0]
        gather = 200 + 75 * chunks + 85 * rows + 80 * pieces + 13 * op.weight[0].size
        return float(-(-node.output.shape[0] * node.output.shape[1] // 4) * (channels + weights + gather))


def rows(op: Conv2d) -> np.ndarray:
    """(O, taps)."""
    return op.weight.reshape(len(op.weight), -1)


@lru_cache(maxsize=64)
def packed(op: Conv2d) -> Stream:
    """The weights as the kernel reads them."""
    return stream(rows(op), Conv2dV6mKernel.chunk(op))
