"""Rounding of weights: int8, symmetric, one power-of-two scale an output channel, as fine as the accumulator allows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Layer, QuantContext, Tensor
from edgeq.numerics import INT32_MAX, frac_bits_for, round_half_up

MAX_SHIFT = 22  # the folded output zero point, 128 << shift, and the rounding constant stay below 2^30
EMPTY_SHIFT = 8  # of a channel without weights, where no other channel gives one


class MinMaxWeights(QuantContext):
    """Each channel's scale is the finest at which no weight saturates and no accumulator can overflow.

    means: tensor name -> mean of its stored values, for bias correction.
    """

    def __init__(self, means: Mapping[str, np.ndarray]):
        self.means = means

    def mean_input(self, layer: Layer) -> np.ndarray | None:
        return self.means.get(layer.inputs[0])

    def weights(self, layer: Layer, effective: np.ndarray, bias: np.ndarray, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        frac = channel_frac_bits(effective, bias, output, ", ".join(layer.onnx_nodes))
        scaled = effective * np.exp2(frac).reshape(-1, *(1,) * (effective.ndim - 1))
        return round_half_up(scaled).astype(np.int8), frac


def channel_frac_bits(effective: np.ndarray, bias: np.ndarray, output: Tensor, node: str) -> np.ndarray:
    """(O,) frac_bits of the accumulator.

    effective: (O, ...) float64 real weight times input scale; bias: (O,). Raises QuantizationError naming `node`
    where the output is finer than the accumulator can be.
    """
    assert output.frac_bits is not None
    rows = effective.reshape(len(effective), -1)
    largest = np.abs(rows).max(1, initial=0)
    frac = np.array([frac_bits_for(m) for m in largest])
    used = largest > 0
    frac[~used] = frac[used].min() if used.any() else output.frac_bits + EMPTY_SHIFT
    frac = np.minimum(frac, output.frac_bits + MAX_SHIFT)
    # |bias| + |input zero point| sum|w| + sum|w| |q| + |output zero point| and rounding, all below 2^31
    limit = INT32_MAX - 2**30
    need = (np.abs(bias) + 256 * np.abs(rows).sum(1)) * np.exp2(frac) + 128 * rows.shape[1]
    while (over := need > limit).any():
        frac[over] -= 1
        need[over] /= 2
    if (frac < output.frac_bits).any():
        channel = int(np.argmin(frac))
        raise QuantizationError(
            f"channel {channel} has weights up to {largest[channel]:.4g} and bias {bias[channel]:.4g}: its accumulator "
            f"has {frac[channel]} frac_bits, its output {output.frac_bits}", node=node,
            hint="a wider output range (--method minmax), or clip the model's weights",
        )  # fmt: skip
    return frac
