"""copy kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.copy import Copy, CopyKernel


class CopyMveKernel(CopyKernel):
    """16 bytes of a contiguous row at a time, four elements of any other."""

    function = "edgeq_copy_mve"
    source = "edgeq_copy_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Copy)
        row, step = node.op.walk.sizes[-1], node.op.walk.steps[-1]
        return 50 + node.output.elements / row * (23.0 + (3 * -(-row // 16) if step == 1 else 4 * -(-row // 4)))
