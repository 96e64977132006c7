"""Where tensors live: rectangles of time and address that must not overlap, packed as low as they go.

A block is what must keep its relative place: a tensor, its aliases, and outputs laid over dying inputs. Blocks are
placed greedily in several orders, then in seeded random ones; the best is kept. It stops at the lower bound, which is
the most bytes that any one step holds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeq.ir import IntGraph, Node
from edgeq.ops.alias import Alias

ALIGN = 4  # kernels may read and write aligned 32-bit words
TRIES = 300
SEED = 1


@dataclass(frozen=True)
class Rect:
    """Bytes start..end (exclusive), relative to the block, held from step `first` to step `last` inclusive."""

    name: str
    first: int
    last: int
    start: int
    end: int


Block = list[Rect]


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


def blocks(
    graph: IntGraph, order: Sequence[Node], overlays: Mapping[str, Mapping[int, int]], scratch: Mapping[str, int]
) -> list[Block]:
    """Tensors and scratch grouped into blocks. Each tensor is in one; scratch blocks are named scratch:<node>."""
    life = lifetimes(graph, order)
    block_of: dict[str, Block] = {}
    base: dict[str, int] = {}  # of a tensor within its block

    def rect(name: str, start: int) -> Rect:
        return Rect(name, *life[name], start, start + graph.tensors[name].bytes)

    for t in graph.inputs.values():
        block_of[t.name], base[t.name] = [rect(t.name, 0)], 0
    for step, node in enumerate(order):
        out = node.output.name
        if isinstance(node.op, Alias):
            source = node.inputs[0].name
            block, base[out] = block_of[source], base[source] + node.op.offset
            block.append(rect(out, base[out]))
            block_of[out] = block
            continue
        mine: Block = [rect(out, 0)]
        block_of[out], base[out] = mine, 0
        for index, distance in overlays.get(node.name, {}).items():
            source = node.inputs[index].name
            theirs = block_of[source]
            if theirs is mine or not _may_join(node, index, step, theirs):
                continue
            shift = base[out] + distance - base[source]
            moved = [Rect(r.name, r.first, r.last, r.start + shift, r.end + shift) for r in theirs]
            if any(r.start < 0 or r.start % ALIGN for r in moved):
                continue
            if any(_clash(r, m) for r in moved for m in mine[1:]):  # mine[1:]: inputs it is laid over already
                continue
            for r in moved:
                mine.append(r)
                block_of[r.name], base[r.name] = mine, r.start
    found: dict[int, Block] = {id(b): b for b in block_of.values()}
    spare = [
        [Rect(f"scratch:{node.name}", i, i, 0, scratch[node.name])] for i, node in enumerate(order) if scratch.get(node.name)
    ]
    return [*found.values(), *spare]


def _clash(a: Rect, b: Rect) -> bool:
    """Whether two rectangles of one block share bytes at some step."""
    return a.first <= b.last and b.first <= a.last and a.start < b.end and b.start < a.end


def _may_join(node: Node, index: int, step: int, block: Block) -> bool:
    """Whether the node's output may be laid over a block: nothing in it is needed later or read from elsewhere."""
    source = node.inputs[index].name
    others = {t.name for t in node.inputs if t.name != source}
    return all(r.last <= step for r in block) and not any(r.name in others for r in block)


def lower_bound(groups: Sequence[Block]) -> int:
    """The most bytes held at one step, each block counted once where its tensors overlap."""
    steps = {r.first for b in groups for r in b}
    return max((sum(_held(b, s) for b in groups) for s in steps), default=0)


def _held(block: Block, step: int) -> int:
    """Bytes of the block that are in use at a step, to the alignment."""
    held, reach = 0, 0
    for r in sorted((r for r in block if r.first <= step <= r.last), key=lambda r: r.start):
        end = -(-r.end // ALIGN) * ALIGN
        held += max(end - max(r.start, reach), 0)
        reach = max(reach, end)
    return held


def place(groups: Sequence[Block]) -> tuple[dict[str, int], int, int]:
    """(offset of every rectangle's name, arena bytes, lower bound) of the best placement found. Deterministic."""
    bound = lower_bound(groups)
    extent = [max(r.end for r in b) for b in groups]
    begin = [min(r.first for r in b) for b in groups]
    finish = [max(r.last for r in b) for b in groups]
    count = range(len(groups))
    orders = [
        sorted(count, key=lambda i: -extent[i]),
        sorted(count, key=lambda i: (begin[i], -extent[i])),
        sorted(count, key=lambda i: (-finish[i], -extent[i])),
        sorted(count, key=lambda i: -extent[i] * (finish[i] - begin[i] + 1)),
    ]
    packed = [(*_pack([groups[i] for i in order]), order) for order in orders]
    offsets, size, winner = min(packed, key=lambda p: p[1])
    rng = random.Random(SEED)
    for _ in range(TRIES):
        if size <= bound:
            break
        order = list(winner)
        for _ in range(rng.randint(1, 3)):  # swap a few blocks of the best order so far
            a, b = rng.randrange(len(order)), rng.randrange(len(order))
            order[a], order[b] = order[b], order[a]
        other, needed = _pack([groups[i] for i in order])
        if needed < size:
            offsets, size, winner = other, needed, order
    return offsets, size, bound


def _pack(order: Sequence[Block]) -> tuple[dict[str, int], int]:
    """First fit: each block at the lowest aligned address where none of its rectangles meets one placed before."""
    placed: list[Rect] = []
    offsets: dict[str, int] = {}
    for block in order:
        # two rectangles clash where they share a step; the block must then avoid an interval of base addresses
        banned = sorted(
            (p.start - r.end + 1, p.end - r.start) for p in placed for r in block if p.first <= r.last and r.first <= p.last
        )
        at = 0
        for low, high in banned:
            if low <= at < high:
                at = -(-high // ALIGN) * ALIGN
        for r in block:
            placed.append(Rect(r.name, r.first, r.last, r.start + at, r.end + at))
            offsets[r.name] = r.start + at
    return offsets, max((-(-r.end // ALIGN) * ALIGN for r in placed), default=0)
