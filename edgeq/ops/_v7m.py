"""Order of weights that the convolutions for Armv7-M read. SPEC.md, "Weights in groups"."""

from __future__ import annotations

import numpy as np

STEP = 2  # taps that are multiplied together
MAX_STEPS = 16  # in a group
HALF = 2**15 - 1  # what the sum of a group begins with


def group_starts(taps: np.ndarray) -> np.ndarray:
    """(O, taps) int8, an even number of taps -> (O, taps / 2) bool: where groups begin, greedily.

    In a group the sums of products with any int8 stay in -HALF .. HALF + 1.
    """
    weight = taps.astype(np.int64).reshape(len(taps), -1, STEP)
    up, down = weight.clip(0).sum(2), -weight.clip(None, 0).sum(2)
    starts = np.zeros(up.shape, bool)
    most, least, steps = (np.full(len(taps), 2**16, np.int64) for _ in range(3))  # of the open group; at first one too large
    for at in range(up.shape[1]):
        high, low = 127 * up[:, at] + 128 * down[:, at], 128 * up[:, at] + 127 * down[:, at]
        new = (most + high > HALF + 1) | (least + low > HALF) | (steps == MAX_STEPS)
        starts[:, at] = new
        most, least, steps = (np.where(new, 0, total) + more for total, more in ((most, high), (least, low), (steps, 1)))
    return starts


def padded(taps: np.ndarray) -> np.ndarray:
    """With zeros up to whole steps."""
    return np.pad(taps, ((0, 0), (0, -taps.shape[1] % STEP)))


def group_bytes(taps: np.ndarray, starts: np.ndarray) -> bytes:
    """One channel: each group's weights; after the first step's a byte, twice the number of the other steps, odd in the
    last group."""
    ends = [*np.flatnonzero(starts), len(starts)]
    groups = []
    for at, end in zip(ends, ends[1:], strict=False):
        weight = taps[STEP * at : STEP * end].tobytes()
        groups.append(weight[:STEP] + bytes([2 * (end - at - 1) + (end == ends[-1])]) + weight[STEP:])
    return b"".join(groups)


def less_halves(bias: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(O,) int32 biases from which what the groups begin with is taken, modulo 2^32."""
    return (bias.astype(np.int64) - HALF * groups.astype(np.int64)).astype(np.uint64).astype(np.uint32).view(np.int32)
