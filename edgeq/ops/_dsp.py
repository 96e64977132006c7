"""Orders of weights that the kernels for Armv7E-M and Armv8-M with DSP read. SPEC.md, "Weights for DSP kernels"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeq.numerics import saturate

LAST = -(2**31)  # marks the last block of a run in its word of shifts
PART, FINAL = 0x80, 0x40  # mark a block as part of a window's taps, and as its last part
ACC_BITS, MAX_SHIFT = 24, 23  # of the second of two channels in a word: 8 bits more are an int32, and a shift by 31


def row_order(weight: np.ndarray) -> np.ndarray:
    """(O, kh, kw, C) -> (O, taps): of each row as many whole fours of taps as it has, then the rows' rests."""
    rows = weight.reshape(*weight.shape[:2], -1)
    whole = rows.shape[2] // 4 * 4
    return np.concatenate([rows[:, :, :whole].reshape(len(weight), -1), rows[:, :, whole:].reshape(len(weight), -1)], 1)


def two_steps(taps: np.ndarray) -> np.ndarray:
    """(4, T) -> int32 words: for each two taps a word of channels 0 and 1, bytes of one tap, then the other; one of 2 and 3."""
    padded = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 2)))
    return padded.reshape(2, 2, -1, 2).transpose(2, 0, 3, 1).reshape(-1, 4).view("<i4").ravel()


def pair_steps(taps: np.ndarray) -> np.ndarray:
    """(2 P, T) -> int32 words: for each four taps, of each two channels taps 0 and 2 as int16, then 1 and 3; an int16 is
    256 * second + first."""
    padded = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 4))).astype("<i2")
    words = (256 * padded[1::2] + padded[::2]).reshape(len(taps) // 2, -1, 2, 2).transpose(1, 0, 3, 2)
    return np.frombuffer(words.tobytes(), "<i4")


def runs(channels: int, size: int) -> list[range]:
    """The first channels of blocks of `size`, and where some are left, in a run of its own that of the last ones."""
    return [range(0, channels - size + 1, size), *([range(channels - size, channels - size + 1)] if channels % size else [])]


def blocks(
    run: Sequence[int], size: int, taps: np.ndarray, bias: np.ndarray, shift: np.ndarray,
    pack: Callable[[np.ndarray], np.ndarray] = pair_steps, marks: int = 0,
) -> np.ndarray:  # fmt: skip
    """int32 words for the `size` channels from each of a run: their biases, modulo 2^32; their (O, T) taps as `pack` orders
    them; their shifts, the first in the lowest byte, and marks. The last word is negative."""
    words: list[np.ndarray | list[int]] = []
    for at in run:
        block = slice(at, at + size)
        shifts = sum(int(s) << 8 * i for i, s in enumerate(shift[block])) + marks + (LAST if at == run[-1] else 0)
        words += [bias[block], pack(np.ascontiguousarray(taps[block])), [shifts]]
    return np.concatenate(words).astype(np.int32)


# Two channels in a word


def fits(taps: np.ndarray | Sequence[np.ndarray]) -> bool:
    """Whether pair_steps can hold (.., T) int8 taps, and all sums of T products with int8 have 24 bits."""
    return bool(np.min(taps) > -128 and 128 * np.abs(np.asarray(taps, np.int64)).sum(-1).max() < 2 ** (ACC_BITS - 1))


def settled(taps: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bias, shift) to the same effect where a channel's (O, T) taps are all 0: its result, and no shift."""
    empty = ~taps.any(1)
    return np.where(empty, saturate(bias >> shift), bias).astype(np.int64), np.where(empty, 0, shift)


def joins(taps: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> bool:
    """Whether blocks can be `joined`: pair_steps can hold the (O, T) taps, and all accumulators have 24 bits."""
    bias, shift = settled(taps, bias, shift)
    wide = taps.astype(np.int64)
    above, below = wide.clip(0).sum(1), -wide.clip(None, 0).sum(1)
    least, most = bias - 128 * above - 127 * below, bias + 127 * above + 128 * below
    limit = 2 ** (ACC_BITS - 1)
    return bool(taps.min() > -128 and least.min() >= -limit and most.max() < limit and shift.max() <= MAX_SHIFT)


def joined(run: Sequence[int], size: int, taps: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """As blocks, for accumulators of 256 times the second of two channels and the first, and a shift by 8 more."""
    bias, shift = settled(taps, bias, shift)
    second = (np.arange(len(taps)) - run[0]) % 2
    return blocks(run, size, taps, bias + second * (255 * bias + np.roll(bias, 1)), shift + 8 * second)
