"""mul kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops._mve import rows_cost
from edgeq.ops.mul import MulBroadcastKernel, MulConstKernel, MulKernel


class MulMveKernel(MulKernel):
    """Four elements at a time."""

    function = "edgeq_mul_mve"
    source = "edgeq_mul_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return 30 + 2.75 * node.output.elements


class MulBroadcastMveKernel(MulBroadcastKernel):
    """Rows of up to four nested loops, four elements at a time."""

    function = "edgeq_mul_broadcast_mve"
    source = "edgeq_mul_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return rows_cost(node, 11)


class MulConstMveKernel(MulConstKernel):
    """The same with the constant from the params."""

    function = "edgeq_mul_const_mve"
    source = "edgeq_mul_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return rows_cost(node, 11)
