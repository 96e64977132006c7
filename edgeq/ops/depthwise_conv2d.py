"""depthwise_conv2d: each channel has its own window; also scale and offset per channel. SPEC.md "depthwise_conv2d"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Node, Shape, Tensor
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation, random_linear
from edgeq.ops._linear import LinearLayer, LinearOp, conv_macs
from edgeq.ops._window import Window


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(LinearOp):
    """weight (O, kh, kw, 1); output channel o reads input channel o // (O / C). Padding reads pad_value."""

    name: ClassVar[str] = "depthwise_conv2d"
    window: Window
    pad_value: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        patches = self.window.patches(inputs[0], self.pad_value)
        multiplier = len(self.weight) // patches.shape[-1]
        acc = np.zeros((*patches.shape[:3], len(self.weight)), np.int32)
        for i in range(self.window.kernel[0]):
            for j in range(self.window.kernel[1]):
                acc += np.repeat(patches[:, :, :, i, j], multiplier, -1).astype(np.int32) * self.weight[:, i, j, 0]
        return self.requantize(acc.astype(np.int64))

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        super().validate(inputs, output)
        expected = (*self.window.out_size(inputs[0].shape[:2]), len(self.weight))  # type: ignore[arg-type]
        if output.shape != expected or len(self.weight) % inputs[0].shape[2]:
            raise QuantizationError(f"shapes {inputs[0].shape} -> {output.shape} do not fit weight {self.weight.shape}")

    def macs(self, inputs: Sequence[Tensor], output: Tensor) -> int:
        return conv_macs(self.weight, output.shape)


