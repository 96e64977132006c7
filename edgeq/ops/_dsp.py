"""Orders of weights that the kernels for Armv7E-M and Armv8-M with DSP read. SPEC.md, "Weights for DSP kernels"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LAST = -(2**31)  # marks the last block of channels in its word of shifts
PART, FINAL = 0x80, 0x40  # mark a block as part of a window's taps, and as its last part


def row_order(weight: np.ndarray) -> np.ndarray:
    """(O, kh, kw, C) -> (O, taps): of each row as many whole fours of taps as it has, then the rows' rests."""
    rows = weight.reshape(*weight.shape[:2], -1)
    whole = rows.shape[2] // 4 * 4
    return np.concatenate([rows[:, :, :whole].reshape(len(weight), -1), rows[:, :, whole:].reshape(len(weight), -1)], 1)


def four_steps(taps: np.ndarray) -> np.ndarray:
    """(4, T) -> int32 words: for each four taps a word of each channel."""
    padded = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 4)))
    return np.ascontiguousarray(padded).view("<i4").T.ravel()


def two_steps(taps: np.ndarray) -> np.ndarray:
    """(4, T) -> int32 words: for each two taps a word of channels 0 and 1, bytes of one tap, then the other; one of 2 and 3."""
    padded = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 2)))
    return padded.reshape(2, 2, -1, 2).transpose(2, 0, 3, 1).reshape(-1, 4).view("<i4").ravel()


def channel_blocks(
    taps: np.ndarray, bias: np.ndarray, shift: np.ndarray, pack: Callable[[np.ndarray], np.ndarray] = four_steps
) -> np.ndarray:
    """int32 words for each four of the (O, T) channels: their biases, their taps as `pack` orders them, their shifts.

    The last word of the last block is negative. Where O is no multiple of 4, its last four channels follow as a run of
    their own.
    """
    count = len(taps)
    runs = [range(0, count - 3, 4), *([range(count - 4, count - 3)] if count % 4 else [])]
    words: list[np.ndarray | list[int]] = []
    for run in runs:
        for at in run:
            shifts = sum(int(shift[at + i]) << 8 * i for i in range(4)) + (LAST if at == run[-1] else 0)
            words += [bias[at : at + 4], pack(np.ascontiguousarray(taps[at : at + 4])), [shifts]]
    return np.concatenate(words).astype(np.int32)


def pair_steps(taps: np.ndarray) -> np.ndarray:
    """(2, T) -> int32 words: for each four taps of two channels a word of taps 0 and 2 in turn, and one of 1 and 3."""
    padded = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 4)))
    return padded.reshape(2, -1, 2, 2).transpose(1, 3, 2, 0).reshape(-1, 4).view("<i4").ravel()


def channel_pairs(taps: np.ndarray, bias: np.ndarray, shift: np.ndarray, parts: int = 1) -> np.ndarray:
    """int32 words for each two of the (O, T) channels: their biases, their taps (pair_steps), their shifts.

    Of an odd number the last two follow as a run of their own. The last word of a run is negative. In parts, each run
    holds the next T / parts taps of all pairs, and only the first the biases.
    """
    runs = [range(0, len(taps) - 1, 2), *([range(len(taps) - 2, len(taps) - 1)] if len(taps) % 2 else [])]
    words: list[np.ndarray | list[int]] = []
    for part, some in enumerate(np.split(taps, parts, axis=1)):
        marks = 0 if parts == 1 else PART + (FINAL if part == parts - 1 else 0)
        for run in runs:
            for at in run:
                shifts = int(shift[at]) + (int(shift[at + 1]) << 8) + marks + (LAST if at == run[-1] else 0)
                words += [bias[at : at + 2] if part == 0 else [], pair_steps(some[at : at + 2]), [shifts]]
    return np.concatenate(words).astype(np.int32)
