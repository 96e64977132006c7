"""conv2d kernels for Helium."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Params
from edgeq.ops._mve import BLOCK, CHUNK, chunks, linear_cost, packed_linear
from edgeq.ops.conv2d import Conv1x1Kernel, Conv2d, Conv2dKernel


class Conv2dMveKernel(Conv2dKernel):
    """Gathers each window into scratch; four outputs at a time, 16 products an instruction."""

    function = "edgeq_conv2d_mve"
    source = "edgeq_conv2d_mve.c"
    params_type = "edgeq_conv2d_mve_params"
    isa = "mve"

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        kept = ("window", "in_c", "out_c", "groups", "group_in", "group_out", "pad_value")
        fields = super().params(node)
        return {**{k: fields[k] for k in kept}, **packed_linear(op, op.groups)}

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        inputs = op.weight[0].size
        by_rows = op.groups == 1 and op.window.dilations[1] == 1
        copies = op.window.kernel[0] if by_rows else op.window.taps
        gather = 20 + copies * (9 + 3 * chunks(inputs // copies))
        pixels = node.output.shape[0] * node.output.shape[1]
        return float(pixels * op.groups * (gather + linear_cost(inputs, len(op.weight) // op.groups)))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return CHUNK * chunks(node.op.weight[0].size)


class Conv1x1MveKernel(Conv2dMveKernel):
    """1x1 without padding: the pixel is the window, copied only where its end is no full vector."""

    function = "edgeq_conv2d_1x1_mve"

    def supports(self, node: Node) -> bool:
        return Conv1x1Kernel().supports(node)

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, Conv2d)
        outputs, inputs = node.op.weight.shape[0], node.op.weight.shape[3]
        pixels = node.output.shape[0] * node.output.shape[1]
        if inputs <= CHUNK and outputs % BLOCK == 0:  # the pixels are the inner loop
            part = inputs < CHUNK
            return outputs / BLOCK * (node.output.shape[0] * 40.0 + pixels * (14 + part))
        return float(pixels * (linear_cost(inputs, outputs) + (6 + 3 * chunks(inputs) if inputs % CHUNK else 0)))

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)  # a row's pixels are read again for each block of outputs, or its first block
        inputs, outputs = np.ones(node.inputs[0].shape[2], int), np.zeros(node.output.shape[2], int)
        return windowed(node.op.window, node.inputs[0].shape, inputs, outputs, node.output.shape[1])

    def scratch(self, node: Node) -> int:
        inputs = node.inputs[0].shape[2]
        return CHUNK * chunks(inputs) if inputs % CHUNK else 0
