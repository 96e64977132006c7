"""From what a tensor was seen to hold to how it is stored: (frac_bits, zero_point), or a real scale for inputs."""

from __future__ import annotations

import math

import numpy as np

from edgeq.calibrate.histogram import HALF, Grid, Histogram
from edgeq.errors import BadInput
from edgeq.numerics import LIMITS, frac_bits_for, round_half_up

METHODS = ("mse", "minmax", "percentile", "kl")
EXTRA_BITS = 4  # how much finer than min-max any method may go: never less than 1/16 of the observed range
PERCENTILE = 0.9999
# Bins of |x| for KL. A BatchNorm's output has spikes (one bias value a channel wherever its input is zero) that no
# even spread within a level matches, and KL then shrinks the range to keep them. Mean loss against "mse" in dB over the
# tensors of the MLPerf Tiny vww, kws, ic and ad models: 9.2, 3.2, 0.5, 1.7 with 2048 bins; 3.8, 2.1, 0.5, 2.0 with 512.
KL_BINS = 512
ALL_ZERO_FRAC_BITS = 7  # [-1, 1): any would do


def choose_range(hist: Histogram, never_negative: bool, method: str, max_frac_bits: int | None = None) -> tuple[int, int]:
    """(frac_bits, zero_point) for an int8 activation.

    never_negative: zero_point is -128 and all 8 bits are magnitude. max_frac_bits: finest resolution that the
    operator can produce. Every method picks among the min-max range and up to EXTRA_BITS halvings of it.
    Raises BadInput for an unknown method.
    """
    if method not in METHODS:
        raise BadInput(f"unknown calibration method {method!r}", hint=f"one of {', '.join(METHODS)}")
    zero_point = -128 if never_negative else 0
    if hist.max_abs == 0:
        return _capped(ALL_ZERO_FRAC_BITS, max_frac_bits), zero_point
    coarsest = _minmax(hist, zero_point)
    candidates = sorted({_capped(coarsest + extra, max_frac_bits) for extra in range(EXTRA_BITS + 1)})
    if method == "minmax":
        return candidates[0], zero_point
    if method == "percentile":
        wanted = _percentile(hist, zero_point)
        return min(max(wanted, candidates[0]), candidates[-1]), zero_point
    cost = squared_error if method == "mse" else divergence
    # min() keeps the first of equals: the wider range, which leaves room for unseen data
    return min(candidates, key=lambda frac_bits: cost(hist, frac_bits, zero_point)), zero_point


def _capped(frac_bits: int, limit: int | None) -> int:
    return frac_bits if limit is None else min(frac_bits, limit)


def _minmax(hist: Histogram, zero_point: int) -> int:
    """Finest frac_bits at which neither min nor max saturates: Jacob et al. 2018, arXiv 1712.05877, section 3.1."""
    sides = [(hist.max, 127 - zero_point), (-hist.min, zero_point + 128)]
    fits = [frac_bits_for(extent, limit) for extent, limit in sides if extent > 0 and limit > 0]
    return min(fits, default=ALL_ZERO_FRAC_BITS)


def _percentile(hist: Histogram, zero_point: int) -> int:
    """Finest frac_bits that covers 99.99 % of |x|: Wu et al. 2020, arXiv 2004.09602."""
    index = np.abs(hist.indices)
    order = np.argsort(index, kind="stable")
    covered = np.cumsum(hist.weights[order])
    edge = index[order][np.searchsorted(covered, PERCENTILE * hist.count)]
    return frac_bits_for(float(edge + 1) * hist.width, 127 - zero_point)


def squared_error(hist: Histogram, frac_bits: int, zero_point: int) -> float:
    """Expected (x - stored x)^2 over the histogram, the "MSE" of Nagel et al. 2021, arXiv 2106.08295, section 3.1.

    Values are taken to be spread evenly over their bin. While a step holds two bins or more every bin rounds as a
    whole, and its error is the centre's plus the bin's own variance. For a step of one bin or less, an unclipped
    bin errs by step^2 / 12. Bin 0 counts as exact zeros (a Relu's): zero is a level of every grid.
    """
    step, bin_variance = 2.0**-frac_bits, hist.width**2 / 12
    center = hist.centers
    level, clipped = _levels(center, step, zero_point)
    error = (center - level * step) ** 2 + bin_variance
    if step < 2 * hist.width:
        error = np.where(clipped, error, step**2 / 12)
    return float((error * hist.weights)[center != 0].sum() / hist.count)


