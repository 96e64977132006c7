"""fully_connected kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from typing import ClassVar

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import channel_blocks
from edgeq.ops.fully_connected import MAX_EXPANDED, FullyConnected, FullyConnectedKernel


class FullyConnectedDspKernel(FullyConnectedKernel):
    """Inputs expanded to int16 once, four outputs at a time."""

    function = "edgeq_fully_connected_dsp"
    source = "edgeq_fully_connected_dsp.c"
    params_type = "edgeq_fully_connected_dsp_params"
    isa = "dsp"
    uses_scratch = True
    step: ClassVar[float] = 18.25  # instructions for four inputs by four outputs

    def supports(self, node: Node) -> bool:
        return node.output.elements >= 4 and not FullyConnectedLongDspKernel.preferred(node)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, FullyConnected)
        return {"in_n": op.weight.shape[1], "out_n": op.weight.shape[0],
                "weight": Array(channel_blocks(op.weight, op.bias, op.shift)), "lo": op.lo, "hi": op.hi}  # fmt: skip

    def cost(self, node: Node) -> float:
        steps = -(-node.inputs[0].elements // 4)
        return 90 + 2 * self.scratch(node) + -(-node.output.elements // 4) * (29 + self.step * steps)

    def scratch(self, node: Node) -> int:
        return 8 * -(-node.inputs[0].elements // 4)


class FullyConnectedLongDspKernel(FullyConnectedDspKernel):
    """For many inputs, whose int16 would take more memory than they are worth: expanded again for each four outputs."""

    function = "edgeq_fully_connected_long_dsp"
    uses_scratch = False
    step = 20.25

    @staticmethod
    def preferred(node: Node) -> bool:
        """Whether the inputs are many."""
        return node.inputs[0].elements > MAX_EXPANDED and node.inputs[0].elements % 4 == 0

    def supports(self, node: Node) -> bool:
        return node.output.elements >= 4 and self.preferred(node)

    def scratch(self, node: Node) -> int:
        return 0
