"""Streaming statistics of one tensor in bounded memory: a histogram on a power-of-two grid, and grid detection."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeq.errors import QuantizationError

BINS = 8192
HALF = BINS // 2
_INDEX = np.arange(BINS) - HALF  # signed bin index of every entry of counts

GRID_LEVELS = 256  # of an 8-bit tensor
GRID_TOLERANCE = 1e-3  # of a level: far above float32 rounding (255 * 2^-24), far below what 8 bits can show
FEW_VALUES = 16  # fewer distinct values than this are no evidence of how fine the data really is


class Histogram:
    """Counts of trunc(x / width), |index| < 4096, where width = 2^k is decided by the largest |x| alone.

    Because indices truncate towards zero, trunc(trunc(x / w) / 2) == trunc(x / 2w): doubling the width merges
    neighbouring bins without loss, and any order of additions and merges gives the very same counts.
    Bin 0 covers (-width, width) and so keeps exact zeros at exactly zero; bin i > 0 covers [i, i + 1) * width, bin -i
    its mirror image. The largest |x| is at least 2048 widths, so the bins are about 16 times finer than a step
    of the 8-bit grid that spans the data.

    counts: (8192,) int64 of bins -4096..4095 (-4096 is never used); min, max: exact; count: values; samples: adds.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.exponent: int | None = None  # width = 2^exponent; None while every value was zero
        self.min, self.max = math.inf, -math.inf
        self.count = self.samples = 0

    @property
    def width(self) -> float:
        """Bin width, 0.0 while every value was zero."""
        return 0.0 if self.exponent is None else math.ldexp(1.0, self.exponent)

    @property
    def max_abs(self) -> float:
        return max(abs(self.min), abs(self.max)) if self.count else 0.0

    @property
    def indices(self) -> np.ndarray:
        """(B,) signed indices of the non-empty bins, ascending."""
        return _INDEX[self.counts > 0]

    @property
    def centers(self) -> np.ndarray:
        """(B,) float64 centres of the non-empty bins; 0.0 for bin 0."""
        i = self.indices
        return np.asarray((i + 0.5 * np.sign(i)) * self.width)

    @property
    def weights(self) -> np.ndarray:
        """(B,) int64 counts of the non-empty bins."""
        return self.counts[self.counts > 0]

    def add(self, array: np.ndarray) -> None:
        """Counts every value of one sample's array (any shape, float32). Raises QuantizationError on NaN or inf."""
        x = np.asarray(array, np.float32).ravel()
        if x.size == 0:
            return
        lo, hi = float(x.min()), float(x.max())  # NaN and inf surface here, without a pass of their own
        if not (math.isfinite(lo) and math.isfinite(hi)):
            raise QuantizationError(f"{int((~np.isfinite(x)).sum())} of {x.size} values are NaN or inf")
        self._widen(max(-lo, hi))
        self.counts += np.bincount(self._bin(x), minlength=BINS)
        self.min, self.max = min(self.min, lo), max(self.max, hi)
        self.count += x.size
        self.samples += 1

    def merged(self, other: Histogram) -> Histogram:
        """The histogram of both tensors' values together, for tensors that must share one scale."""
        out = Histogram()
        for part in (self, other):
            if part.exponent is not None and (out.exponent is None or part.exponent > out.exponent):
                out.exponent = part.exponent
        for part in (self, other):
            out.counts += _coarser(part.counts, _steps(part.exponent, out.exponent))
        out.min, out.max = min(self.min, other.min), max(self.max, other.max)
        out.count, out.samples = self.count + other.count, self.samples + other.samples
        return out

    def _widen(self, max_abs: float) -> None:
        """Makes bins wide enough that max_abs / width < 4096."""
        if max_abs == 0:
            return
        needed = math.frexp(max_abs)[1] - (HALF.bit_length() - 1)  # max_abs < 2^e = 4096 * 2^(e - 12)
        if self.exponent is None or needed > self.exponent:
            self.counts = _coarser(self.counts, _steps(self.exponent, needed))
            self.exponent = needed

    def _bin(self, x: np.ndarray) -> np.ndarray:
        """float32 values -> int32 positions in counts."""
        if self.exponent is None:
            return np.full(x.size, HALF, np.int32)
        # Exact in float32 wherever the result reaches 1; only 1 / width of the very smallest widths would overflow.
        wide = x.astype(np.float64) if self.exponent < -120 else x
        index = (wide * wide.dtype.type(math.ldexp(1.0, -self.exponent))).astype(np.int32)
        index += HALF
        return index


