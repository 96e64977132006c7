"""The plan: kernels chosen by cost, nodes in order, tensors placed; and its check."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from edgeq import ops
from edgeq.errors import DoesNotFit, EdgeqError, UnsupportedModel
from edgeq.ir import IntGraph, Node
from edgeq.ops._access import Overlap
from edgeq.ops._base import Kernel, constant_bytes
from edgeq.ops.alias import Alias
from edgeq.plan.bands import by_bands
from edgeq.plan.code import code_bytes
from edgeq.plan.order import best_order
from edgeq.plan.place import Block, Meetings, blocks, lifetimes, lower_bound, meetings, place
from edgeq.targets import Target

BANDS = (1, 2, 3, 4, 6, 8, 12, 16)  # heights that are tried
TRIED = 4  # of the most promising, how many are placed


@dataclass(frozen=True, eq=False)
class Choice:
    """A kernel that could run a node, and its estimated instructions."""

    kernel: Kernel
    cost: float


@dataclass(frozen=True, eq=False)
class Step:
    """One node in execution order. choices: the kernels that could run it, cheapest first; empty for an alias."""

    node: Node
    choices: tuple[Choice, ...]
    scratch_bytes: int = 0
    scratch_offset: int = 0

    @property
    def kernel(self) -> Kernel | None:
        """The kernel that runs it, or None for an alias."""
        return self.choices[0].kernel if self.choices else None


@dataclass(frozen=True, eq=False)
class Plan:
    """offsets: tensor name -> byte in the arena. lower_bound: the most bytes that one step holds; with this order and these
    kernels no placement needs less."""

    graph: IntGraph
    target: Target
    optimize: str
    steps: tuple[Step, ...]
    offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound: int

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """Tensor -> (first, last) step; inputs start at -1, outputs last to len(steps)."""
        return lifetimes(self.graph, [s.node for s in self.steps])


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


def make_choices(graph: IntGraph, target: Target, optimize: str) -> dict[str, tuple[Choice, ...]]:
    """Node name -> the kernels that can run it, the one that will first."""
    choices = {node.name: choose(node, target) for node in graph.nodes}
    if optimize == "size":
        by_op: dict[str, list[Node]] = {}
        for node in graph.nodes:
            if choices[node.name]:
                by_op.setdefault(node.op.name, []).append(node)
        for nodes in by_op.values():
            kept = smallest(nodes, choices, target)
            for node in nodes:
                choices[node.name] = tuple(sorted(choices[node.name], key=lambda c: (
                    c.kernel.function not in kept, constant_bytes(c.kernel, node), c.cost)))  # fmt: skip
    return choices


class Arena(NamedTuple):
    """What `place` takes."""

    blocks: list[Block]
    meetings: Meetings


class Planner:
    """Plans graphs for one target. Nodes that differ only in name and place have the same kernels, which are found once."""

    def __init__(self, graph: IntGraph, target: Target, optimize: str):
        self.target, self.optimize = target, optimize
        self.preferred = make_choices(graph, target, optimize) if optimize == "size" else {}
        self.known: dict[Hashable, tuple[tuple[Choice, ...], dict[int, Overlap], int]] = {}

    def kernels(self, node: Node) -> tuple[tuple[Choice, ...], dict[int, Overlap], int]:
        """(The kernels that can run it, the one that will first; what that one's inputs may share; its scratch bytes.)"""
        key = _signature(node)
        if key not in self.known:
            choices = self.preferred.get(node.name) or choose(node, self.target)
            kernel = choices[0].kernel if choices else None
            self.known[key] = choices, kernel.overlaps(node) if kernel else {}, kernel.scratch(node) if kernel else 0
        return self.known[key]

    def ordered(self, graph: IntGraph) -> IntGraph:
        """The graph with its nodes in an order of least peak."""
        overlaps, scratch = self._memory(graph.nodes)
        return replace(graph, nodes=best_order(graph, overlaps, scratch))

    def arena(self, graph: IntGraph) -> Arena:
        """What must be placed, in the graph's order."""
        overlaps, scratch = self._memory(graph.nodes)
        return Arena(blocks(graph, graph.nodes, scratch), meetings(graph, graph.nodes, overlaps))

    def cost(self, graph: IntGraph) -> float:
        """Estimated instructions."""
        return sum(choices[0].cost for choices, _, _ in map(self.kernels, graph.nodes) if choices)

    def plan(self, graph: IntGraph) -> Plan:
        """The checked plan of the graph in its order."""
        arena = self.arena(graph)
        offsets, size, bound = place(arena.blocks, arena.meetings)
        steps = []
        for node in graph.nodes:
            choices, _, scratch = self.kernels(node)
            steps.append(Step(node, choices, scratch, offsets.get(f"scratch:{node.name}", 0)))
        return check_plan(Plan(graph, self.target, self.optimize, tuple(steps), offsets, max(size, 4), bound))

    def _memory(self, nodes: Sequence[Node]) -> tuple[dict[str, dict[int, Overlap]], dict[str, int]]:
        found = {node.name: self.kernels(node) for node in nodes}
        return {name: f[1] for name, f in found.items()}, {name: f[2] for name, f in found.items()}


def _signature(node: Node) -> Hashable:
    """Equal for nodes that the same kernels run alike: all but names; constants are the same objects."""
    fields = (getattr(node.op, f.name) for f in dataclasses.fields(node.op))  # type: ignore[arg-type]
    same = tuple(i for t in node.inputs for i, other in enumerate(node.inputs) if other is t)  # one tensor as two inputs
    constants = tuple(id(v) if isinstance(v, np.ndarray) else v for v in fields)
    return type(node.op), constants, same, *((t.shape, t.scale, t.zero_point, t.dtype) for t in (*node.inputs, node.output))


def make_plan(graph: IntGraph, target: Target, optimize: str = "speed", ram: int | None = None) -> Plan:
    """Chooses kernels, order and addresses for the graph, and checks the result.

    optimize: for "speed", "size" of code and constants, or "ram"; for "ram", and for any where the arena is to have no more
    than `ram` bytes and otherwise would, part of the graph may run by bands. Raises DoesNotFit where no plan was found.
    """
    planner = Planner(graph, target, optimize)
    graph = planner.ordered(graph)
    plan = planner.plan(graph)
    if optimize == "ram" or (ram is not None and plan.arena_bytes > ram):
        plan = less_ram(planner, plan, ram)
    if ram is not None and plan.arena_bytes > ram:
        over = f"the arena takes {plan.arena_bytes:,} bytes, {plan.arena_bytes - ram:,} over the limit of {ram:,}"
        raise DoesNotFit(over, node="--ram", hint="a smaller input or network; it was tried to run it by bands of rows")
    return plan


def less_ram(planner: Planner, plan: Plan, ram: int | None) -> Plan:
    """The plan by bands that takes least memory, or the fastest of at most `ram` bytes if there is one; else `plan`."""
    graph, best = plan.graph, plan
    found = (by_bands(graph, last, height) for last in graph.nodes for height in BANDS if last.output.bytes < plan.arena_bytes)
    bound = {g: lower_bound(*planner.arena(g)) for g in found if g is not None}
    if ram is not None:
        for g in sorted((g for g in bound if bound[g] <= ram), key=planner.cost)[:TRIED]:
            candidate = planner.plan(g)
            if candidate.arena_bytes <= ram:
                return candidate
    for g in sorted(bound, key=lambda g: bound[g])[:TRIED]:
        if bound[g] < best.arena_bytes:
            best = min(best, planner.plan(g), key=lambda p: p.arena_bytes)
    return best


def check_plan(plan: Plan) -> Plan:
    """Proves from addresses and lifetimes alone that no byte is overwritten while it is needed. Returns the plan.

    Bytes may be shared by a tensor and its aliases, and by an output and an input that dies at that step where the
    kernel's accesses, replayed byte by byte, read each one before it is overwritten. Raises EdgeqError.
    """
    life, tensors = plan.lifetimes(), plan.graph.tensors
    inputs = [(plan.offsets[t.name], plan.offsets[t.name] + t.bytes) for t in plan.graph.inputs.values()]
    if any(end > plan.arena_bytes for _, end in inputs) or any(_meet(a, b) for a, b in combinations(inputs, 2)):
        raise EdgeqError("the network's inputs overlap or leave the arena")
    for i, step in enumerate(plan.steps):
        node, out = step.node, step.node.output.name
        start, end = plan.offsets[out], plan.offsets[out] + node.output.bytes
        if step.kernel is None:
            at = -node.op.offset if isinstance(node.op, Alias) else 0  # of the next input in the output
            for t in node.inputs:
                if plan.offsets[t.name] != start + at:
                    raise EdgeqError(f"{out!r} is not where {t.name!r} is", node=node.name)
                at += t.bytes
            continue
        allowed = {
            t.name
            for k, t in enumerate(node.inputs)
            if life[t.name][1] <= i and step.kernel.may_overlap(node, k, plan.offsets[t.name] - start)
        }
        scratch = (step.scratch_offset, step.scratch_offset + step.scratch_bytes)
        if max(end, scratch[1]) > plan.arena_bytes:
            raise EdgeqError(f"step {i} writes past the arena of {plan.arena_bytes} bytes", node=node.name)
        if _meet(scratch, (start, end)):
            raise EdgeqError(f"scratch of step {i} overlaps its output", node=node.name)
        for name, (first, last) in life.items():
            span = plan.offsets[name], plan.offsets[name] + tensors[name].bytes
            if first < i <= last and (_meet(scratch, span) or (_meet((start, end), span) and name not in allowed)):
                raise EdgeqError(f"step {i} overwrites {name!r} while it is needed", node=node.name)
    return plan


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two byte ranges (exclusive ends) share a byte; an empty one shares none."""
    return max(a[0], b[0]) < min(a[1], b[1])
