"""What convolutions, depthwise convolutions and fully connected layers share: folding, proof and requantisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import IntOp, Layer, LayerOp, QuantContext, Shape, Tensor
from edgeq.numerics import INT32_MAX, round_half_up, saturate
from edgeq.ops._base import Array, Params
from edgeq.ops._requant import clamp_bounds, narrowed, prove_clamp

INF = float("inf")
MAX_SHIFT = 31


@dataclass(frozen=True, eq=False)
class LinearOp(IntOp):
    """acc[o] = bias[o] + sum(weight[o] * q); out = clamp(acc >> shift[o], lo, hi).

    weight: int8, output channel first. bias: (O,) int32; it holds the real bias, both zero points and the rounding
    constant. shift: (O,) uint8, 0..31.
    """

    weight: np.ndarray
    bias: np.ndarray
    shift: np.ndarray
    lo: int
    hi: int

    def requantize(self, acc: np.ndarray) -> np.ndarray:
        """(..., O) int64 sums of products -> (..., O) int8."""
        return saturate((acc + self.bias.astype(np.int64)) >> self.shift.astype(np.int64), self.lo, self.hi)

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        channels = len(self.weight)
        if not (len(self.bias) == len(self.shift) == channels):
            raise QuantizationError(f"{channels} channels, {len(self.bias)} biases, {len(self.shift)} shifts")
        if self.weight.dtype != np.int8 or self.bias.dtype != np.int32 or self.shift.dtype != np.uint8:
            raise QuantizationError("weights must be int8, biases int32, shifts uint8")
        prove_clamp(self.lo, self.hi)
        if self.shift.max(initial=0) > MAX_SHIFT:
            raise QuantizationError(f"shift {self.shift.max()} is over {MAX_SHIFT}")
        magnitude = np.abs(self.weight.reshape(channels, -1).astype(np.int64)).sum(1) * 128
        worst = magnitude + np.abs(self.bias.astype(np.int64))
        if worst.max(initial=0) > INT32_MAX:
            raise QuantizationError(f"accumulator of channel {worst.argmax()} can reach {worst.max()}, over 2^31 - 1")

    def weight_bytes(self) -> int:
        return self.weight.size + 4 * self.bias.size

    def requant_params(self) -> Params:
        """The fields bias, shift, lo and hi of the params structs."""
        return {"bias": Array(self.bias), "shift": Array(self.shift), "lo": self.lo, "hi": self.hi}


@dataclass(frozen=True, eq=False)
class LinearLayer(LayerOp):
    """A float layer out[o] = bias[o] + sum(weight[o] * x), clamped to [lo, hi]. weight float32, output channel first."""

    weight: np.ndarray
    bias: np.ndarray
    lo: float = -INF
    hi: float = INF
    int_op: ClassVar[type[LinearOp]]

    def with_clamp(self, lo: float, hi: float) -> LayerOp:
        lo, hi = narrowed(self.lo, self.hi, lo, hi)
        return replace(self, lo=lo, hi=hi)

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        return self.lo >= 0

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int | None:
        """Where even a weight rounded to 7 bits would need a left shift afterwards."""
        effective = np.abs(self.weight.astype(np.float64)) * inputs[0].scale
        return int(np.floor(np.log2(127 / max(float(effective.max(initial=0)), 2.0**-120))))

    def params(self) -> int:
        return int(self.weight.size + self.bias.size)

    def respond(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(O,) output of the layer for weight (O, ...) and input x (the stored shape), averaged over its positions."""
        raise NotImplementedError

    def geometry(self, inputs: Sequence[Tensor]) -> dict[str, Any]:
        """Further fields of the integer operator."""
        return {}

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        x = inputs[0]
        effective = self.weight.astype(np.float64) * x.scale
        weight, acc_frac = ctx.weights(layer, effective, self.bias, output)
        assert output.frac_bits is not None
        shift = acc_frac - output.frac_bits
        scale = np.exp2(acc_frac)
        bias = round_half_up((self.bias.astype(np.float64) + self._correction(ctx, layer, x, effective, weight, scale)) * scale)
        bias -= weight.reshape(len(weight), -1).astype(np.int64).sum(1) * float(x.zero_point)
        bias += output.zero_point * np.exp2(shift) + np.floor(np.exp2(shift - 1.0))
        over = int(np.abs(bias).argmax())
        if abs(bias[over]) > INT32_MAX:
            raise QuantizationError(
                f"bias of channel {over} needs {bias[over]:.4g}, over 2^31 - 1", node=", ".join(layer.onnx_nodes),
                hint="a range closer to the data's (--input-range), or a model whose weights are not all tiny",
            )  # fmt: skip
        lo, hi = clamp_bounds(self.lo, self.hi, output)
        return self.int_op(weight, bias.astype(np.int32), shift.astype(np.uint8), lo, hi, **self.geometry(inputs))

    def _correction(
        self, ctx: QuantContext, layer: Layer, x: Tensor, effective: np.ndarray, weight: np.ndarray, scale: np.ndarray
    ) -> np.ndarray | float:
        """Bias correction: what rounding the weights takes from each channel's mean output over the calibration data.

        Exact for that part, since the mean of a linear layer's output is its output for the mean input.
        Source: Nagel et al. 2019, arXiv 1906.04721, section 4.2, with observed instead of estimated means.
        """
        mean = ctx.mean_input(layer)
        if mean is None:
            return 0.0
        error = effective - weight / scale.reshape(-1, *(1,) * (weight.ndim - 1))
        return self.respond(error, mean / x.scale)


def conv_macs(weight: np.ndarray, output: Shape) -> int:
    """MACs of a convolution with weight (O, kh, kw, C/groups) and output (H, W, O)."""
    return int(output[0] * output[1] * weight.size)