def _steps(old: int | None, new: int | None) -> int:
    """How often the width doubles. Where it was unknown every value is a zero, which no doubling moves."""
    return 0 if old is None or new is None else new - old


def _coarser(counts: np.ndarray, steps: int) -> np.ndarray:
    """Counts after doubling the bin width `steps` times: index i goes to trunc(i / 2^steps)."""
    if steps == 0:
        return counts
    target = np.sign(_INDEX) * (np.abs(_INDEX) >> min(steps, 62))
    return np.bincount(target + HALF, weights=counts, minlength=BINS).astype(np.int64)  # float64: exact below 2^53


# ---------------------------------------------------------------- data that is on an 8-bit grid already


@dataclass(frozen=True)
class Grid:
    """Every value seen is scale * i for an integer i in lowest..highest, which includes 0 and spans at most 255."""

    scale: float
    lowest: int
    highest: int


class GridFinder:
    """Collects the distinct values of a network input until they are more than 8 bits can hold."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = np.zeros(1, np.float32)  # 0 is always a level: padding writes it

    def add(self, array: np.ndarray) -> None:
        """One sample's array, finite float32, any shape."""
        if self.values is not None:
            values = np.union1d(self.values, np.asarray(array, np.float32))
            self.values = values if len(values) <= GRID_LEVELS else None

    def grid(self) -> Grid | None:
        """The grid of all values so far, or None where there is none (or all values were zero)."""
        return None if self.values is None else find_grid(self.values)


def find_grid(values: np.ndarray) -> Grid | None:
    """The coarsest grid of at most 256 levels through zero that holds every value to 1e-3 of a level, or None.

    values: distinct, finite. The smallest gap between two values is a multiple of the step, so gap / 1, gap / 2, ...
    are the candidates, coarsest first; each is refined by least squares, because one gap alone carries the float32
    rounding of its two ends.
    Few distinct values (one-hot, flags) say little about what lies between them: there the step is divided so that
    the range uses all levels. {0, 1} becomes 1/255, still exact for both, and an unseen 0.5 stays one.
    """
    v = np.union1d([0.0], np.asarray(values, np.float64))
    span = float(v[-1] - v[0])
    if span == 0:
        return None
    finest = span / (GRID_LEVELS - 1)
    gaps = np.diff(v)
    gap = float(gaps[gaps > 2 * GRID_TOLERANCE * finest].min())  # anything smaller is one level rounded two ways
    for divisor in range(1, math.floor(gap / finest * (1 + GRID_TOLERANCE)) + 1):
        grid = _fit(v, gap / divisor)
        if grid is not None:
            return _spread(grid) if len(v) < FEW_VALUES else grid
    return None


def _fit(v: np.ndarray, step: float) -> Grid | None:
    """The grid nearest to this step if it holds all of v."""
    level = np.round(v / step)
    scale = _snap(float((v * level).sum() / (level * level).sum()))
    if np.abs(v / scale - level).max() > GRID_TOLERANCE or level[-1] - level[0] > GRID_LEVELS - 1:
        return None
    return Grid(scale, int(level[0]), int(level[-1]))


def _snap(scale: float) -> float:
    """An integer, or one over an integer, where float32 rounding is all that separates the scale from it."""
    whole, parts = round(scale), round(1 / scale)
    if whole and abs(scale / whole - 1) < 1e-6:
        return float(whole)
    return 1 / parts if 0 < parts < 65536 and abs(scale * parts - 1) < 1e-6 else scale


def _spread(grid: Grid) -> Grid:
    times = (GRID_LEVELS - 1) // (grid.highest - grid.lowest)
    return Grid(grid.scale / times, grid.lowest * times, grid.highest * times)
