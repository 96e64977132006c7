"""Order of weights that the convolutions for Armv7-M read. SPEC.md, "Weights in groups"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = 2  # taps that are multiplied together
HALF = 2**15 - 1  # what the sum of a group begins with


@dataclass(frozen=True)
class Groups:
    """The taps of all channels in groups, in which sums of products with any int8 stay in -HALF .. HALF + 1.

    taps: int8 (O, an even number). begins, ends: bool (O, steps), where a group's first and last step is. Steps outside
    groups have no weight but 0.
    """

    taps: np.ndarray
    begins: np.ndarray
    ends: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """(O,) groups of each channel."""
        return self.begins.sum(1)

    def packed(self, channel: int, skips: bool) -> bytes:
        """Each group's weights; after its first step a byte, twice the number of its other steps, odd in the last group.

        Before them, where `skips`, a byte: how many steps are skipped before the group.
        """
        spans = self.spans(channel)
        parts, done = [], 0
        for begin, end in spans:
            header = 2 * (end - begin) + ((begin, end) == spans[-1])
            parts.append(bytes([begin - done]) * skips + self.weights(channel, begin, end, header))
            done = end + 1
        return b"".join(parts)

    def packed_pairs(self, channel: int) -> bytes:
        """An even number of groups by twos. In the first of two the byte after the first step is 8 times the number of its
        other steps, plus that of the second's, plus 128 in the last two; the second has no such byte."""
        spans = self.spans(channel)
        parts = []
        for one, two in zip(spans[::2], spans[1::2], strict=True):
            header = 8 * (one[1] - one[0]) + two[1] - two[0] + 128 * (two == spans[-1])
            parts.append(self.weights(channel, *one, header) + self.weights(channel, *two))
        return b"".join(parts)

    def spans(self, channel: int) -> list[tuple[int, int]]:
        """(first step, last step) of each group."""
        begins, ends = (np.flatnonzero(at[channel]).tolist() for at in (self.begins, self.ends))
        return list(zip(begins, ends, strict=True))

    def weights(self, channel: int, begin: int, end: int, header: int | None = None) -> bytes:
        """One group's weights with a byte after the first step."""
        weight = self.taps[channel, STEP * begin : STEP * (end + 1)].tobytes()
        return weight if header is None else weight[:STEP] + bytes([header]) + weight[STEP:]

    def paired(self) -> Groups:
        """With an even number of groups in each channel, for which one is divided. The number of steps must be even."""
        begins, ends = self.begins.copy(), self.ends.copy()
        for channel in np.flatnonzero(self.count % 2):
            at = int(np.flatnonzero(~begins[channel])[0])
            begins[channel, at], ends[channel, at - 1] = True, True
        return Groups(self.taps, begins, ends)


def groups(taps: np.ndarray, most_steps: int, skips: bool = False) -> Groups:
    """(O, an even number) int8 -> groups, each as long as it can be; they leave out two and more steps of zeros where
    `skips`."""
    weight = taps.astype(np.int64).reshape(len(taps), -1, STEP)
    up, down = weight.clip(0).sum(2), -weight.clip(None, 0).sum(2)
    high, low = 127 * up + 128 * down, 128 * up + 127 * down
    used = needed(up + down > 0) if skips else np.ones(up.shape, bool)
    begins = np.zeros(up.shape, bool)
    most, least, steps = (np.zeros(len(taps), np.int64) for _ in range(3))  # of the open group
    for at in range(up.shape[1]):
        closed = ~used[:, at - 1] if at else True
        full = (most + high[:, at] > HALF + 1) | (least + low[:, at] > HALF) | (steps == most_steps)
        begins[:, at] = used[:, at] & (closed | full)
        most, least, steps = (np.where(begins[:, at], 0, total) + more
                              for total, more in ((most, high[:, at]), (least, low[:, at]), (steps, 1)))  # fmt: skip
    following = np.pad(begins | ~used, ((0, 0), (0, 1)), constant_values=True)[:, 1:]
    return Groups(taps, begins, used & following)


def needed(nonzero: np.ndarray) -> np.ndarray:
    """(O, steps) bool: nonzero steps, single zero steps between two such, and the first step of channels without any."""
    alone = np.zeros(nonzero.shape, bool)
    alone[:, 1:-1] = nonzero[:, :-2] & nonzero[:, 2:]
    used = nonzero | alone
    used[~used.any(1), 0] = True
    return used


def less_halves(bias: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(O,) int32 biases from which what the groups begin with is taken, modulo 2^32."""
    return (bias.astype(np.int64) - HALF * count).astype(np.uint64).astype(np.uint32).view(np.int32)
