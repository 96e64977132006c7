"""lut kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.lut import LutKernel


class LutMveKernel(LutKernel):
    """16 bytes at a time."""

    function = "edgeq_lut_mve"
    source = "edgeq_lut_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return 15 + 0.25 * node.output.elements
