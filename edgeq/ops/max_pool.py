"""max_pool: the largest value in each window. SPEC.md section "max_pool"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, Node, QuantContext, Tensor
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import GraphBuilder, Kernel, Operand, Params, Unsupported, View, dynamic, onnx_rule
from edgeq.ops._cases import activation
from edgeq.ops._pool import case_windows, check_shapes, taps_inside, whole_window
from edgeq.ops._window import Window, window_of

BLOCK = 16  # channels that the portable kernel takes at a time


@dataclass(frozen=True, eq=False)
class MaxPoolOp(IntOp):
    """(H, W, C) -> (OH, OW, C), one scale and zero point. Taps outside the input are skipped; a window of only such
    taps gives -128."""

    name: ClassVar[str] = "max_pool"
    window: Window

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return self.window.patches(inputs[0], -128).max((3, 4))  # type: ignore[no-any-return]

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        check_shapes(self.window, inputs, output)
        if not inputs[0].same_quantization(output):
            raise QuantizationError(f"{inputs[0]} and {output} must share scale and zero point")

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        found = self.window.by_rows(inputs[0].shape[0], first, end)
        return found and (replace(self, window=found[0]), found[1])


@dataclass(frozen=True, eq=False)
class MaxPoolLayer(LayerOp):
    """Float maximum in each window."""

    keeps_quantization = True
    window: Window

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return inputs[0]

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        return MaxPoolOp(self.window)


@onnx_rule
def MaxPool(
    b: GraphBuilder, x: Operand, *, kernel_shape: list[int], auto_pad: str = "NOTSET", ceil_mode: int = 0,
    dilations: list[int] | None = None, pads: list[int] | None = None, storage_order: int = 0,
    strides: list[int] | None = None,
) -> View:  # fmt: skip
    """1-D and 2-D; strides, dilation, any padding, ceil_mode; without the Indices output"""
    view = dynamic(x, "input")
    tensor = b.channels_last(view)
    window = window_of(view.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    h, w, c = b.shape_of(tensor)
    if not taps_inside(window, (h, w)).all():
        raise Unsupported(f"a window lies wholly in the padding, where the maximum is -infinity: {window}")
    return b.add_channels_last(MaxPoolLayer(window), [tensor], (*window.out_size((h, w)), c), view.index.ndim)


@onnx_rule
def GlobalMaxPool(b: GraphBuilder, x: Operand) -> View:
    """1-D and 2-D"""
    view = dynamic(x, "input")
    tensor, window, shape = whole_window(b, view)
    return b.add_channels_last(MaxPoolLayer(window), [tensor], shape, view.index.ndim)


class MaxPoolKernel(Kernel):
    """Channels innermost, in blocks."""

    function = "edgeq_max_pool"
    source = "edgeq_max_pool.c"
    params_type = "edgeq_max_pool_params"

    def params(self, node: Node) -> Params:
        assert isinstance(node.op, MaxPoolOp)
        shape = node.inputs[0].shape
        return {"window": node.op.window.params(shape, node.output.shape), "channels": shape[2]}

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, MaxPoolOp)
        return 5.0 * node.output.elements * node.op.window.taps

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, MaxPoolOp)
        block = np.arange(node.output.shape[2]) // BLOCK
        return windowed(node.op.window, node.inputs[0].shape, block, block)


def cases() -> Iterator[Node]:
    """As _pool.case_windows."""
    for (h, w, c), window in case_windows():
        output = activation((*window.out_size((h, w)), c), name="y")
        yield Node("case", MaxPoolOp(window), (activation((h, w, c)),), output)
