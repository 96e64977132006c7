"""softmax kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.softmax import SoftmaxKernel, SoftmaxOp


class SoftmaxMveKernel(SoftmaxKernel):
    """Quotients four at a time."""

    function = "edgeq_softmax_mve"
    source = "edgeq_softmax_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, SoftmaxOp)
        return node.output.elements / node.op.n * (85.0 + 127 * -(-node.op.n // 4))
