"""conv2d: 2-D and 1-D convolution with groups, dilation and padding; 1x1 convolution. SPEC.md section "conv2d"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Node, Shape, Tensor
from edgeq.ops._access import Access, windowed
from edgeq.ops._base import Array, GraphBuilder, Kernel, Operand, Params, Unsupported, View, constant, dynamic, onnx_rule
from edgeq.ops._cases import activation, limit_linear, random_linear
from edgeq.ops._linear import LinearLayer, LinearOp, conv_macs
from edgeq.ops._window import Window, window_of
from edgeq.ops.depthwise_conv2d import DepthwiseLayer


@dataclass(frozen=True, eq=False)
class Conv2d(LinearOp):
    """weight (O, kh, kw, C/groups); input (H, W, C), output (OH, OW, O). Padding reads pad_value, the input's zero point."""

    name: ClassVar[str] = "conv2d"
    window: Window
    groups: int
    pad_value: int

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        patches = self.window.patches(inputs[0], self.pad_value)
        n, oh, ow = patches.shape[:3]
        out = []
        for w, p in zip(np.split(self.weight, self.groups), np.split(patches, self.groups, -1), strict=True):
            columns = p.reshape(n * oh * ow, -1).astype(np.float64)  # exact: sums stay far below 2^53
            out.append(columns @ w.reshape(len(w), -1).T.astype(np.float64))
        return self.requantize(np.concatenate(out, -1).astype(np.int64)).reshape(n, oh, ow, -1)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        super().validate(inputs, output)
        expected = (*self.window.out_size(inputs[0].shape[:2]), len(self.weight))  # type: ignore[arg-type]
        if output.shape != expected or inputs[0].shape[2] != self.weight.shape[3] * self.groups:
            raise QuantizationError(f"shapes {inputs[0].shape} -> {output.shape} do not fit weight {self.weight.shape}")

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        found = self.window.by_rows(inputs[0].shape[0], first, end)
        return found and (replace(self, window=found[0]), found[1])

    def macs(self, inputs: Sequence[Tensor], output: Tensor) -> int:
        return conv_macs(self.weight, output.shape)


@dataclass(frozen=True, eq=False)
class Conv2dLayer(LinearLayer):
    """Float convolution; weight (O, kh, kw, C/groups)."""

    int_op = Conv2d
    window: Window = Window((1, 1))
    groups: int = 1

    def respond(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        patch = self.window.patches(x[None], 0).mean((0, 1, 2))
        parts = zip(np.split(weight, self.groups), np.split(patch, self.groups, -1), strict=True)
        return np.concatenate([np.einsum("oijc,ijc->o", w, p) for w, p in parts])

    def geometry(self, inputs: Sequence[Tensor]) -> dict[str, Any]:
        return {"window": self.window, "groups": self.groups, "pad_value": inputs[0].zero_point}

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return conv_macs(self.weight, output)


@onnx_rule
def Conv(
    b: GraphBuilder, x: Operand, w: Operand, bias: Operand | None = None, *, auto_pad: str = "NOTSET",
    dilations: list[int] | None = None, group: int = 1, kernel_shape: list[int] | None = None,
    pads: list[int] | None = None, strides: list[int] | None = None,
) -> View:  # fmt: skip
    """1-D and 2-D; groups, depthwise, dilation, strides, any padding; constant weights"""
    view, weight = dynamic(x, "input"), constant(w, "weight")
    if weight.ndim not in (3, 4):
        raise Unsupported(f"{weight.ndim - 2}-D convolution; only 1-D and 2-D are supported")
    tensor = b.channels_last(view)
    window = window_of(view.shape[2:], kernel_shape or weight.shape[2:], strides, pads, dilations, auto_pad)
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    weight = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))  # (O, kh, kw, C/groups)
    offsets = np.zeros(len(weight), np.float32) if bias is None else constant(bias, "bias")
    h, w_, c = b.shape_of(tensor)
    if weight.shape[3] * group != c:
        raise Unsupported(f"weight for {weight.shape[3] * group} channels on an input of {c}")
    cls = DepthwiseLayer if group == c and group > 1 else Conv2dLayer
    op = cls(weight, offsets, window=window, groups=group)
    return b.add_channels_last(op, [tensor], (*window.out_size((h, w_)), len(weight)), view.index.ndim)


