"""Orders of weights that the kernels for Armv7E-M and Armv8-M with DSP read. SPEC.md, "Weights for DSP kernels"."""

from __future__ import annotations

import numpy as np

LAST = -(2**31)  # marks the last block of channels in its word of shifts


def row_order(weight: np.ndarray) -> np.ndarray:
    """(O, kh, kw, C) -> (O, taps): of each row as many whole fours of taps as it has, then the rows' rests."""
    rows = weight.reshape(*weight.shape[:2], -1)
    whole = rows.shape[2] // 4 * 4
    return np.concatenate([rows[:, :, :whole].reshape(len(weight), -1), rows[:, :, whole:].reshape(len(weight), -1)], 1)


def channel_pairs(taps: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """int32 words for each two of the (O, taps) channels: their biases, for each four taps a word of either, their shifts.

    The last word of the last pair is negative. Of an odd number of channels the last two follow as a run of their own.
    """
    runs = [range(0, len(taps) - 1, 2)]
    if len(taps) % 2:
        runs.append(range(len(taps) - 2, len(taps), 2))
    words = [_block(taps, bias, shift, range(at, at + 2), last=at == run[-1]) for run in runs for at in run]
    return np.concatenate(words)


def _block(taps: np.ndarray, bias: np.ndarray, shift: np.ndarray, channels: range, last: bool) -> np.ndarray:
    padded = np.pad(taps[channels.start : channels.stop], ((0, 0), (0, -taps.shape[1] % 4)))
    words = np.ascontiguousarray(padded).view("<i4")  # (channels, steps)
    shifts = sum(int(shift[c]) << 8 * i for i, c in enumerate(channels)) + (LAST if last else 0)
    return np.concatenate([bias[channels.start : channels.stop], words.T.ravel(), [shifts]]).astype(np.int32)
