"""avg_pool kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.avg_pool import AvgPoolKernel, AvgPoolOp


class AvgPoolWholeDspKernel(AvgPoolKernel):
    """The whole input as one window, four channels at a time."""

    function = "edgeq_avg_pool_whole_dsp"
    source = "edgeq_avg_pool_dsp.c"
    isa = "dsp"
    block = 4

    def supports(self, node: Node) -> bool:
        op, (h, w, channels) = node.op, node.inputs[0].shape
        assert isinstance(op, AvgPoolOp)
        one = op.window.kernel == (h, w) and op.window.dilations == (1, 1) and not op.window.padded
        return super().supports(node) and one and channels % 4 == 0

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, AvgPoolOp)
        return 30 + node.output.elements * (1.75 * node.op.window.taps + 20)
