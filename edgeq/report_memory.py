"""The report's memory map: rectangles of time and address, placed in SVG units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeq.plan import Plan
from edgeq.plan.place import BUFFER, covered

LEFT, RIGHT, TOP, HEIGHT, BOTTOM, WIDEST = 64, 16, 44, 340, 40, 1000  # margins, the arena's height, widest picture
COLUMN = (6, 64)  # narrowest and widest step
CHAR, LABEL_H = 6.2, 13  # of the small labels, about


@dataclass(frozen=True)
class Span:
    """Bytes start..end of the arena, held from step `first` to `last`, both included."""

    name: str
    kind: str  # port, tensor, view or scratch
    first: int
    last: int
    start: int
    end: int


def spans(plan: Plan) -> list[Span]:
    """Everything that lives in the arena: tensors and scratch, over the steps that run (Emission.steps)."""
    tensors, life = plan.graph.tensors, plan.lifetimes()
    ports = {t.name for t in (*plan.graph.inputs.values(), *plan.graph.outputs.values())}
    views = {s.node.output.name for s in plan.steps if s.kernel is None}
    found = []
    for name, (first, last) in life.items():
        if plan.offsets[name] >= BUFFER:  # in a buffer of the caller
            continue
        kind = "port" if name in ports else "view" if name in views else "tensor"
        found.append(Span(name, kind, first, last, plan.offsets[name], plan.offsets[name] + tensors[name].bytes))
    for i, s in enumerate(plan.steps):
        if s.scratch_bytes:
            found.append(Span("scratch", "scratch", i, i, s.scratch_offset, s.scratch_offset + s.scratch_bytes))
    before = [0]  # steps that run before each
    for s in plan.steps:
        before.append(before[-1] + (s.kernel is not None or not s.node.part_of))
    before.append(before[-1] + 1)
    return [replace(s, first=-1 if s.first < 0 else before[s.first], last=before[s.last + 1] - 1) for s in found
            if s.first < 0 or before[s.first] < before[s.last + 1]]  # fmt: skip


def memory_map(plan: Plan) -> dict[str, Any]:
    """The arena over time: steps to the right, addresses upward."""
    found, steps = spans(plan), sum(s.kernel is not None or not s.node.part_of for s in plan.steps)
    column = min(max((WIDEST - LEFT - RIGHT) / (steps + 2), COLUMN[0]), COLUMN[1])
    scale = HEIGHT / max(plan.arena_bytes, plan.lower_bound)
    bottom = TOP + HEIGHT

    def place(s: Span) -> dict[str, float]:
        box = {"x": LEFT + (s.first + 1) * column, "y": bottom - s.end * scale,
               "w": (s.last - s.first + 1) * column, "h": (s.end - s.start) * scale}  # fmt: skip
        return {key: round(value, 2) for key, value in box.items()}

    held = [covered((s.start, s.end) for s in found if s.first <= i <= s.last) for i in range(steps)]
    peak = held.index(max(held)) if held else 0
    width = LEFT + RIGHT + (steps + 2) * column
    rects = [{**place(s), "kind": s.kind, "title": _span_title(s), **_label(s, place(_own(s, found)))} for s in found]
    every = max(1, math.ceil(26 / column))
    return {
        "width": round(max(width, 340)), "height": bottom + BOTTOM, "left": LEFT, "top": TOP,
        "bottom": bottom, "right": round(width - RIGHT, 2), "rects": rects,
        "shared": [place(s) for s in _shared(found)],
        "peak": {"x": round(LEFT + (peak + 1) * column, 2), "w": round(column, 2), "step": peak,
                 "middle": round(LEFT + (peak + 1.5) * column, 2), "bytes": max(held, default=0),
                 "anchor": "start" if peak < steps / 2 else "end"},
        "ticks": [{"y": round(bottom - at * scale, 2), "text": f"{at:,}"} for at in _ticks(plan.arena_bytes)],
        "steps": [{"x": round(LEFT + (i + 1.5) * column, 2), "text": str(i)} for i in range(0, steps, every)],
        "steps_are_layers": plan.graph is plan.source,
        "bound_y": round(bottom - plan.lower_bound * scale, 2), "arena": plan.arena_bytes, "bound": plan.lower_bound,
    }  # fmt: skip


def _span_title(s: Span) -> str:
    return f"{s.name}: {s.end - s.start:,} bytes at {s.start:,}, steps {s.first} to {s.last}"


def _label(s: Span, box: Mapping[str, float]) -> dict[str, Any]:
    """The text that fits into a rectangle: along it, else upright, else none. x, y of its middle as tx, ty."""
    texts = [f"{s.name} {s.end - s.start:,}", s.name]
    middle = {"tx": round(box["x"] + box["w"] / 2, 2), "ty": round(box["y"] + box["h"] / 2, 2)}
    for along, across, turned in ((box["w"], box["h"], False), (box["h"], box["w"], True)):
        for text in texts:
            if len(text) * CHAR + 6 <= along and across >= LABEL_H:
                return {**middle, "text": text, "turned": turned}
    return {**middle, "text": "", "turned": False}


def _own(span: Span, found: Sequence[Span]) -> Span:
    """The part of a span's time in which its bytes are its alone, or where there is no such time, its first step."""
    rivals = [s for s in found if s is not span and s.start < span.end and span.start < s.end]
    alone = [i for i in range(span.first, span.last + 1) if not any(s.first <= i <= s.last for s in rivals)]
    return replace(span, first=alone[0], last=alone[-1]) if alone else replace(span, last=span.first)


def _shared(found: Sequence[Span]) -> list[Span]:
    """Where two spans hold the same bytes at the same time."""
    both = []
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            s = Span("", "", max(a.first, b.first), min(a.last, b.last), max(a.start, b.start), min(a.end, b.end))
            if s.first <= s.last and s.start < s.end:
                both.append(s)
    return both


def _ticks(top: int) -> list[int]:
    """Round addresses from 0 up, four to eight of them."""
    step = 1
    while top / step > 8:
        step *= 2
    return list(range(0, top + 1, step))
