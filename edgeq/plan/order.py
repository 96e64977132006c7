"""Operator order of least peak memory: shortest path over the sets of executed nodes, cost = peak so far.

Exact for the estimate of one step's memory used here (live tensors, scratch, bytes that outputs share with dying inputs).
Graphs with so many parallel branches that the sets run out of hand keep the order they came in.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from edgeq.ir import IntGraph, Node
from edgeq.ops._access import Overlap
from edgeq.ops.alias import Alias

MAX_STATES = 20_000


def roots(graph: IntGraph) -> dict[str, str]:
    """Tensor -> the tensor whose memory it is: itself, or the source of its aliases."""
    root = {t.name: t.name for t in graph.inputs.values()}
    for node in graph.nodes:
        root[node.output.name] = root[node.inputs[0].name] if isinstance(node.op, Alias) else node.output.name
    return root


def best_order(graph: IntGraph, overlaps: Mapping[str, Mapping[int, Overlap]], scratch: Mapping[str, int]) -> tuple[Node, ...]:
    """The graph's nodes in an order of least peak. overlaps, scratch: by node name, see Kernel.overlaps, Kernel.scratch."""
    nodes = graph.nodes
    root = roots(graph)
    tensors = graph.tensors
    position = {node.output.name: i for i, node in enumerate(nodes)}
    needs = [sum({1 << position[t.name] for t in node.inputs if t.name in position}) for node in nodes]
    readers = dict.fromkeys(tensors, 0)
    for i, node in enumerate(nodes):
        for t in node.inputs:
            readers[root[t.name]] |= 1 << i
    kept = {root[t.name] for t in graph.outputs.values()}
    size = {name: -(-t.bytes // 4) * 4 for name, t in tensors.items() if root[name] == name}

    def live(done: int) -> set[str]:
        made = [n for n in size if n not in position or done >> position[n] & 1]
        return {n for n in made if n in kept or readers[n] & ~done}

    def step_bytes(before: set[str], done: int, i: int) -> int:
        node = nodes[i]
        held = sum(size[n] for n in before) + scratch.get(node.name, 0)
        if root[node.output.name] != node.output.name:
            return held
        out = size[node.output.name]
        sharing = {root[node.inputs[k].name]: overlap for k, overlap in overlaps.get(node.name, {}).items()}
        dying = {n: overlap for n, overlap in sharing.items() if n not in kept and not readers[n] & ~(done | 1 << i)}
        return held + max(out - sum(overlap.saved(size[n], out) for n, overlap in dying.items()), 0)

    everything = (1 << len(nodes)) - 1
    heap: list[tuple[int, tuple[int, ...], int]] = [(sum(size[n] for n in live(0)), (), 0)]
    seen: set[int] = set()
    while heap and len(seen) < MAX_STATES:
        peak, path, done = heapq.heappop(heap)
        if done == everything:
            return tuple(nodes[i] for i in path)
        if done in seen:
            continue
        seen.add(done)
        before = live(done)
        for i in range(len(nodes)):
            if not done >> i & 1 and not needs[i] & ~done:
                heapq.heappush(heap, (max(peak, step_bytes(before, done, i)), (*path, i), done | 1 << i))
    return nodes
