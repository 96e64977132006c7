"""join: tensors one after the other in memory, written where they are needed; no code. SPEC.md section "join"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Node, Tensor


@dataclass(frozen=True, eq=False)
class Join(IntOp):
    """The output is the inputs' memory, which the memory plan lays out without gaps; there is no kernel.

    An input is read by nothing else, and is no alias, network input or network output.
    """

    name: ClassVar[str] = "join"

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        if sum(t.elements for t in inputs) != output.elements or not all(t.same_quantization(output) for t in inputs):
            raise QuantizationError(f"{[t.shape for t in inputs]} side by side are not {output}")


def cases() -> Iterator[Node]:
    """None: there is no kernel to test."""
    return iter(())
