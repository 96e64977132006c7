"""alias: the same bytes, or a contiguous part of them, under another shape; no code. SPEC.md section "alias"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor


@dataclass(frozen=True, eq=False)
class Alias(IntOp):
    """The output is the input's memory from element `offset` on. The memory plan makes it so; there is no kernel."""

    name: ClassVar[str] = "alias"
    offset: int
    elements: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return inputs[0].reshape(len(inputs[0]), -1)[:, self.offset : self.offset + self.elements]

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        fits = output.elements == self.elements and 0 <= self.offset <= inputs[0].elements - self.elements
        if not fits or not inputs[0].same_quantization(output):
            raise QuantizationError(f"{inputs[0]} cannot be seen as {output}")


@dataclass(frozen=True, eq=False)
class AliasLayer(LayerOp):
    """Another shape for the same memory."""

    keeps_quantization = True
    offset: int
    elements: int

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return inputs[0]

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        return Alias(self.offset, self.elements)


def cases() -> Iterator[Node]:
    """None: there is no kernel to test."""
    return iter(())
