"""Integer and power-of-two arithmetic of the numeric contract (SPEC.md, section 1). numpy only."""

from __future__ import annotations

import math

import numpy as np

INT8 = (-128, 127)
UINT8 = (0, 255)
INT32_MAX = 2**31 - 1
LIMITS = {"int8": INT8, "uint8": UINT8}


def round_shift(v: np.ndarray, s: np.ndarray | int) -> np.ndarray:
    """floor(v / 2^s + 1/2), the one rounding of the contract: half up. v: any int array, s >= 0, broadcast."""
    v, s = np.asarray(v, np.int64), np.asarray(s, np.int64)
    return (v + ((np.int64(1) << s) >> 1)) >> s


def saturate(v: np.ndarray, lo: int = -128, hi: int = 127, dtype: str = "int8") -> np.ndarray:
    """Clamps to [lo, hi] and casts to `dtype`."""
    return np.clip(v, lo, hi).astype(dtype)


def round_half_up(x: np.ndarray | float) -> np.ndarray:
    """floor(x + 1/2) as float64: how every real constant becomes an integer at build time."""
    return np.asarray(np.floor(np.asarray(x, np.float64) + 0.5))


def quantize(x: np.ndarray, scale: float, zero_point: int, dtype: str = "int8") -> np.ndarray:
    """Real array to integers, q = clamp(round(x / scale) + zero_point), same shape."""
    lo, hi = LIMITS[dtype]
    return saturate(round_half_up(np.asarray(x, np.float64) / scale) + zero_point, lo, hi, dtype)


def dequantize(q: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Integers to real values, (q - zero_point) * scale, float32, same shape."""
    return ((q.astype(np.float64) - zero_point) * scale).astype(np.float32)


def frac_bits_of(scale: float) -> int | None:
    """frac_bits with scale == 2^-frac_bits, or None where the scale is not a power of two."""
    mantissa, exponent = math.frexp(scale)
    return 1 - exponent if mantissa == 0.5 else None


def frac_bits_for(max_abs: float, limit: int = 127) -> int:
    """Largest frac_bits with round(max_abs * 2^frac_bits) <= limit; 0 for an all-zero tensor."""
    if max_abs <= 0:
        return 0
    f = math.floor(math.log2((limit + 0.5) / max_abs))
    while math.floor(max_abs * 2.0 ** (f + 1) + 0.5) <= limit:  # log2 may be off by an ulp either way
        f += 1
    while math.floor(max_abs * 2.0**f + 0.5) > limit:
        f -= 1
    return f


def sqnr_db(reference: np.ndarray, value: np.ndarray) -> float:
    """10 log10(sum(reference^2) / sum((reference - value)^2)) in dB; inf where they are equal."""
    ref, val = np.asarray(reference, np.float64), np.asarray(value, np.float64)
    noise = float(((ref - val) ** 2).sum())
    signal = float((ref**2).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
