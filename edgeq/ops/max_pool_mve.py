"""max_pool kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.max_pool import MaxPoolKernel, MaxPoolOp


class MaxPoolMveKernel(MaxPoolKernel):
    """16 channels at a time."""

    function = "edgeq_max_pool_mve"
    source = "edgeq_max_pool_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, MaxPoolOp)
        h, w, channels = node.output.shape
        taps, rows = node.op.window.taps, node.op.window.kernel[0]
        return float(h * w * (70 + -(-channels // 16) * (7 + 8 * rows + 6 * taps)))
