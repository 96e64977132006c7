"""depthwise_conv2d: each channel has its own window; also scale and offset per channel. SPEC.md "depthwise_conv2d"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Node, Shape, Tensor
from edgeq.ops._base import (
    Array,
    GraphBuilder,
    Kernel,
    Operand,
    Params,
    Unsupported,
    View,
    constant,
    dynamic,
    onnx_rule,
)
from edgeq.ops._cases import activation, random_linear
from edgeq.ops._linear import LinearLayer, LinearOp, conv_macs
from edgeq.ops._mve import LANES, lane_order, tap_groups
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
        return 8.0 * node.macs

    def overlays(self, node: Node) -> dict[int, int]:
        assert isinstance(node.op, DepthwiseConv2d)
        w = node.op.window
        own_pixel = w.taps == 1 and w.strides == (1, 1) and not w.padded  # a pixel is read only to write itself
        return {0: 0} if own_pixel and node.inputs[0].shape == node.output.shape else {}


SCRATCH = 2048  # bytes that a band of planes may take, if three lines fit at all


@dataclass(frozen=True)
class Planes:
    """How a 3x3 kernel walks: the window with rows and columns exchanged or not, output rows in a band, words in a line."""

    window: Window
    size: tuple[int, int]
    transposed: bool
    band: int
    line: int

    @property
    def out(self) -> tuple[int, int]:
        return self.window.out_size(self.size)

    @property
    def lines(self) -> int:
        """Lines of a band's planes."""
        return (self.band - 1) * self.window.strides[0] + 3

    @property
    def cost(self) -> float:
        """Estimated instructions for two channels."""
        (rows, columns), stride = self.out, self.window.strides[1]
        bands = -(-rows // self.band)
        filled = (rows - 1) * self.window.strides[0] + 3 + (bands - 1) * max(3 - self.window.strides[0], 0)
        fill = filled * (30 + 4.75 * self.line)
        return bands * 130 + fill + 2 * rows * (16 + (29 + stride / 2) * (columns // 2) + 18 * (columns % 2))


def planes(window: Window, size: tuple[int, int], transposed: bool) -> Planes:
    """The walk over an input of (H, W), along its columns where `transposed`."""
    if transposed:
        (top, left, bottom, right), (sh, sw) = window.pads, window.strides
        window = Window(window.kernel, (sw, sh), (1, 1), (left, top, right, bottom))
        size = size[1], size[0]
    rows, columns = window.out_size(size)
    line = -(-columns // 2) * window.strides[1] + 1
    lines = max(SCRATCH // (8 * line), 3)
    return Planes(window, size, transposed, min((lines - 3) // window.strides[0] + 1, rows), line)


class Depthwise3x3DspKernel(DepthwiseKernel):
    """3x3, two channels at a time as planes of int16 in scratch, two outputs at a time."""

    function = "edgeq_depthwise_conv2d_3x3_dsp"
    source = "edgeq_depthwise_conv2d_dsp.c"
    params_type = "edgeq_depthwise_conv2d_dsp_params"
    isa = "dsp"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        w, channels = node.op.window, node.inputs[0].shape[2]
        return (w.kernel, w.dilations) == ((3, 3), (1, 1)) and max(w.strides) <= 2 and channels == node.output.shape[2] > 1

    @staticmethod
    def planes(node: Node) -> Planes:
        """The cheaper walk."""
        assert isinstance(node.op, DepthwiseConv2d)
        size = node.inputs[0].shape[:2]
        walks = [planes(node.op.window, (size[0], size[1]), transposed) for transposed in (False, True)]
        return min(walks, key=lambda w: w.cost)

    def params(self, node: Node) -> Params:
        op, walk = node.op, self.planes(node)
        assert isinstance(op, DepthwiseConv2d)
        channels = len(op.weight)
        taps = op.weight[..., 0].transpose(0, 2, 1) if walk.transposed else op.weight[..., 0]
        in_steps = (node.inputs[0].shape[1] * channels, channels)
        out_steps = (node.output.shape[1] * channels, channels)
        if walk.transposed:
            in_steps, out_steps = in_steps[::-1], out_steps[::-1]
        return {
            "window": walk.window.params((*walk.size, channels), (*walk.out, channels)),
            "channels": channels, "band": walk.band, "line": walk.line, "pad_value": op.pad_value,
            "in_row": in_steps[0], "in_column": in_steps[1], "out_row": out_steps[0], "out_column": out_steps[1],
            "weight": Array(np.ascontiguousarray(taps)), **op.requant_params(),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        return self.planes(node).cost * -(-node.output.shape[2] // 2)

    def scratch(self, node: Node) -> int:
        walk = self.planes(node)
        return 8 * walk.line * walk.lines

    def overlays(self, node: Node) -> dict[int, int]:
        assert isinstance(node.op, DepthwiseConv2d)
        walk, shape = self.planes(node), node.output.shape
        whole = walk.band == walk.out[0] and shape[2] % 2 == 0  # then a channel is read before it is written
        return {0: 0} if whole and node.inputs[0].shape == shape and node.op.window.strides == (1, 1) else {}


class DepthwiseMveKernel(DepthwiseKernel):
    """16 channels at a time, or neighbouring pixels of few channels; taps in groups whose sums fit 16 bits."""

    function = "edgeq_depthwise_conv2d_mve"
    source = "edgeq_depthwise_conv2d_mve.c"
    params_type = "edgeq_depthwise_conv2d_mve_params"
    isa = "mve"
    uses_scratch = True

    def supports(self, node: Node) -> bool:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.inputs[0].shape[2] == node.output.shape[2] and node.op.window.taps <= 64

    def pixels(self, node: Node) -> int:
        """Pixels that share a vector."""
        assert isinstance(node.op, DepthwiseConv2d)
        channels = node.output.shape[2]
        return LANES // channels if channels in (1, 2, 4, 8) and node.op.window.strides[1] == 1 else 1

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, DepthwiseConv2d)
        _, in_w, channels = node.inputs[0].shape
        w, pixels = op.window, self.pixels(node)
        flat = op.weight.reshape(channels, w.taps)
        order, groups = tap_groups(flat)
        at = np.array([(t // w.kernel[1] * w.dilations[0], t % w.kernel[1] * w.dilations[1]) for t in order], np.int16)
        blocks = -(-pixels * channels // LANES)

        def lanes(x: np.ndarray) -> np.ndarray:
            """(C, n) -> (blocks, n, 16)."""
            full = np.zeros((blocks * LANES, x.shape[1]), x.dtype)
            full[: pixels * channels] = np.tile(x, (pixels, 1))
            return np.ascontiguousarray(full.reshape(blocks, LANES, -1).transpose(0, 2, 1))

        requant = lanes(np.stack([op.bias, -op.shift.astype(np.int32)], 1))
        return {
            "window": w.params(node.inputs[0].shape, node.output.shape),
            "in_c": channels, "taps": w.taps, "pixels": pixels, "groups": Array(np.array(groups, np.int16)),
            "pad_value": op.pad_value, "padded": int(w.padded),
            "at": Array(at), "offset": Array((at.astype(np.int32) @ [in_w, 1] * channels).astype(np.int32)),
            "weight": Array(lanes(flat[:, order])),
            "requant": Array(np.ascontiguousarray(requant[:, :, lane_order()])), "lo": op.lo, "hi": op.hi,
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        assert isinstance(node.op, DepthwiseConv2d)
        h, w, channels = node.output.shape
        taps, pixels = node.op.window.taps, self.pixels(node)
        block = 30 + 10.5 * taps
        return h * w * ((60 + 4 * taps) / pixels + -(-channels * pixels // LANES) * block / pixels)

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, DepthwiseConv2d)
        return node.output.shape[2] if node.op.window.padded else 0


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
        (40, 37, 2, 1, Window((3, 3), pads=(1, 1, 1, 1))),  # several bands of planes
        (60, 52, 3, 1, Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
        (6, 5, 4, 1, Window((3, 3), (1, 2), pads=(2, 3, 0, 1))),
        (5, 9, 2, 1, Window((3, 3), (2, 1), pads=(0, 2, 1, 4))),
    ]:
        for spread in (0, 1, 2):
            x = activation((h, w, c), zero_point=(0, -128, -37)[spread])
            fields = random_linear((c * multiplier, *window.kernel, 1), spread)
            op = DepthwiseConv2d(*fields, window=window, pad_value=x.zero_point)
            yield Node("case", op, (x,), activation((*window.out_size((h, w)), c * multiplier), name="y"))