class Conv2dKernel(Kernel):
    """Gathers each window into scratch, then one dot product a channel."""

    function = "edgeq_conv2d"
    source = "edgeq_conv2d.c"
    params_type = "edgeq_conv2d_params"
    uses_scratch = True

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        in_c, out_c = node.inputs[0].shape[2], node.output.shape[2]
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": in_c, "out_c": out_c,
            "groups": op.groups, "group_in": in_c // op.groups, "group_out": out_c // op.groups,
            "pad_value": op.pad_value, "weight": Array(op.weight), **op.requant_params(),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return (
            5.0 * node.macs
            + 30.0 * node.output.elements
            + 6.0 * self.scratch(node) * node.output.shape[0] * node.output.shape[1]
        )

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return int(node.op.weight[0].size)

    def access(self, node: Node) -> Access:
        op = node.op
        assert isinstance(op, Conv2d)
        groups = np.arange(op.groups)  # a group is gathered, then its outputs are written
        inputs, outputs = (np.repeat(groups, t.shape[2] // op.groups) for t in (node.inputs[0], node.output))
        return windowed(op.window, node.inputs[0].shape, inputs, outputs)


class Conv1x1Kernel(Conv2dKernel):
    """1x1 without padding: the pixel is the window."""

    function = "edgeq_conv2d_1x1"
    uses_scratch = False

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return op.window.kernel == (1, 1) and not op.window.padded and op.groups == 1

    def cost(self, node: Node) -> float:
        return 5.0 * node.macs + 30.0 * node.output.elements

    def scratch(self, node: Node) -> int:
        return 0

    def access(self, node: Node) -> Access:
        assert isinstance(node.op, Conv2d)
        outputs = np.arange(node.output.shape[2]) // 2  # two are written at a time, and the pixel is read for each two
        return windowed(node.op.window, node.inputs[0].shape, np.full(node.inputs[0].shape[2], outputs[-1]), outputs)


def cases() -> Iterator[Node]:
    """Tile edges, odd shapes, one row, padding beyond the kernel, dilation, groups, extreme shifts."""
    for h, w, c, o, window, groups in [
        (5, 5, 3, 4, Window((3, 3), pads=(1, 1, 1, 1)), 1),
        (6, 7, 8, 5, Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), 1),
        (1, 9, 4, 3, Window((1, 3), pads=(0, 2, 0, 2)), 1),
        (7, 1, 2, 3, Window((3, 1), (2, 1), pads=(1, 0, 1, 0)), 1),
        (3, 3, 1, 1, Window((3, 3)), 1),
        (3, 1, 4, 4, Window((3, 3), pads=(1, 1, 1, 1)), 1),
        (2, 2, 5, 7, Window((3, 3), pads=(3, 4, 3, 2)), 1),
        (9, 8, 3, 6, Window((3, 2), (1, 2), (3, 2), (2, 0, 1, 3)), 1),
        (5, 6, 6, 9, Window((2, 3), pads=(1, 0, 0, 1)), 3),
        (4, 4, 8, 8, Window((3, 3), pads=(1, 1, 1, 1)), 2),
        (12, 4, 1, 16, Window((10, 4), (2, 2), pads=(4, 1, 5, 1)), 1),
        (4, 3, 17, 33, Window((1, 1)), 1),
        (5, 5, 16, 8, Window((1, 1), (2, 2)), 1),
        (1, 1, 64, 10, Window((1, 1)), 1),
        (3, 2, 1, 1, Window((1, 1)), 1),
        (5, 7, 63, 3, Window((1, 1)), 1),
        (2, 2, 8, 6, Window((3, 3), pads=(1, 1, 1, 1)), 1),  # windows in parts
        (1, 4, 136, 2, Window((1, 1)), 1),  # more steps than an unrolled loop has
        (3, 3, 4, 4, Window((1, 1), pads=(1, 0, 0, 1)), 1),
        (3, 4, 44, 3, Window((2, 3), pads=(1, 1, 0, 1)), 1),  # parts of three positions
        (2, 5, 87, 2, Window((3, 1), (1, 2), pads=(1, 0, 1, 1)), 1),  # parts of two positions, the last of one
        (5, 4, 99, 2, Window((3, 3), dilations=(2, 1)), 1),  # parts across rows
        (2, 8, 2, 2, Window((2, 3), (1, 1), (1, 2)), 1),
        (1, 3, 64, 8, Window((1, 1)), 1),  # 4 to 8 vectors of 16
        (1, 2, 81, 5, Window((1, 1)), 1),
        (2, 1, 100, 10, Window((1, 1)), 1),
        (1, 2, 113, 4, Window((1, 1)), 1),
        (3, 9, 40, 5, Window((3, 3), pads=(1, 1, 1, 1)), 1),  # several tiles
        (2, 2, 8, 10, Window((2, 2), pads=(0, 0, 1, 1)), 2),
        (1, 17, 1, 2, Window((1, 2)), 1),
        (6, 1, 5, 4, Window((3, 1), (2, 1), pads=(1, 0, 2, 0)), 1),
    ]:
        for spread in (0, 1, 2):
            x = activation((h, w, c), zero_point=(0, -128, 37)[spread])
            fields = random_linear((o, *window.kernel, c // groups), spread)
            op = Conv2d(*fields, window=window, groups=groups, pad_value=x.zero_point)
            yield Node("case", op, (x,), activation((*window.out_size((h, w)), o), name="y"))
    for weight in sparse_weights():
        op = Conv2d(weight, *random_linear(weight.shape, 1)[1:], window=Window((1, 1)), groups=1, pad_value=0)
        yield Node("case", op, (activation((1, 5, weight.shape[3])),), activation((1, 5, len(weight)), name="y"))
    for h, w, c, o, window, limit in [  # sums of 24 bits, and more, also of three parts
        (2, 5, 12, 9, Window((1, 1)), 2**23),
        (3, 6, 6, 10, Window((3, 3)), 2**23),
        (1, 4, 4, 8, Window((1, 1)), 2**24),
        (3, 5, 68, 8, Window((3, 3)), 2**30),
    ]:
        op = Conv2d(*limit_linear((o, *window.kernel, c), limit), window, 1, 0)
        yield Node("case", op, (activation((h, w, c)),), activation((*window.out_size((h, w)), o), name="y"))
    rng = np.random.default_rng(0)
    for h, w, c, o, window, largest, density in [
        (3, 4, 32, 3, Window((3, 3), pads=(1, 1, 1, 1)), 127, 1.0),  # more taps than an Armv6-M kernel takes at once
        (4, 5, 45, 2, Window((3, 3)), 9, 1.0),
        (2, 3, 700, 3, Window((1, 1)), 127, 0.01),  # runs of zeros
        (2, 3, 61, 5, Window((1, 1)), 127, 0.2),
        (3, 5, 24, 4, Window((2, 2)), 128, 1.0),  # the largest weights but -128 beside -128
    ]:
        shape = (o, *window.kernel, c)
        weight = rng.integers(-largest, largest + 1, shape) if largest < 128 else rng.choice([-128, 127], shape)
        weight = np.where(rng.random(shape) < density, weight, 0).astype(np.int8)
        weight[..., 1::2] = np.maximum(weight[..., 1::2], -127)
        weight[0] *= density == 1  # nothing but zeros
        bias, shift = rng.integers(-(2**12), 2**12, o).astype(np.int32), rng.integers(5, 12, o).astype(np.uint8)
        x = activation((h, w, c), zero_point=-128)
        op = Conv2d(weight, bias, shift, -100, 127, window, 1, x.zero_point)
        yield Node("case", op, (x,), activation((*window.out_size((h, w)), o), name="y"))


def sparse_weights() -> Iterator[np.ndarray]:
    """int8 (O, 1, 1, C): long sums that fit 16 bits, channels of zeros, runs of zeros of all lengths, single weights."""
    rng = np.random.default_rng(0)
    small = rng.integers(-3, 4, (5, 1, 1, 150)).astype(np.int8)
    yield small
    runs = np.zeros_like(small)
    runs[1, ..., -1], runs[2, ..., 0] = 127, -128
    for gap in range(10):
        runs[3, ..., gap * (gap + 5)] = gap - 11
    runs[4, ..., 40:71] = 100
    yield runs