@dataclass(frozen=True, eq=False)
class DepthwiseLayer(LinearLayer):
    """Float depthwise convolution; weight (O, kh, kw, 1)."""

    int_op = DepthwiseConv2d
    window: Window = Window((1, 1))
    groups: int = 1

    def respond(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        patch = self.window.patches(x[None], 0).mean((0, 1, 2))
        return np.einsum("oij,ijo->o", weight[..., 0], np.repeat(patch, len(weight) // patch.shape[-1], -1))

    def geometry(self, inputs: Sequence[Tensor]) -> dict[str, Any]:
        return {"window": self.window, "pad_value": inputs[0].zero_point}

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return conv_macs(self.weight, output)


def scale_channels(b: GraphBuilder, view: View, scale: np.ndarray, offset: np.ndarray, axis: int = 1) -> View:
    """Adds x * scale[c] + offset[c] along ONNX axis `axis`; scale, offset: (C,). The batch may be any axis of size 1."""
    order = [a for a in range(view.index.ndim) if a != axis] + [axis]
    stored = tuple(view.shape[a] for a in order)
    channels = stored[-1]
    tensor = b.stored(view, order, (1, int(np.prod(stored[:-1])), channels))
    op = DepthwiseLayer(scale.astype(np.float32).reshape(-1, 1, 1, 1), offset.astype(np.float32), groups=channels)
    index = np.arange(view.index.size).reshape(stored).transpose(np.argsort(order))
    return b.add(op, [tensor], b.shape_of(tensor), index)


@onnx_rule
def BatchNormalization(
    b: GraphBuilder, x: Operand, gamma: Operand, beta: Operand, mean: Operand, var: Operand, *,
    epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0, spatial: int = 1,
) -> View:  # fmt: skip
    """inference mode; folded into the Conv or Gemm before it where there is one"""
    if training_mode:
        raise Unsupported("training mode")
    scale = constant(gamma, "scale") / np.sqrt(constant(var, "variance").astype(np.float64) + epsilon)
    offset = constant(beta, "bias") - constant(mean, "mean") * scale
    return scale_channels(b, dynamic(x, "input"), scale, offset)


class DepthwiseKernel(Kernel):
    """Channels innermost; one accumulator a channel, in blocks."""

    function = "edgeq_depthwise_conv2d"
    source = "edgeq_depthwise_conv2d.c"
    params_type = "edgeq_depthwise_conv2d_params"
    block: ClassVar[int] = 32  # output channels at a time

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        packed = np.ascontiguousarray(op.weight[..., 0].transpose(1, 2, 0))  # (kh, kw, O): as the kernel walks
        in_c, out_c = node.inputs[0].shape[2], node.output.shape[2]
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": in_c, "multiplier": out_c // in_c, "pad_value": op.pad_value,
            "weight": Array(packed), **op.requant_params(),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        pixels, taps = node.output.shape[0] * node.output.shape[1], node.op.window.taps
        return node.output.elements * (25 + 8.0 * taps) + 30 * pixels * taps

    def access(self, node: Node) -> Access | None:
        assert isinstance(node.op, DepthwiseConv2d)
        channels, outputs = node.inputs[0].shape[2], node.output.shape[2]
        blocks = np.arange(outputs) // self.block
        return windowed(node.op.window, node.inputs[0].shape, blocks.reshape(channels, -1).max(1), blocks)


def cases() -> Iterator[Node]:
    """Kernel sizes, strides, multipliers within and across blocks, block edges (31, 32, 33 channels), wide padding."""
    for h, w, c, multiplier, window in [
        (5, 5, 16, 1, Window((3, 3), pads=(1, 1, 1, 1))),
        (6, 7, 17, 1, Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
        (4, 4, 15, 1, Window((3, 3), (2, 2), pads=(1, 1, 1, 1))),
        (1, 8, 3, 2, Window((1, 3), pads=(0, 2, 0, 1))),
        (9, 1, 40, 1, Window((5, 1))),
        (3, 3, 32, 1, Window((3, 3), pads=(1, 1, 1, 1))),
        (3, 3, 31, 1, Window((2, 2))),
        (7, 6, 2, 5, Window((2, 3), (1, 2), (3, 2), (3, 1, 2, 4))),
        (2, 2, 1, 1, Window((3, 3), pads=(3, 3, 3, 3))),
        (3, 4, 33, 1, Window((1, 1))),
        (4, 4, 2, 1, Window((1, 1), (2, 2), pads=(3, 3, 0, 0))),
        (1, 1, 5, 3, Window((1, 1))),
        (3, 2, 17, 2, Window((2, 1), pads=(1, 0, 0, 0))),
        (2, 3, 7, 7, Window((1, 2), pads=(0, 1, 0, 0))),
        (2, 2, 1, 70, Window((1, 1))),
        (40, 37, 2, 1, Window((3, 3), pads=(1, 1, 1, 1))),
        (60, 52, 3, 1, Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
        (29, 28, 5, 1, Window((3, 3), pads=(1, 1, 1, 1))),  # several bands and strips
        (27, 28, 4, 1, Window((3, 3), (2, 2), pads=(1, 0, 0, 1))),
        (2, 1, 4, 1, Window((3, 3), pads=(3, 4, 6, 3))),  # windows of padding alone
        (3, 3, 8, 1, Window((3, 3))),  # one column
        (4, 2, 4, 1, Window((3, 3), pads=(2, 2, 1, 0))),
        (12, 12, 4, 1, Window((3, 3), pads=(1, 1, 1, 1))),  # bands with as many lines, padded at other ends
        (6, 5, 4, 1, Window((3, 3), (1, 2), pads=(2, 3, 0, 1))),
        (5, 9, 2, 1, Window((3, 3), (2, 1), pads=(0, 2, 1, 4))),
        (5, 1, 6, 1, Window((4, 1), (2, 1), (2, 1), pads=(3, 0, 2, 0))),  # a column with more padding than a tap
        (4, 126, 1, 1, Window((3, 3), pads=(1, 1, 1, 1))),  # bands of two rows
        (3, 7, 8, 1, Window((3, 3), pads=(1, 1, 1, 1))),  # vectors of several pixels
        (5, 1, 20, 1, Window((2, 1), pads=(1, 0, 0, 0))),
        (9, 9, 2, 1, Window((9, 9), pads=(0, 1, 0, 0))),
        (4, 6, 4, 1, Window((2, 4), (1, 2), pads=(1, 3, 1, 4))),
        (7, 7, 2, 1, Window((3, 3), pads=(1, 1, 1, 1))),
        (6, 6, 2, 1, Window((3, 3), (2, 2))),  # a column that no window reads
        (7, 7, 2, 1, Window((3, 3), (2, 2), pads=(0, 1, 0, 0))),
        (8, 60, 1, 1, Window((3, 3), pads=(5, 1, 0, 1))),  # bands of 6 and 5 rows
    ]:
        for spread in (0, 1, 2):
            x = activation((h, w, c), zero_point=(0, -128, -37)[spread])
            fields = random_linear((c * multiplier, *window.kernel, 1), spread)
            op = DepthwiseConv2d(*fields, window=window, pad_value=x.zero_point)
            yield Node("case", op, (x,), activation((*window.out_size((h, w)), c * multiplier), name="y"))
    window, x = Window((3, 3), pads=(1, 1, 1, 1)), activation((5, 6, 32))
    for strides, eighths in [
        ((1, 1), 4),
        ((1, 1), 7),
        ((2, 2), 4),
        ((2, 2), 7),
    ]:  # sums of three weights fit 8 bits, or most do
        weight, bias, shift, lo, hi = random_linear((32, 3, 3, 1), 1)
        strided = replace(window, strides=strides)
        smaller = (weight.astype(np.int32) * eighths // 8).astype(np.int8)
        op = DepthwiseConv2d(smaller, bias, shift, lo, hi, strided, 0)
        yield Node("case", op, (x,), activation((*strided.out_size((5, 6)), 32), name="y"))
