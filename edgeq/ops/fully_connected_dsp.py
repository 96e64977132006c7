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
                "weight": Array(np.concatenate(self.packed(op, self.early(node)))), "lo": op.lo, "hi": op.hi}  # fmt: skip

    @staticmethod
    def early(node: Node) -> int:
        """The field early_n."""
        return 0

    def packed(self, op: FullyConnected, early: int) -> list[np.ndarray]:
        """The field weight, run by run."""
        return [joined(run, BLOCK, op.weight, op.bias, op.shift) for run in runs(len(op.weight), BLOCK)]

    def cost(self, node: Node) -> float:
        steps = -(-node.inputs[0].elements // BLOCK)
        return 88 + 6 * steps + -(-node.output.elements // BLOCK) * (27 + 14.1 * steps)

    def scratch(self, node: Node) -> int:
        return 8 * -(-node.inputs[0].elements // BLOCK)


class FullyConnectedLongDspKernel(FullyConnectedDspKernel):
    """Inputs expanded again for each four outputs. Accumulators may be of any size."""

    function = "edgeq_fully_connected_long_dsp"
    uses_scratch = False

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, FullyConnected)
        return len(op.weight) >= BLOCK and op.weight.shape[1] % BLOCK == 0 and op.weight.min() > -128

    def packed(self, op: FullyConnected, early: int) -> list[np.ndarray]:
        most, *last = runs(len(op.weight), BLOCK)
        return [blocks(run, BLOCK, op.weight, op.bias, op.shift) for run in (most[early // BLOCK :], *last)]

    def cost(self, node: Node) -> float:
        steps = node.inputs[0].elements // BLOCK
        return 47 + -(-node.output.elements // BLOCK) * (34 + 16.25 * steps)

    def scratch(self, node: Node) -> int:
        return 0


class FullyConnectedEarlyDspKernel(FullyConnectedLongDspKernel):
    """Inputs expanded to where the last outputs come, for those before them; then again for each four of the last ones."""

    function = "edgeq_fully_connected_early_dsp"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, FullyConnected)
        return super().supports(node) and self.early(node) > 0 and joins(op.weight, op.bias, op.shift)

    @staticmethod
    def early(node: Node) -> int:
        return node.output.elements // BLOCK * BLOCK - 2 * node.inputs[0].elements

    def packed(self, op: FullyConnected, early: int) -> list[np.ndarray]:
        return [joined(range(0, early, BLOCK), BLOCK, op.weight, op.bias, op.shift), *super().packed(op, early)]

    def cost(self, node: Node) -> float:
        steps, early = node.inputs[0].elements // BLOCK, self.early(node) // BLOCK
        return super().cost(node) + 45 + 6 * steps - early * (6 + 2.1 * steps)
