"""fully_connected kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops._base import Params
from edgeq.ops._mve import CHUNK, chunks, packed_linear, vector_cost
from edgeq.ops.fully_connected import FullyConnected, FullyConnectedKernel


class FullyConnectedMveKernel(FullyConnectedKernel):
    """Eight outputs at a time, 16 products an instruction; copies the input where its end is no full vector."""

    function = "edgeq_fully_connected_mve"
    source = "edgeq_fully_connected_mve.c"
    params_type = "edgeq_fully_connected_mve_params"
    isa = "mve"
    uses_scratch = True

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, FullyConnected)
        return {"in_n": op.weight.shape[1], "out_n": op.weight.shape[0], **packed_linear(op, op.weight)}

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, FullyConnected)
        outputs, inputs = node.op.weight.shape
        return vector_cost(inputs, outputs) + 3.0 * chunks(inputs) * (inputs % CHUNK != 0)

    def scratch(self, node: Node) -> int:
        inputs = node.inputs[0].elements
        return CHUNK * chunks(inputs) if inputs % CHUNK else 0
