"""avg_pool kernels for Armv7-M."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.avg_pool import AvgPoolKernel, AvgPoolOp


class AvgPoolV7mKernel(AvgPoolKernel):
    """Four channels at a time."""

    function = "edgeq_avg_pool_v7m"
    source = "edgeq_avg_pool_v7m.c"
    isa = "v7m"
    block = 4

    def supports(self, node: Node) -> bool:
        return super().supports(node) and node.inputs[0].shape[2] % 4 == 0

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, AvgPoolOp)
        rows, columns = node.op.window.kernel
        pixels = node.output.shape[0] * node.output.shape[1]
        return pixels * (60 + 9 * columns) + node.output.elements * (20 + rows * (2 + 2.75 * columns))
