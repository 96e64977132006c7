"""flip_sign: uint8 to int8 by flipping the top bit; the real values stay. SPEC.md section "flip_sign"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Node, Tensor
from edgeq.ops._access import Access, elementwise
from edgeq.ops._base import Kernel, Params
from edgeq.ops._cases import activation


@dataclass(frozen=True, eq=False)
class FlipSign(IntOp):
    """out = q - 128, so the zero point goes down by 128 and the scale stays. Input uint8, output int8."""

    name: ClassVar[str] = "flip_sign"

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return (inputs[0] ^ np.uint8(0x80)).view(np.int8)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        x = inputs[0]
        if (x.dtype, output.dtype, x.shape) != ("uint8", "int8", output.shape):
            raise QuantizationError(f"turns uint8 into int8 of one shape, not {x} into {output}")
        if (x.scale, x.zero_point - 128) != (output.scale, output.zero_point):
            raise QuantizationError(f"scale or zero point of {output} are not those of {x} less 128")

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        return self, (first, end)


class FlipSignKernel(Kernel):
    """One exclusive or a byte."""

    function = "edgeq_flip_sign"
    source = "edgeq_flip_sign.c"
    params_type = "edgeq_flip_sign_params"

    def params(self, node: Node) -> Params:
        return {"n": node.output.elements}

    def cost(self, node: Node) -> float:
        return 4.0 * node.output.elements

    def access(self, node: Node) -> Access:
        return elementwise(node.output.elements)


def cases() -> Iterator[Node]:
    """One byte; counts around multiples of four; a photo's scale."""
    for shape in [(1,), (3,), (4,), (7, 5, 3)]:
        x = Tensor("x", shape, 2.0**-4, 128, "uint8")
        yield Node("case", FlipSign(), (x,), activation(shape, name="y"))
