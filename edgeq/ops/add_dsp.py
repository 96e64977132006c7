"""add kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.add import AddKernel, AddOp


class AddDspKernel(AddKernel):
    """Four elements at a time, for multipliers of 16 bits."""

    function = "edgeq_add_dsp"
    source = "edgeq_add_dsp.c"
    isa = "dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, AddOp)
        return super().supports(node) and all(-(2**15) <= m < 2**15 for m in (op.m1, op.m2))

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, AddOp)
        return 40 + (7.5 + 7 * ((op.lo, op.hi) != (-128, 127))) * node.output.elements
