"""add kernels for Armv7-M."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.add import AddKernel, AddOp


class AddV7mKernel(AddKernel):
    """Four elements at a time."""

    function = "edgeq_add_v7m"
    source = "edgeq_add_v7m.c"
    isa = "v7m"

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, AddOp)
        return 40 + (8.5 + 11 * ((op.lo, op.hi) != (-128, 127))) * node.output.elements
