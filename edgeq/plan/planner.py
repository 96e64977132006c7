"""Makes plans: chooses kernels, an order and addresses, and bands of rows where memory is short.

What a step holds depends on the kernel that runs there alone. So for each limit of memory the best choice is known: at each
step the fastest kernel within it. Of the limits at which speed suffers little, the one is taken that pays most.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from edgeq import ops
from edgeq.errors import DoesNotFit, UnsupportedModel
from edgeq.ir import IntGraph, Node
from edgeq.ops._access import Overlap
from edgeq.ops._base import constant_bytes
from edgeq.plan.bands import PUSHED, by_bands, with_pushed_rows
from edgeq.plan.code import code_bytes
from edgeq.plan.order import best_order
from edgeq.plan.place import BUFFER, Block, aligned, blocks, held, lifetimes, meetings, place, saved
from edgeq.plan.plan import Choice, Plan, Step, check_plan
from edgeq.targets import Target

SLACK = {"speed": 1.025, "ram": 1.3}  # by how much estimated instructions may grow for less memory
BANDS = (1, 2, 3, 4, 6, 8, 12, 16)  # heights that are tried
CALL = 60  # instructions of a call and its set-up, about
CLOSE = 1.1  # how near to the least a candidate must be
LIMITS = 12  # of memory that are tried
STATE = 4  # bytes at the end of the arena that say how many rows were pushed
TRIED = 4  # of the most promising graphs by bands, how many are placed


@dataclass(frozen=True, eq=False)
class Option:
    """A kernel that could run a node, with what that means for memory: which inputs' it may share, bytes of scratch."""

    choice: Choice
    overlaps: Mapping[int, Overlap]
    scratch: int


Chosen = Mapping[str, Option]  # by node name; nothing for a node without kernel


def choose(node: Node, target: Target) -> tuple[Choice, ...]:
    """The kernels that can run the node on the target, cheapest first. Raises UnsupportedModel where none can."""
    all_kernels = ops.kernels(node.op.name)
    able = [k for k in all_kernels if k.isa in target.isa and k.supports(node)]
    if all_kernels and not able:
        raise UnsupportedModel(f"no kernel runs this {node.op.name} on {target.name}", node=node.name)
    return tuple(sorted((Choice(k, k.cost(node)) for k in able), key=lambda c: c.cost))


def smallest(nodes: Sequence[Node], choices: Mapping[str, tuple[Choice, ...]], target: Target) -> set[str]:
    """The kernel functions, among those that can run the nodes of one operator, that take the fewest bytes of flash:
    their code, once each, and the constants of the nodes. Exact: every set of functions is tried."""
    constants = {n.name: {c.kernel.function: constant_bytes(c.kernel, n) for c in choices[n.name]} for n in nodes}
    functions = sorted({f for known in constants.values() for f in known})
    best: tuple[int, tuple[str, ...]] | None = None
    for some in (s for count in range(1, len(functions) + 1) for s in combinations(functions, count)):
        if all(any(f in known for f in some) for known in constants.values()):
            data = sum(min(known[f] for f in some if f in known) for known in constants.values())
            flash = code_bytes(some, target, "size") + data
            best = min(best, (flash, some)) if best else (flash, some)
    return set(best[1]) if best else set()


