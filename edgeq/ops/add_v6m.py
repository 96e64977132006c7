"""add kernel for Armv6-M."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops._base import Params
from edgeq.ops.add import AddKernel, AddOp


class AddV6mKernel(AddKernel):
    """One loop over two tensors of one shape, an element after the other."""

    function = "edgeq_add_v6m"
    source = "edgeq_add_v6m.c"
    params_type = "edgeq_add_v6m_params"
    isa = "v6m"

    @staticmethod
    def folded_bias(op: AddOp) -> int:
        """So that what is clamped is hi less, see edgeq_v6m_clamp."""
        return op.bias - (op.hi << op.shift)

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, AddOp)
        return super().supports(node) and 128 * (abs(op.m1) + abs(op.m2)) + abs(self.folded_bias(op)) < 2**31

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, AddOp)
        return {"n": node.output.elements, "m1": op.m1, "m2": op.m2, "bias": self.folded_bias(op), "shift": op.shift,
                "span": op.hi - op.lo, "lo": op.lo}  # fmt: skip

    def cost(self, node: Node) -> float:
        return 60 + 17.5 * node.output.elements
