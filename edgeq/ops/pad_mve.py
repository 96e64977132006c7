"""pad kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.pad import PadKernel, PadOp


class PadMveKernel(PadKernel):
    """16 bytes of a run at a time."""

    function = "edgeq_pad_mve"
    source = "edgeq_pad_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, PadOp)
        run = node.op.run
        return 50 + node.output.elements / run * (14.0 + 3 * -(-run // 16))
