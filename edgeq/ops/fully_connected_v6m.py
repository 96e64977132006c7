"""fully_connected kernel for Armv6-M."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._v6m import foldable, folded_bias
from edgeq.ops.fully_connected import FullyConnected, FullyConnectedKernel


class FullyConnectedV6mKernel(FullyConnectedKernel):
    """Four outputs at a time."""

    function = "edgeq_fully_connected_v6m"
    source = "edgeq_fully_connected_v6m.c"
    isa = "v6m"

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, FullyConnected)
        return node.output.elements >= 4 and foldable(node.op)

    def params(self, node: Node) -> Params:
        assert isinstance(node.op, FullyConnected)
        return {**super().params(node), "bias": Array(folded_bias(node.op).astype(np.int32))}

    def cost(self, node: Node) -> float:
        return 30 + -(-node.output.elements // 4) * (130 + 14.2 * node.inputs[0].elements)