class Planner:
    """Plans graphs for one target. Nodes that differ only in names have the same options, which are found once."""

    def __init__(self, graph: IntGraph, target: Target, optimize: str, io: str = "arena"):
        self.target, self.optimize, self.io = target, optimize, io
        ports = [*graph.inputs.values(), *(graph.outputs.values() if io == "external" else ())] if io != "arena" else []
        self.buffers = tuple({t.name: t for t in ports}.values())
        if len(self.buffers) < len(ports):
            raise UnsupportedModel("an input is an output, or two outputs are the same tensor", node=f"--io {io}",
                                   hint="--io arena")  # fmt: skip
        self.known: dict[Hashable, tuple[Option, ...]] = {}
        self.of_node: dict[Node, tuple[Option, ...]] = {}
        self.small: set[str] = set()
        if optimize == "size":
            by_op: dict[str, list[Node]] = {}
            for node in graph.nodes:
                by_op.setdefault(node.op.name, []).append(node)
            for nodes in by_op.values():
                self.small |= smallest(nodes, {n.name: choose(n, target) for n in nodes}, target)

    def options(self, node: Node) -> tuple[Option, ...]:
        """The kernels that can run it, best first."""
        if node in self.of_node:
            return self.of_node[node]
        key = _signature(node)
        if key not in self.known:
            choices = choose(node, self.target)
            if self.optimize == "size":
                choices = tuple(sorted(choices, key=lambda c: (
                    c.kernel.function not in self.small, constant_bytes(c.kernel, node), c.cost)))  # fmt: skip
            self.known[key] = tuple(Option(c, c.kernel.overlaps(node), c.kernel.scratch(node)) for c in choices)
        self.of_node[node] = self.known[key]
        return self.known[key]

    def best(self, graph: IntGraph) -> Chosen:
        """The best option of each node, whatever memory it takes."""
        return {node.name: found[0] for node in graph.nodes if (found := self.options(node))}

    def ordered(self, graph: IntGraph) -> IntGraph:
        """The graph with its nodes in an order of least peak."""
        return replace(graph, nodes=best_order(graph, *_memory(self.best(graph))))

    def select(self, graph: IntGraph) -> list[tuple[int, Chosen]]:
        """(The most bytes that a step holds, the fastest options with which that is so), least bytes first.

        Instructions stay within SLACK of the fewest; where code is to be small, nothing is given for memory.
        """
        best, needs = self.best(graph), self._needs(graph)
        options = {node.name: list(zip(needs[node.name], self.options(node), strict=True)) for node in graph.nodes}
        floor = max((min(needs[n]) for n in best), default=0)
        most = max((needs[n][0] for n in best), default=0)
        if self.optimize == "size":
            return [(most, best)]

        def within(limit: int) -> Chosen:
            return {n: next(o for b, o in options[n] if b <= limit) for n in best}

        limits = sorted({most, *(b for n in best for b in needs[n] if floor <= b <= most)})
        budget = SLACK[self.optimize] * _cost(best)
        first = bisect.bisect_left(limits, True, key=lambda limit: _cost(within(limit)) <= budget)
        return [(limit, within(limit)) for limit in limits[first : first + LIMITS]] + [(most, best)]

    def _needs(self, graph: IntGraph) -> dict[str, list[int]]:
        """Node -> bytes held at its step with each of its options."""
        inside, outside = self._split(blocks(graph, graph.nodes, {}))
        base = dict.fromkeys(range(len(graph.nodes)), 0) | held(inside)
        away = {r.name for block in outside for r in block}
        life = lifetimes(graph, graph.nodes)
        return {
            node.name: [
                base[step] + aligned(o.scratch) - sum(
                    saved(overlap, t.bytes, node.output.bytes) for t, overlap in
                    {node.inputs[i].name: (node.inputs[i], overlap) for i, overlap in o.overlaps.items()}.values()
                    if life[t.name][1] == step and not away & {t.name, node.output.name}
                ) for o in self.options(node)
            ] for step, node in enumerate(graph.nodes)
        }  # fmt: skip

    def plan(self, source: IntGraph, graph: IntGraph, chosen: Chosen) -> Plan:
        """The plan of the graph in its order, not checked yet. source: see Plan."""
        overlaps, scratch = _memory(chosen)
        inside, outside = self._split(blocks(graph, graph.nodes, scratch))
        away = {r.name for block in outside for r in block}
        shared = {pair: o for pair, o in meetings(graph, graph.nodes, overlaps).items() if not away & set(pair)}
        offsets, size, bound = place(inside, shared)
        for k, block in enumerate(outside, 1):
            offsets |= {r.name: r.start + k * BUFFER for r in block}
        steps = []
        for node in graph.nodes:
            own = chosen.get(node.name)
            choices = sorted((o.choice for o in self.options(node)), key=lambda c: own is None or c is not own.choice)
            steps.append(Step(node, tuple(choices), scratch.get(node.name, 0), offsets.get(f"scratch:{node.name}", 0)))
        return Plan(
            source, graph, self.io, self.buffers, self.target, self.optimize, tuple(steps), offsets, max(size, 4), bound
        )

    def _split(self, groups: Sequence[Block]) -> tuple[list[Block], list[Block]]:
        """(The blocks in the arena, those in the caller's buffers in their order). Raises UnsupportedModel."""
        block_of = {r.name: block for block in groups for r in block}
        outside = [block_of[t.name] for t in self.buffers]
        for t, block in zip(self.buffers, outside, strict=True):
            own = next(r for r in block if r.name == t.name)
            if own.start > 0 or any(r.end > own.end for r in block) or sum(b is block for b in outside) > 1:
                raise UnsupportedModel(f"{t.name!r} is part of the memory of another tensor", node="--io external",
                                       hint="--io arena")  # fmt: skip
        return [b for b in groups if all(b is not o for o in outside)], outside


