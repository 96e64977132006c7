"""avg_pool kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.avg_pool import AvgPoolCountedKernel, AvgPoolKernel, AvgPoolOp


class AvgPoolMveKernel(AvgPoolKernel):
    """One divisor. Four channels at a time."""

    function = "edgeq_avg_pool_mve"
    source = "edgeq_avg_pool_mve.c"
    isa = "mve"
    block = 4

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, AvgPoolOp)
        h, w, channels = node.output.shape
        taps, rows = node.op.window.taps, node.op.window.kernel[0]
        return float(h * w * (50 + 6 * (rows + node.op.window.kernel[1]) + -(-channels // 4) * (20 + 8 * rows + 5 * taps)))


class AvgPoolCountedMveKernel(AvgPoolCountedKernel):
    """A divisor per number of taps inside the border. Four channels at a time."""

    function = "edgeq_avg_pool_counted_mve"
    source = "edgeq_avg_pool_mve.c"
    isa = "mve"
    block = 4

    def cost(self, node: Node) -> float:
        return AvgPoolMveKernel().cost(node) + 45.0 * node.output.shape[0] * node.output.shape[1]
