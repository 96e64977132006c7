"""The plan: kernels chosen by cost, nodes in order, tensors placed; and its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeq import ops
from edgeq.errors import EdgeqError, UnsupportedModel
from edgeq.ir import IntGraph, Node
from edgeq.ops._base import Kernel
from edgeq.plan.order import best_order
from edgeq.plan.place import blocks, lifetimes, place
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
    """offsets: tensor name -> byte in the arena. lower_bound: no placement in this order needs less."""

    graph: IntGraph
    target: Target
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


def make_plan(graph: IntGraph, target: Target) -> Plan:
    """Chooses kernels, order and addresses for the graph, and checks the result."""
    choices = {node.name: choose(node, target) for node in graph.nodes}
    chosen = {name: c[0].kernel for name, c in choices.items() if c}
    by_name = {node.name: node for node in graph.nodes}
    overlays = {name: kernel.overlays(by_name[name]) for name, kernel in chosen.items()}
    scratch = {name: kernel.scratch(by_name[name]) for name, kernel in chosen.items()}
    order = best_order(graph, {n: tuple(o) for n, o in overlays.items()}, scratch)
    offsets, arena_bytes, bound = place(blocks(graph, order, overlays, scratch))
    steps = tuple(
        Step(n, choices[n.name], scratch.get(n.name, 0), offsets.get(f"scratch:{n.name}", 0)) for n in order
    )
    return check_plan(Plan(graph, target, steps, offsets, max(arena_bytes, 4), bound))


def check_plan(plan: Plan) -> Plan:
    """Proves from addresses and lifetimes alone that no live bytes are overwritten. Returns the plan.

    Two tensors may share bytes only at a step where one dies as the other is written over it, as the kernel states,
    or where one is an alias of the other. Raises EdgeqError.
    """
    life, tensors = plan.lifetimes(), plan.graph.tensors

    def span(name: str) -> tuple[int, int]:
        return plan.offsets[name], plan.offsets[name] + tensors[name].bytes

    source: dict[str, str] = {}  # the memory that an alias is a view of
    for i, step in enumerate(plan.steps):
        out = step.node.output.name
        if step.kernel is None:
            source[out] = source.get(step.node.inputs[0].name, step.node.inputs[0].name)
            if plan.offsets[out] != plan.offsets[step.node.inputs[0].name] + step.node.op.offset:  # type: ignore[attr-defined]
                raise EdgeqError(f"alias {out!r} is not where its source is", node=step.node.name)
            continue
        allowed = {
            step.node.inputs[k].name
            for k, distance in step.kernel.overlays(step.node).items()
            if plan.offsets[step.node.inputs[k].name] == plan.offsets[out] + distance
            and not any(r > i for n, (_, r) in life.items() if _root(source, n) == _root(source, step.node.inputs[k].name))
        }
        written = [span(out)]
        if step.scratch_bytes:
            written.append((step.scratch_offset, step.scratch_offset + step.scratch_bytes))
        for name, (first, last) in life.items():
            needed = first < i <= last and name != out
            low, high = span(name)
            for k, (start, end) in enumerate(written):
                shares = needed and low < end and start < high
                if shares and not (k == 0 and (name in allowed or (last <= i and _aliased(source, name, allowed)))):
                    raise EdgeqError(f"step {i} overwrites {name!r} while it is needed", node=step.node.name)
        if any(end > plan.arena_bytes for _, end in written):
            raise EdgeqError(f"step {i} writes past the arena of {plan.arena_bytes} bytes", node=step.node.name)
        if len(written) == 2 and written[0][0] < written[1][1] and written[1][0] < written[0][1]:
            raise EdgeqError(f"scratch of step {i} overlaps its output", node=step.node.name)
    return plan


def _root(source: Mapping[str, str], name: str) -> str:
    return source.get(name, name)


def _aliased(source: Mapping[str, str], name: str, allowed: set[str]) -> bool:
    return any(_root(source, name) == _root(source, other) for other in allowed)