def _memory(chosen: Chosen) -> tuple[dict[str, Mapping[int, Overlap]], dict[str, int]]:
    return {n: o.overlaps for n, o in chosen.items()}, {n: o.scratch for n, o in chosen.items()}


def _cost(chosen: Chosen) -> float:
    return sum(o.choice.cost + CALL for o in chosen.values())


def _signature(node: Node) -> Hashable:
    """Equal for nodes that the same kernels run alike: all but names; constants are the same objects."""
    fields = (getattr(node.op, f.name) for f in dataclasses.fields(node.op))  # type: ignore[arg-type]
    same = tuple(i for t in node.inputs for i, other in enumerate(node.inputs) if other is t)  # one tensor as two inputs
    return (
        type(node.op),
        _hashable(tuple(fields)),
        same,
        *((t.shape, t.scale, t.zero_point, t.dtype) for t in (*node.inputs, node.output)),
    )


def _hashable(value: Any) -> Hashable:
    """The value with arrays, which are the same objects wherever they are equal, as their identity."""
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    return id(value) if isinstance(value, np.ndarray) else value


def make_plan(graph: IntGraph, target: Target, optimize: str = "speed", ram: int | None = None, io: str = "arena") -> Plan:
    """Chooses kernels, order and addresses for the graph, and checks the result.

    optimize: for "speed", "size" of code and constants, or "ram"; for "ram", and for any where the arena is to have no more
    than `ram` bytes and otherwise would, part of the graph may run by bands. io: where inputs and outputs are, in the
    "arena" or "external", or "rows": the input is pushed by rows. Raises DoesNotFit where no plan was found.
    """
    planner = Planner(graph, target, optimize, io)
    graph = planner.ordered(with_pushed_rows(graph) if io == "rows" else graph)
    plans = [planner.plan(graph, graph, chosen) for _, chosen in planner.select(graph)]
    plan = min(plans, key=lambda p: p.arena_bytes * (p.cost if optimize != "ram" else 1))
    if ram is not None and io == "rows":
        ram -= STATE
    if io == "rows" or optimize == "ram" or (ram is not None and plan.arena_bytes > ram):
        plan = by_bands_if_less(planner, plan, ram)
    if io == "rows" and plan.graph is plan.source:
        raise UnsupportedModel("the first layers need the whole input at once", node="--io rows", hint="--io external")
    if ram is not None and plan.arena_bytes > ram:
        over = f"the arena takes {plan.arena_bytes:,} bytes, {plan.arena_bytes - ram:,} over the limit of {ram:,}"
        raise DoesNotFit(over, node="--ram", hint="a smaller input or network; it was tried to run it by bands of rows")
    check_plan(plan)
    return replace(plan, arena_bytes=aligned(plan.arena_bytes) + STATE) if io == "rows" else plan


def by_bands_if_less(planner: Planner, plan: Plan, ram: int | None) -> Plan:
    """The plan by bands that takes least memory, or the fastest of at most `ram` bytes if there is one; else `plan`."""
    found: list[tuple[int, float, IntGraph, Chosen]] = []  # first the most bytes held at a step: no plan takes less
    for last in plan.graph.nodes:
        for height in BANDS:
            graph = by_bands(plan.graph, last, height)
            if graph is None or (planner.io == "rows" and not any(n.part_of == PUSHED for n in graph.nodes)):
                break
            bound, chosen = planner.select(graph)[0]
            found.append((bound, _cost(chosen), graph, chosen))
            if bound > (ram or min(f[0] for f in found) * CLOSE):  # higher bands hold more
                break
    for _, _, graph, chosen in sorted((f for f in found if f[0] <= (ram or 0)), key=lambda f: f[1])[:TRIED]:
        candidate = planner.plan(plan.source, graph, chosen)
        if candidate.arena_bytes <= (ram or 0):
            return candidate
    for bound, _, graph, chosen in sorted(found, key=lambda f: f[:2])[:TRIED]:
        if bound < plan.arena_bytes or planner.io == "rows":
            other = planner.plan(plan.source, graph, chosen)
            unusable = planner.io == "rows" and plan.graph is plan.source
            plan = other if unusable else min(plan, other, key=lambda p: p.arena_bytes)
    return plan
