"""fully_connected kernels for Armv7E-M and Armv8-M with DSP."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._dsp import blocks, joined, joins, runs
from edgeq.ops.fully_connected import MAX_EXPANDED, FullyConnected, FullyConnectedKernel

BLOCK = 4  # outputs, or inputs


class FullyConnectedDspKernel(FullyConnectedKernel):
    """Inputs expanded to int16 once, four outputs at a time."""

    function = "edgeq_fully_connected_dsp"
    source = "edgeq_fully_connected_dsp.c"
    params_type = "edgeq_fully_connected_dsp_params"
    isa = "dsp"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, FullyConnected)
        outputs, inputs = op.weight.shape  # for many inputs only what FullyConnectedLongDspKernel cannot run
        return outputs >= BLOCK and (inputs <= MAX_EXPANDED or inputs % BLOCK > 0) and joins(op.weight, op.bias, op.shift)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, FullyConnected)
        return {"in_n": op.weight.shape[1], "out_n": len(op.weight), "early_n": self.early(node),
                "weight": Array(np.concatenate(self.packed(node, op))), "lo": op.lo, "hi": op.hi}  # fmt: skip

    def packed(self, node: Node, op: FullyConnected) -> list[np.ndarray]:
        """The field weight, run by run."""
        return [joined(run, BLOCK, op.weight, op.bias, op.shift) for run in runs(len(op.weight), BLOCK)]

    def early(self, node: Node) -> int:
        """The field early_n."""
        return 0

    def cost(self, node: Node) -> float:
        steps = -(-node.inputs[0].elements // BLOCK)
        return 88 + 6 * steps + -(-node.output.elements // BLOCK) * (27 + 14.1 * steps)

    def scratch(self, node: Node) -> int:
        return expanded(node)


def expanded(node: Node) -> int:
    """Bytes of the inputs as int16."""
    return 8 * -(-node.inputs[0].elements // BLOCK)


class FullyConnectedLongDspKernel(FullyConnectedDspKernel):
    """Without scratch. Inputs are expanded to the memory of the last outputs, while others are computed; then again for each
    four of those. And accumulators of any size."""

    function = "edgeq_fully_connected_long_dsp"
    uses_scratch = False

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, FullyConnected)
        return len(op.weight) >= BLOCK and op.weight.shape[1] % BLOCK == 0 and op.weight.min() > -128

    def packed(self, node: Node, op: FullyConnected) -> list[np.ndarray]:
        (most, *last), early = runs(len(op.weight), BLOCK), self.early(node)
        first = [joined(range(0, early, BLOCK), BLOCK, op.weight, op.bias, op.shift)] if early else []
        others = [blocks(run, BLOCK, op.weight, op.bias, op.shift) for run in (most[early // BLOCK :], *last)]
        return [*first, *others]

    def early(self, node: Node) -> int:
        op = node.op
        assert isinstance(op, FullyConnected)
        room = len(op.weight) // BLOCK * BLOCK - expanded(node)
        return max(0, room) if joins(op.weight, op.bias, op.shift) else 0

    def cost(self, node: Node) -> float:
        steps, early = node.inputs[0].elements // BLOCK, self.early(node) // BLOCK
        cost = 47 + -(-node.output.elements // BLOCK) * (34 + 16.25 * steps)
        return cost - early * (6 + 2.1 * steps) + (early > 0) * (40 + 6 * steps)

    def scratch(self, node: Node) -> int:
        return 0
