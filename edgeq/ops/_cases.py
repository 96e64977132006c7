"""Building blocks of the operators' test cases. Deterministic."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Shape, Tensor


def activation(shape: Shape, zero_point: int = 0, frac_bits: int = 4, name: str = "x") -> Tensor:
    """An int8 tensor."""
    return Tensor(name, shape, 2.0**-frac_bits, zero_point)


def limit_linear(shape: Shape, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """(weight int8 of `shape`, bias, shift, lo, hi) of a linear operator whose accumulators reach just limit - 1, or -limit,
    at inputs that are all lowest, all highest or the two in turn. The first and fourth channel have no weights."""
    rng = np.random.default_rng(shape)
    channel, tap = np.arange(shape[0])[:, None], np.arange(np.prod(shape[1:]))
    sign = np.where(channel % 3 == 0, 1, np.where(channel % 3 == 1, -1, 1 - tap % 2 * 2))
    weight = rng.integers(100, 128, sign.shape) * sign
    weight[:4:3] = 0
    above, below = weight.clip(0).sum(1), -weight.clip(None, 0).sum(1)
    bias = np.where(channel[:, 0] // 2 % 2, limit - 1 - 127 * above - 128 * below, 128 * above + 127 * below - limit)
    most = limit.bit_length() - 1
    shift = np.resize([most - 7, 0, most, most - 7, most - 8], len(bias))
    shift[0] = 31
    return weight.reshape(shape).astype(np.int8), bias.astype(np.int32), shift.astype(np.uint8), -128, 127


def random_linear(shape: Shape, spread: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """(weight int8 of `shape`, bias, shift, lo, hi) of a linear operator.

    spread 0: one shift for all channels, results of medium size; 1: shifts differ by channel and clamp bounds cut;
    2: extreme: weights -128/127, shifts from 0 to 24, so that most results saturate or vanish.
    """
    rng = np.random.default_rng([*shape, spread])
    channels, taps = shape[0], int(np.prod(shape[1:]))
    if spread == 2:
        weight = rng.choice(np.array([-128, 127], np.int8), shape)
        shift = rng.choice(np.array([0, 1, 7, 15, 24], np.uint8), channels)
        bias = rng.integers(-(2**30), 2**30, channels)
        return weight, bias.astype(np.int32), shift, -128, 127
    weight = rng.integers(-127, 128, shape).astype(np.int8)
    base = max(1, int(np.log2(127 * 74 * np.sqrt(taps) / 64)))
    shift = np.full(channels, base, np.uint8)
    if spread == 1:
        shift = (shift + rng.integers(-1, 3, channels)).clip(1, 31).astype(np.uint8)
    bias = rng.integers(-40, 40, channels) * 2**base
    return weight, bias.astype(np.int32), shift, (-128, -5)[spread], (127, 90)[spread]
