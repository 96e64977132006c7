"""When kernels read and write, and what follows for memory: where an input may start so that no byte is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgeq.ir import Shape
    from edgeq.ops._window import Window

ALIGN = 4  # of tensors in the arena: kernels may read and write aligned 32-bit words
LARGEST = 1 << 22  # bytes; larger tensors never share memory, which keeps planning quick


@dataclass(frozen=True)
class Overlap:
    """Where an input may start, in bytes after the output's start: at `least` or later, and at 0 where `in_place`."""

    least: int
    in_place: bool

    def distances(self) -> tuple[int, ...]:
        """The allowed distances that share most bytes, aligned."""
        return (0,) if self.in_place else (-(-self.least // ALIGN) * ALIGN,)

    def saved(self, source: int, output: int) -> int:
        """Bytes that an input and an output of these sizes can share."""
        return max(0, source + output - max(output, source + (0 if self.in_place else self.least)))


@dataclass(frozen=True, eq=False)
class Access:
    """A kernel's accesses in steps of its own; within a step it reads before it writes.

    reads: input index -> for each byte the last step that reads it, -1 where none does. writes: for each byte of the
    output the first step that writes it. Integer arrays, flat, in memory order.
    """

    reads: Mapping[int, np.ndarray]
    writes: np.ndarray

    def safe(self, i: int, distance: int) -> bool:
        """Whether no byte of input i is overwritten before its last use, where the input starts `distance` bytes after
        the output's start. The definition: every shared byte is replayed."""
        first, last = max(0, distance), min(self.writes.size, distance + self.reads[i].size)
        if first >= last:
            return True
        return bool(np.all(self.reads[i][first - distance : last - distance] <= self.writes[first:last]))

    def overlap(self, i: int) -> Overlap:
        """Where input i may start."""
        steps, at = np.unique(self.writes, return_inverse=True)
        furthest = np.full(len(steps), -1)  # last byte written in each step ...
        np.maximum.at(furthest, at.ravel(), np.arange(self.writes.size))
        furthest = np.concatenate([[-1], np.maximum.accumulate(furthest)])  # ... and before it
        reads = self.reads[i]
        lost = np.where(reads < 0, -1, furthest[np.searchsorted(steps, reads)])  # last byte written before the last read
        return Overlap(max(0, int((lost - np.arange(reads.size)).max(initial=-1)) + 1), self.safe(i, 0))


def elementwise(elements: int, inputs: Sequence[int] = (0,)) -> Access:
    """Element k of each input is read for the last time just before element k of the output is written."""
    order = np.arange(elements)
    return Access(dict.fromkeys(inputs, order), order)


def gathered(sources: Mapping[int, np.ndarray], sizes: Mapping[int, int], elements: int) -> Access:
    """Output element k reads element sources[i][k] of input i; negative: none."""
    reads = {}
    for i, source in sources.items():
        reads[i] = np.full(sizes[i], -1)
        used = source >= 0
        np.maximum.at(reads[i], source[used], np.arange(source.size)[used])
    return Access(reads, np.arange(elements))


def row_groups(out: Shape, pixels: int) -> np.ndarray:
    """The group (OH * OW,) of each pixel of an output (OH, OW, ...), so many of a row in each."""
    y, x = np.divmod(np.arange(out[0] * out[1]), out[1])
    return np.asarray(y * -(-out[1] // pixels) + x // pixels)


def windowed(
    window: Window, size: Shape, inputs: np.ndarray, outputs: np.ndarray, group: int | np.ndarray = 1
) -> Access:  # fmt: skip
    """A kernel that slides a window over an input (H, W, C), a group of output pixels at a time, in their order in memory.

    size: starts with (H, W). inputs (C,), outputs (O,): the step among those of one group of pixels in which a channel is
    read, or written. group: the pixels of one, or the group (OH * OW,) of each.
    """
    oh, ow = window.out_size((size[0], size[1]))
    last = []  # for each axis and input position: the last output position whose window holds it
    for axis, outs in enumerate((oh, ow)):
        taps = np.arange(outs)[:, None] * window.strides[axis] - window.pads[axis]
        taps = taps + np.arange(window.kernel[axis]) * window.dilations[axis]
        found = np.full(size[axis], -1)
        inside = (taps >= 0) & (taps < size[axis])
        np.maximum.at(found, taps[inside], np.broadcast_to(np.arange(outs)[:, None], taps.shape)[inside])
        last.append(found)
    group = np.arange(oh * ow) // group if isinstance(group, int) else group
    steps = int(max(inputs.max(), outputs.max())) + 1
    at = np.where((last[0][:, None] >= 0) & (last[1] >= 0), last[0][:, None] * ow + last[1], -1)[..., None]
    read = np.where(at >= 0, group[at], -1)
    return Access({0: np.where(read >= 0, read * steps + inputs, -1).ravel()}, (group[:, None] * steps + outputs).ravel())
