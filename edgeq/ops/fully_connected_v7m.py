"""fully_connected kernels for Armv7-M."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops.fully_connected import FullyConnected, FullyConnectedKernel

BLOCK = 8


class FullyConnectedV7mKernel(FullyConnectedKernel):
    """Eight outputs at a time."""

    function = "edgeq_fully_connected_v7m"
    source = "edgeq_fully_connected_v7m.c"
    params_type = "edgeq_fully_connected_v7m_params"
    isa = "v7m"

    def supports(self, node: Node) -> bool:
        count = node.output.elements
        return count % BLOCK == 0 or count > 4 * BLOCK  # otherwise what the last block repeats is too much flash

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, FullyConnected)
        count = len(op.weight)
        words = [self.block(op, min(at, count - BLOCK)) for at in range(0, count, BLOCK)]
        return {"in_n": op.weight.shape[1], "out_n": count, "weight": Array(np.concatenate(words)), "lo": op.lo, "hi": op.hi}

    @staticmethod
    def block(op: FullyConnected, first: int) -> np.ndarray:
        """int32 words for the outputs from `first`: biases, weights input by input, shifts."""
        outputs = slice(first, first + BLOCK)
        weight = np.ascontiguousarray(op.weight[outputs].T)
        return np.frombuffer(op.bias[outputs].tobytes() + weight.tobytes() + op.shift[outputs].tobytes(), np.int32)

    def cost(self, node: Node) -> float:
        return -(-node.output.elements // BLOCK) * (56 + 17.5 * node.inputs[0].elements)
