"""The plan: kernels chosen by cost, nodes in order, tensors placed; and its check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from edgeq import ops
from edgeq.errors import EdgeqError, UnsupportedModel
from edgeq.ir import IntGraph, Node
from edgeq.ops._base import Kernel, constant_bytes
from edgeq.ops.alias import Alias
from edgeq.plan.code import code_bytes
from edgeq.plan.order import best_order
from edgeq.plan.place import blocks, lifetimes, meetings, place
from edgeq.targets import Target


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


def make_plan(graph: IntGraph, target: Target, optimize: str = "speed") -> Plan:
    """Chooses kernels, order and addresses for the graph, and checks the result. optimize: for speed or size."""
    choices = make_choices(graph, target, optimize)
    chosen = {name: c[0].kernel for name, c in choices.items() if c}
    by_name = {node.name: node for node in graph.nodes}
    overlaps = {name: kernel.overlaps(by_name[name]) for name, kernel in chosen.items()}
    scratch = {name: kernel.scratch(by_name[name]) for name, kernel in chosen.items()}
    order = best_order(graph, overlaps, scratch)
    offsets, arena_bytes, bound = place(blocks(graph, order, scratch), meetings(graph, order, overlaps))
    steps = tuple(Step(n, choices[n.name], scratch.get(n.name, 0), offsets.get(f"scratch:{n.name}", 0)) for n in order)
    return check_plan(Plan(graph, target, optimize, steps, offsets, max(arena_bytes, 4), bound))


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
