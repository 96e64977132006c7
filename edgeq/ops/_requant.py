"""Requantisation with a multiplier: out = clamp((sum(m * q) + bias) >> shift), for scales in any ratio."""

from __future__ import annotations

import math

import numpy as np

from edgeq.errors import QuantizationError
from edgeq.ir import Tensor
from edgeq.numerics import INT32_MAX, round_half_up, saturate

PRODUCT_BITS = 30  # sum |m * q| stays below 2^30 ...
MAX_SHIFT = 22  # ... and the output zero point's share of the bias below 128 << 22 = 2^29


def multipliers(ratios: np.ndarray, reach: float) -> tuple[np.ndarray, int]:
    """(m, shift) with m / 2^shift nearest to each real ratio: the finest common shift that leaves int32 room.

    ratios: float64, any shape; reach: largest magnitude of sum(ratio * input). m is int32 of the same shape. Powers of
    two in reach of each other are exact, and then m is as small as it can be; a ratio below 2^-(shift + 1) becomes 0.
    Raises QuantizationError where the output is too fine for any shift.
    """
    shift = min(MAX_SHIFT, math.floor(math.log2(2**PRODUCT_BITS / max(reach, 2.0**-60))))
    if shift < 0:
        raise QuantizationError(f"result reaches {reach:.4g} steps of its output, over 2^{PRODUCT_BITS}")
    m = round_half_up(np.asarray(ratios, np.float64) * 2.0**shift).astype(np.int64)
    while shift > 0 and not np.any(m & 1):
        m, shift = m >> 1, shift - 1
    return m.astype(np.int32), shift


def finest_frac_bits(reach: float) -> int:
    """Largest output frac_bits with a shift of at least 8; reach: largest magnitude of the real sum.

    That is 2^14 times finer than the step at which all results fit into 8 bits.
    """
    return math.floor(math.log2(2 ** (PRODUCT_BITS - 8) / max(reach, 2.0**-60)))


def rounding_bias(zero_point: int, shift: int) -> int:
    """What the accumulator starts with: the output's zero point and the rounding constant."""
    return (zero_point << shift) + ((1 << shift) >> 1)


def prove_int32(worst: int, what: str) -> None:
    """Raises QuantizationError where an intermediate can leave int32."""
    if worst > INT32_MAX:
        raise QuantizationError(f"{what} can reach {worst}, over 2^31 - 1")


def prove_shift(shift: int) -> None:
    """Raises QuantizationError for a shift that C does not define on int32."""
    if not 0 <= shift <= 31:
        raise QuantizationError(f"shift {shift} is not in 0..31")


def max_magnitude(zero_point: int) -> int:
    """Largest |q - zero_point| of an int8 tensor."""
    return max(127 - zero_point, zero_point + 128)


def narrowed(lo: float, hi: float, new_lo: float, new_hi: float) -> tuple[float, float]:
    """The bounds of a layer clamped to [lo, hi], then to [new_lo, new_hi]."""
    return min(max(lo, new_lo), new_hi), min(max(hi, new_lo), new_hi)


def clamp_bounds(lo: float, hi: float, output: Tensor) -> tuple[int, int]:
    """Real clamp bounds as integers of the output tensor, within int8."""
    q = [saturate(round_half_up(np.clip(b / output.scale, -1e6, 1e6)) + output.zero_point) for b in (lo, hi)]
    return int(q[0]), int(q[1])


def prove_clamp(lo: int, hi: int) -> None:
    """Raises QuantizationError for bounds that are no int8 interval."""
    if not -128 <= lo <= hi <= 127:
        raise QuantizationError(f"clamp bounds {lo}..{hi} are not within -128..127")
