"""The plan: kernels, order and addresses; and its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from edgeq.errors import EdgeqError
from edgeq.ir import IntGraph, Node, Tensor
from edgeq.ops._base import Kernel
from edgeq.ops.alias import Alias
from edgeq.plan.place import BUFFER, covered, lifetimes
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
    def layer(self) -> str:
        """The node of the source graph that it runs, or runs a part of."""
        return self.node.part_of or self.node.name

    @property
    def kernel(self) -> Kernel | None:
        """The kernel that runs it, or None for an alias."""
        return self.choices[0].kernel if self.choices else None


@dataclass(frozen=True, eq=False)
class Plan:
    """source: the graph; graph: the same, maybe with bands of rows. offsets: tensor name -> address: byte in the arena, or
    from k * BUFFER on in buffer k - 1.

    lower_bound: the most bytes that one step holds; with this order and these kernels no placement needs less.
    """

    source: IntGraph
    graph: IntGraph
    io: str  # "arena", "external", or "rows": the input is pushed by rows
    buffers: tuple[Tensor, ...]  # inputs and outputs that are not in the arena but in buffers of the caller
    target: Target
    optimize: str
    steps: tuple[Step, ...]
    offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound: int

    @property
    def cost(self) -> float:
        """Estimated instructions."""
        return sum(s.choices[0].cost for s in self.steps if s.choices)

    def place_of(self, tensor: Tensor) -> dict[str, Any]:
        """memory: "arena" or the name of the tensor whose buffer it is; offset: byte there."""
        k, byte = divmod(self.offsets[tensor.name], BUFFER)
        return {"memory": self.buffers[k - 1].name if k else "arena", "offset": byte}

    @property
    def fullest(self) -> tuple[Step, dict[str, int]]:
        """(The step at which most bytes of the arena are in use, bytes of each tensor and of the scratch then held)."""
        tensors = self.graph.tensors
        spans = {n: (*life, self.offsets[n], self.offsets[n] + tensors[n].bytes) for n, life in self.lifetimes().items()}

        def held(i: int) -> dict[str, tuple[int, int]]:
            step = self.steps[i]
            scratch = {"scratch": (step.scratch_offset, step.scratch_offset + step.scratch_bytes)}
            return {n: s[2:] for n, s in spans.items() if s[0] <= i <= s[1] and s[2] < BUFFER} | (
                scratch if step.scratch_bytes else {}
            )

        fullest = max(range(len(self.steps)), key=lambda i: covered(held(i).values()))
        return self.steps[fullest], {n: end - start for n, (start, end) in held(fullest).items()}

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """Tensor -> (first, last) step; inputs start at -1, outputs last to len(steps)."""
        return lifetimes(self.graph, [s.node for s in self.steps])


def check_plan(plan: Plan) -> Plan:
    """Proves from addresses and lifetimes alone that no byte is overwritten while it is needed. Returns the plan.

    Bytes may be shared by a tensor and its aliases, and by an output and an input that dies at that step where the
    kernel's accesses, replayed byte by byte, read each one before it is overwritten. Raises EdgeqError.
    """
    life, tensors = plan.lifetimes(), plan.graph.tensors
    inputs = [(plan.offsets[t.name], plan.offsets[t.name] + t.bytes) for t in plan.graph.inputs.values()]
    ends = {k * BUFFER: k * BUFFER + t.bytes for k, t in enumerate(plan.buffers, 1)} | {0: plan.arena_bytes}
    constant = [span for span in inputs if span[0] >= BUFFER]  # buffers that the caller may pass as const

    def leaves(span: tuple[int, int]) -> bool:
        return span[1] > ends[span[0] // BUFFER * BUFFER]

    if any(map(leaves, inputs)) or any(_meet(a, b) for a, b in combinations(inputs, 2)):
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
        if leaves((start, end)) or scratch[1] > plan.arena_bytes:
            raise EdgeqError(f"step {i} writes past the arena of {plan.arena_bytes} bytes or a buffer", node=node.name)
        if any(_meet((start, end), span) for span in constant):
            raise EdgeqError(f"step {i} writes to an input of the caller", node=node.name)
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
