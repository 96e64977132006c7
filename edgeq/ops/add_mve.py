"""add kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops._mve import rows_cost
from edgeq.ops.add import AddBroadcastKernel, AddConstKernel, AddKernel, AddOp


class AddMveKernel(AddKernel):
    """Four elements at a time."""

    function = "edgeq_add_mve"
    source = "edgeq_add_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return 30 + 2.5 * node.output.elements


class Add16MveKernel(AddMveKernel):
    """Eight elements at a time, where the sums fit 16 bits."""

    function = "edgeq_add_16_mve"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, AddOp)
        return op.flat and (abs(op.m1) + abs(op.m2)) * 128 + abs(op.bias) < 2**15 and op.shift < 16

    def cost(self, node: Node) -> float:
        return 30 + 1.15 * node.output.elements


class AddBroadcastMveKernel(AddBroadcastKernel):
    """Rows of up to four nested loops, four elements at a time."""

    function = "edgeq_add_broadcast_mve"
    source = "edgeq_add_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return rows_cost(node, 10)


class AddConstMveKernel(AddConstKernel):
    """The same with the constant from the params."""

    function = "edgeq_add_const_mve"
    source = "edgeq_add_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return rows_cost(node, 10)
