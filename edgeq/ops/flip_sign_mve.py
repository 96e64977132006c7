"""flip_sign kernels for Helium."""

from __future__ import annotations

from edgeq.ir import Node
from edgeq.ops.flip_sign import FlipSignKernel


class FlipSignMveKernel(FlipSignKernel):
    """16 bytes at a time."""

    function = "edgeq_flip_sign_mve"
    source = "edgeq_flip_sign_mve.c"
    isa = "mve"

    def cost(self, node: Node) -> float:
        return 15 + 0.25 * node.output.elements
