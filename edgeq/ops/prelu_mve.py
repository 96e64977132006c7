"""prelu kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.prelu import Prelu, PreluKernel


class PreluMveKernel(PreluKernel):
    """Four channels at a time."""

    function = "edgeq_prelu_mve"
    source = "edgeq_prelu_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Prelu)
        channels = len(node.op.m_neg)
        return 40 + node.output.elements / channels * (17.0 + 12 * -(-channels // 4))
