"""Where tensors live: rectangles of time and address that must not overlap, packed as low as they go.

A block is a tensor with its aliases, tensors that are joined, or scratch. Blocks are placed one after the other, each as
low as it may lie, in several orders, then in seeded random ones; the best is kept. It stops at the lower bound. A tensor
that is read for the last time may share bytes with the output of that step as far as the kernel's accesses allow
(edgeq/ops/_access.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeq.ir import IntGraph, Node
from edgeq.ops._access import ALIGN, Overlap
from edgeq.ops.alias import Alias
from edgeq.ops.join import Join

BUFFER = 1 << 40  # addresses from k * BUFFER on are in the k-th buffer of the caller, below are in the arena
TRIES = 2000
WORK = 3_000_000  # tries times the square of the blocks, for graphs with many
SEED = 1


@dataclass(frozen=True)
class Rect:
    """Bytes start..end (exclusive), relative to the block, held from step `first` to step `last` inclusive."""

    name: str
    first: int
    last: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


Block = list[Rect]
Meetings = Mapping[tuple[str, str], Overlap]  # (tensor read for the last time, output of that step) -> what they may share


def lifetimes(graph: IntGraph, order: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """Tensor -> (step that writes it, last step that needs it). Inputs are written at -1, outputs needed to the end."""
    first = {t.name: -1 for t in graph.inputs.values()}
    last = dict(first)
    for i, node in enumerate(order):
        first[node.output.name] = last[node.output.name] = i
        for t in node.inputs:
            last[t.name] = i
    for t in graph.outputs.values():
        last[t.name] = len(order)
    return {name: (first[name], last[name]) for name in first}


def blocks(graph: IntGraph, order: Sequence[Node], scratch: Mapping[str, int]) -> list[Block]:
    """Tensors with their aliases, and scratch. Each tensor is in one; scratch blocks are named scratch:<node>."""
    life = lifetimes(graph, order)
    block_of: dict[str, Block] = {t.name: [Rect(t.name, *life[t.name], 0, t.bytes)] for t in graph.inputs.values()}
    found = list(block_of.values())
    for step, node in enumerate(order):
        out, start = node.output, 0
        if isinstance(node.op, Join):
            block = []
            for t in node.inputs:  # each is a block of its own, whose tensor comes first
                block += [replace(r, start=r.start + start, end=r.end + start) for r in block_of[t.name]]
                found.remove(block_of[t.name])
                start += t.bytes
            found.append(block)
            for r in block:
                block_of[r.name] = block
            start = 0
        elif isinstance(node.op, Alias):
            source = node.inputs[0].name
            block = block_of[source]
            start = node.op.offset + next(r.start for r in block if r.name == source)
        else:
            block = []
            found.append(block)
        block.append(Rect(out.name, *life[out.name], start, start + out.bytes))
        block_of[out.name] = block
        if scratch.get(node.name):
            found.append([Rect(f"scratch:{node.name}", step, step, 0, scratch[node.name])])
    return found


def meetings(graph: IntGraph, order: Sequence[Node], overlaps: Mapping[str, Mapping[int, Overlap]]) -> Meetings:
    """The pairs that may share bytes. overlaps: node name -> Kernel.overlaps."""
    life = lifetimes(graph, order)
    found = {}
    for step, node in enumerate(order):
        for i, overlap in overlaps.get(node.name, {}).items():
            if life[node.inputs[i].name][1] == step:
                found[node.inputs[i].name, node.output.name] = overlap
    return found


def lower_bound(groups: Sequence[Block], shared: Meetings) -> int:
    """The most bytes held at one step, however little space each pair that may share bytes takes."""
    bytes_at = held(groups)
    rects = {r.name: r for b in groups for r in b}
    for (source, output), overlap in shared.items():
        bytes_at[rects[output].first] -= saved(overlap, rects[source].size, rects[output].size)
    return max(bytes_at.values(), default=0)


def aligned(n: int) -> int:
    return -(-n // ALIGN) * ALIGN


def saved(overlap: Overlap, source: int, output: int) -> int:
    """Bytes that an input and an output of so many bytes need less where they share."""
    return overlap.saved(aligned(source), aligned(output))


def covered(ranges: Iterable[tuple[int, int]]) -> int:
    """Bytes in at least one of the ranges, whose ends are exclusive."""
    total = reach = 0
    for start, end in sorted(ranges):
        total += max(end - max(start, reach), 0)
        reach = max(reach, end)
    return total


def held(groups: Sequence[Block]) -> dict[int, int]:
    """Step -> bytes in use, to the alignment."""
    steps = {r.first for b in groups for r in b}
    found = dict.fromkeys(sorted(steps), 0)
    for block in groups:
        for step in range(min(r.first for r in block), max(r.last for r in block) + 1):
            if step in found:
                found[step] += covered((r.start, aligned(r.end)) for r in block if r.first <= step <= r.last)
    return found


def place(groups: Sequence[Block], shared: Meetings) -> tuple[dict[str, int], int, int]:
    """(offset of every rectangle's name, arena bytes, lower bound) of the best placement found. Deterministic."""
    bound = lower_bound(groups, shared)
    extent = [max(r.end for r in b) for b in groups]
    begin = [min(r.first for r in b) for b in groups]
    finish = [max(r.last for r in b) for b in groups]
    clash = clashes(groups, shared)
    count = range(len(groups))
    orders = [
        sorted(count, key=lambda i: -extent[i]),
        sorted(count, key=lambda i: (begin[i], -extent[i])),
        sorted(count, key=lambda i: (-finish[i], -extent[i])),
        sorted(count, key=lambda i: -extent[i] * (finish[i] - begin[i] + 1)),
    ]
    base, winner = min(((pack(order, clash), order) for order in orders), key=lambda p: _size(p[0], extent))
    size = _size(base, extent)
    rng = random.Random(SEED)
    for _ in range(min(TRIES, WORK // max(len(groups), 1) ** 2)):
        if size <= bound:
            break
        order = list(winner)
        if rng.random() < 0.5:  # a block at the top goes first, or at least before some others
            top = next(
                k for k in rng.sample(range(len(order)), len(order)) if aligned(base[order[k]] + extent[order[k]]) == size
            )
            order.insert(rng.randrange(top + 1), order.pop(top))
        for _ in range(rng.randint(1, 3)):  # some swap places
            a, b = rng.randrange(len(order)), rng.randrange(len(order))
            order[a], order[b] = order[b], order[a]
        other = pack(order, clash)
        if _size(other, extent) <= size:
            base, size, winner = other, _size(other, extent), order
    return {r.name: r.start + base[i] for i, block in enumerate(groups) for r in block}, size, bound


Clashes = Sequence[Mapping[int, Sequence[tuple[int, int]]]]


def clashes(groups: Sequence[Block], shared: Meetings) -> Clashes:
    """For each block, by the index of each that it shares a step with: intervals (exclusive ends) in which its base address
    less the other's may not lie."""
    found: list[dict[int, list[tuple[int, int]]]] = [{} for _ in groups]
    for i, block in enumerate(groups):
        for j in range(i):
            banned = [interval for r in block for p in groups[j] if p.first <= r.last and r.first <= p.last
                      for interval in _banned(r, p, shared)]  # fmt: skip
            if banned:
                found[i][j] = banned
                found[j][i] = [(1 - high, 1 - low) for low, high in banned]
    return found


def pack(order: Sequence[int], clash: Clashes) -> dict[int, int]:
    """First fit: each block's base at the lowest aligned address that those placed before allow."""
    base: dict[int, int] = {}
    for i in order:
        banned = sorted((low + base[j], high + base[j]) for j, some in clash[i].items() if j in base for low, high in some)
        at = 0
        for low, high in banned:
            if low <= at < high:
                at = aligned(high)
        base[i] = at
    return base


def _size(base: Mapping[int, int], extent: Sequence[int]) -> int:
    return max((aligned(at + extent[i]) for i, at in base.items()), default=0)


def _banned(r: Rect, p: Rect, shared: Meetings) -> Iterator[tuple[int, int]]:
    """Intervals (exclusive ends) of the base address of r's block that p, which is placed, does not allow."""
    low, high, same = p.start - r.end + 1, p.end - r.start, p.start - r.start
    overlap = shared.get((p.name, r.name))
    if overlap:  # p is read while r is written: it may start so much later
        low = same - overlap.least + 1
    else:
        overlap = shared.get((r.name, p.name))
        if overlap:
            high = same + overlap.least
    if overlap and overlap.in_place:
        yield low, same
        low = same + 1
    yield low, high
