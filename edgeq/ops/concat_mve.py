"""concat kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.concat import ConcatKernel, ConcatOp


class ConcatMveKernel(ConcatKernel):
    """16 bytes at a time."""

    function = "edgeq_concat_mve"
    source = "edgeq_concat_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, ConcatOp)
        return sum(25 + node.op.rows * (7.0 + 3 * -(-width // 16)) for width in node.op.widths)