def divergence(hist: Histogram, frac_bits: int, zero_point: int) -> float:
    """KL(P || Q) in nats, as in Migacz, "8-bit inference with TensorRT", GTC 2017, for a power-of-two threshold.

    P: the bins of |x| in range, with what is clipped added to the outermost one. Q: the bins in range without it,
    each level's mass spread evenly over its non-empty bins. Bin 0 is left out: zero is exact on every grid, and the
    spike that a Relu leaves there would drown the rest. TensorRT has 2048 bins; KL_BINS says why these are fewer.
    """
    merge = HALF // KL_BINS
    index, count = np.abs(hist.indices), hist.weights
    mass = np.bincount(index[index > 0] // merge, count[index > 0], KL_BINS)
    center = (np.arange(KL_BINS) + 0.5) * hist.width * merge
    center, mass = center[mass > 0], mass[mass > 0]
    level, clipped = _levels(center, 2.0**-frac_bits, zero_point)
    if clipped.all():
        return math.inf
    outside = mass[clipped].sum()
    level, mass = level[~clipped], mass[~clipped]
    _, group, bins = np.unique(level, return_inverse=True, return_counts=True)
    spread = (np.bincount(group, mass) / bins)[group]
    reference = mass.copy()
    reference[-1] += outside
    p, q = reference / reference.sum(), spread / spread.sum()
    return float((p * np.log(p / q)).sum())


def _levels(x: np.ndarray, step: float, zero_point: int) -> tuple[np.ndarray, np.ndarray]:
    """x / step rounded and clipped to int8 (zero point not added), and where it was clipped."""
    level = round_half_up(x / step)
    stored = np.clip(level, -128 - zero_point, 127 - zero_point)
    return stored, stored != level


# ---------------------------------------------------------------- network inputs: any real scale


def choose_input(hist: Histogram, grid: Grid | None, extremes: np.ndarray, dtype: str = "int8") -> tuple[float, int]:
    """(scale, zero_point) of a network input: its own 8-bit grid where it has one, else its range with headroom and 0.

    extremes: (N, 2) least and greatest value of each sample.
    """
    if grid is not None:
        return grid.scale, _grid_zero_point(grid, *LIMITS[dtype])
    if hist.max_abs == 0:
        return 2.0**-ALL_ZERO_FRAC_BITS, _middle(*LIMITS[dtype])
    lo, hi = with_headroom(extremes)
    return _affine(min(lo, 0.0), max(hi, 0.0), dtype)


def with_headroom(extremes: np.ndarray) -> tuple[float, float]:
    """The observed range widened on each side by as much as the most extreme sample exceeds the median one.

    A clipped input spoils every layer after it, a slightly coarser one hardly any, and the range of a few calibration
    samples is an underestimate. How much of one shows in how far single samples stand out: none where all agree.
    """
    low, high = extremes[:, 0], extremes[:, 1]
    return float(2 * low.min() - np.median(low)), float(2 * high.max() - np.median(high))


def declared_input(lo: float, hi: float, dtype: str, name: str | None = None) -> tuple[float, int]:
    """(scale, zero_point) of an input declared to lie in lo..hi. Raises BadInput naming the input `name`."""
    if not (math.isfinite(lo) and math.isfinite(hi) and lo <= 0 <= hi and lo < hi):
        hint = f"widen it to include 0, which padding needs: {min(lo, 0):g} {max(hi, 0):g}"
        if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
            hint = "give the lowest and then the highest value that the input can take, for example 0 1"
        raise BadInput(f"declared input range {lo:g} .. {hi:g} must be lowest <= 0 <= highest", node=name, hint=hint)
    if dtype not in LIMITS:
        raise BadInput(f"unknown input dtype {dtype!r}", node=name, hint=f"one of {', '.join(LIMITS)}")
    return _affine(lo, hi, dtype)


def _affine(lo: float, hi: float, dtype: str) -> tuple[float, int]:
    """255 steps from lo to hi. hi / scale is lo / scale + 255, so both round alike and neither end is clipped."""
    scale = (hi - lo) / 255
    return scale, LIMITS[dtype][0] - math.floor(lo / scale + 0.5)


def _grid_zero_point(grid: Grid, low: int, high: int) -> int:
    """All unused levels above data that is never negative (bytes go in as they are), below data that is never positive.

    Data of both signs takes the middle (0 for int8, 128 for uint8) where it fits, or has the same room at both ends.
    """
    if grid.lowest >= 0:
        return low
    if grid.highest <= 0:
        return high
    middle = _middle(low, high)
    if low <= grid.lowest + middle and grid.highest + middle <= high:
        return middle
    return low - grid.lowest + (high - low - (grid.highest - grid.lowest)) // 2


def _middle(low: int, high: int) -> int:
    return (low + high + 1) // 2
