"""avg_pool kernel for Armv6-M."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.numerics import round_shift
from edgeq.ops._base import Params
from edgeq.ops._requant import max_magnitude
from edgeq.ops.avg_pool import AvgPoolKernel, AvgPoolOp


class AvgPoolV6mKernel(AvgPoolKernel):
    """One divisor. A channel of a window at a time."""

    function = "edgeq_avg_pool_v6m"
    source = "edgeq_avg_pool_v6m.c"
    isa = "v6m"
    block = 1

    @staticmethod
    def folded_bias(op: AvgPoolOp) -> int:
        """So that what is clamped is hi less, see edgeq_v6m_clamp."""
        return op.bias - (op.hi << op.shift)

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, AvgPoolOp)
        sums = np.array([op.window.taps * max_magnitude(op.zero_point)])
        reach = int(round_shift(sums, op.pre_shift)[0]) * abs(int(op.m[0]))
        return super().supports(node) and reach + abs(self.folded_bias(op)) < 2**31

    def params(self, node: Node) -> Params:
        assert isinstance(node.op, AvgPoolOp)
        return {**super().params(node), "bias": self.folded_bias(node.op)}

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, AvgPoolOp)
        window, (_, w, _) = node.op.window, node.inputs[0].shape
        rows = 1 if window.kernel[1] == w else window.kernel[0]
        pixels = node.output.shape[0] * node.output.shape[1]
        return pixels * (60 + 6 * sum(window.kernel)) + node.output.elements * (40 + 12 * rows + 3.45 * window.taps)
