"""Streams of weights that the kernels for Armv6-M read. SPEC.md, "Weights for Armv6-M kernels"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeq.ops._base import Array, Params
from edgeq.ops._linear import LinearOp

STEPS = 7  # of two taps, in the longest group
REACH = 0x7FFF  # of a group's sums
END, SKIP = 8, 9
LONGEST_SKIP = 255
WORTH_SKIPPING = 3  # steps of zeros


@dataclass(frozen=True)
class Skip:
    """So many steps of zeros."""

    steps: int


Run = np.ndarray | Skip  # a group's weights, (taps,) int8, or zeros


def reach(weights: np.ndarray) -> np.ndarray:
    """The largest absolute value, nearly, of sum(weights * q) over the last axis for int8 q; it fits 16 bits up to 0x7FFF.

    128 for each unit of the sign of which there is more, 127 of the other.
    """
    by_sign = [np.abs(np.where(keep, weights, 0).astype(np.int64)).sum(-1) for keep in (weights > 0, weights < 0)]
    return 127 * (by_sign[0] + by_sign[1]) + np.maximum(*by_sign)


def padded(weight: np.ndarray) -> np.ndarray:
    """(O, taps) with an even number of taps."""
    return np.pad(weight, ((0, 0), (0, weight.shape[1] % 2)))


def streamable(weight: np.ndarray) -> bool:
    """Whether any two taps of a step fit a group; all do but -128 beside -128."""
    steps = padded(weight).reshape(len(weight), -1, 2)
    return bool((reach(steps) <= REACH).all())


def runs(taps: np.ndarray) -> Iterator[Run]:
    """The (even number of) taps of a channel as groups whose sums fit 16 bits, each as long as possible. Zeros at
    the end are left out."""
    steps = taps.reshape(-1, 2)
    nonzero = np.flatnonzero(steps.any(1))
    at = 0
    for part in np.split(nonzero, np.flatnonzero(np.diff(nonzero) > WORTH_SKIPPING) + 1):
        if not len(part):
            return
        while part[0] - at >= WORTH_SKIPPING:
            zeros = min(int(part[0]) - at, LONGEST_SKIP)
            yield Skip(zeros)
            at += zeros
        while at <= part[-1]:
            count = 1
            while count < STEPS and at + count <= part[-1] and reach(steps[at : at + count + 1].ravel()) <= REACH:
                count += 1
            yield steps[at : at + count].ravel()
            at += count


def encode(channel: list[Run]) -> bytes:
    """A channel's runs as bytes; codes in half bytes, low one first, before the first of what they announce."""
    out = bytearray()
    header: int | None = None  # where a free upper half is

    def announce(code: int) -> None:
        nonlocal header
        if header is None:
            header = len(out)
            out.append(code)
        else:
            out[header] |= code << 4
            header = None

    for run in channel:
        if isinstance(run, Skip):
            announce(SKIP)
            out.append(run.steps)
            header = None
        else:
            announce(STEPS - len(run) // 2)
            out.extend(run.astype(np.int8).tobytes())
    announce(END)
    return bytes(out)


@dataclass(frozen=True)
class Stream:
    """Weights of all channels, chunk by chunk of taps; how many groups each channel has; steps and skips in all."""

    data: bytes
    groups: np.ndarray
    steps: int
    skips: int


def stream(weight: np.ndarray, chunk: int) -> Stream:
    """weight: (O, taps) int8. chunk: taps at a time, even."""
    rows = padded(weight)
    coded = [[list(runs(row[at : at + chunk])) for row in rows] for at in range(0, rows.shape[1], chunk)]
    groups = sum(np.array([sum(isinstance(r, np.ndarray) for r in row) for row in part]) for part in coded)
    every = [run for part in coded for row in part for run in row]
    steps = sum(len(r) // 2 for r in every if isinstance(r, np.ndarray))
    skips = sum(isinstance(r, Skip) for r in every)
    return Stream(b"".join(encode(row) for part in coded for row in part), np.asarray(groups), steps, skips)


def folded_bias(op: LinearOp) -> np.ndarray:
    """(O,) int64: bias - (hi << shift), so that what is clamped is hi less, see edgeq_v6m_clamp."""
    return op.bias.astype(np.int64) - (op.hi << op.shift.astype(np.int64))


def foldable(op: LinearOp) -> bool:
    """Whether no accumulator leaves int32 when hi is folded into the bias; always for shifts as edgeq chooses them."""
    reach = 128 * np.abs(op.weight.reshape(len(op.weight), -1).astype(np.int64)).sum(1)
    return bool((np.abs(folded_bias(op)) + reach).max(initial=0) < 2**31)


def clamp_params(op: LinearOp) -> Params:
    """The fields span and lo."""
    return {"span": op.hi - op.lo, "lo": op.lo}


def requant(op: LinearOp, upper: np.ndarray) -> Params:
    """The fields requant, span and lo. upper: (O,), what is kept above each shift."""
    words = np.stack([folded_bias(op), upper.astype(np.int64) * 256 + op.shift], 1).astype(np.int32)
    return {"requant": Array(words), **clamp_params(op)}
