"""Streams of weights that the kernels for Armv6-M read. SPEC.md, "Weights for Armv6-M kernels"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeq.ops._base import Array, Params
from edgeq.ops._linear import LinearOp

STEPS = 7  # of two taps, in the longest group
END, SKIP = 8, 9
LONGEST_SKIP = 255
WORTH_SKIPPING = 3  # steps of zeros


@dataclass(frozen=True)
class Skip:
    """So many steps of zeros."""

    steps: int


Run = np.ndarray | Skip  # a group's weights, (taps,) int8, or zeros


def fits(weights: np.ndarray) -> bool:
    """Whether sum(weight * q) is within -0x7FFF .. 0x8000 for all int8 q."""
    positive = int(weights[weights > 0].astype(np.int64).sum())
    negative = -int(weights[weights < 0].astype(np.int64).sum())
    return 128 * positive + 127 * negative <= 0x7FFF and 127 * positive + 128 * negative <= 0x8000


def runs(taps: np.ndarray) -> Iterator[Run]:
    """The (even number of) taps of a channel as groups whose sums fit 16 bits, each as long as possible. Two taps always
    fit. Zeros at the end are left out."""
    steps = taps.reshape(-1, 2)
    zero = ~steps.any(1)
    count = int(np.flatnonzero(~zero)[-1]) + 1 if steps.any() else 0
    at = 0
    while at < count:
        zeros = int(np.argmin(zero[at:]))
        if zeros >= WORTH_SKIPPING:
            zeros = min(zeros, LONGEST_SKIP)
            yield Skip(zeros)
            at += zeros
            continue
        end = at + 1
        while end < count and end - at < STEPS and not zero[end : end + WORTH_SKIPPING].all() and fits(steps[at : end + 1]):
            end += 1
        yield steps[at:end].ravel()
        at = end


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
    padded = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2)))
    coded = [[list(runs(row[at : at + chunk])) for row in padded] for at in range(0, padded.shape[1], chunk)]
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
