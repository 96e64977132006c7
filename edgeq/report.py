"""report.html: the build as one page to look at. Everything is measured and placed here; the template only writes it.

Lengths are SVG units, which are CSS pixels. Pictures are as deterministic as the plan they show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import jinja2

from edgeq.check import CheckResult
from edgeq.evaluate import LayerSqnr
from edgeq.ir import Tensor
from edgeq.plan import Plan
from edgeq.report_memory import memory_map
from edgeq.resources import TEMPLATES

Layers = Sequence[Mapping[str, Any]]  # as in manifest.json

BOX_W, BOX_H, ROW, LANE_GAP, BYPASS, MARGIN = 216, 54, 84, 24, 28, 8  # the network's picture


class Reported(Protocol):
    """What the report reads of a CompiledModel, whose module lies above this one."""

    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def layer_sqnr(self) -> Sequence[LayerSqnr]: ...
    @property
    def check(self) -> CheckResult | None: ...


@cache
def environment() -> jinja2.Environment:
    """Templates of pages."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def render_report(model: Reported) -> str:
    """The page for a compiled model: self-contained HTML, the same bytes for the same model."""
    layers, m = model.manifest["layers"], model.manifest
    sqnr = {s.name: s.sqnr_db for s in model.layer_sqnr}
    return environment().get_template("report.html.j2").render(
        m=m, source=printable(m["source"]["file"]), tiles=tiles(model, sqnr), network=network(layers, model.plan),
        memory=memory_map(model.plan), flash=flash_bars(layers), costs=cost_bars(layers), sqnr=sqnr_bars(layers, sqnr),
        rows=table(layers), count=count,
    )  # fmt: skip


# ---------------------------------------------------------------- words and numbers


def printable(text: str, limit: int = 200) -> str:
    """Text from a model as it may be shown: no control or direction characters, not endless."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def count(n: float) -> str:
    """12345 -> 12,345."""
    return f"{n:,.0f}"


def kib(n: int) -> str:
    """55296 -> 54.0 KiB."""
    return f"{n / 1024:.1f} KiB"


def size(n: int) -> str:
    """Bytes for people: 55,296 B, and KiB where that says more."""
    return f"{n:,} B" if n < 1024 else f"{n:,} B ({kib(n)})"


def decibels(db: float | None) -> str:
    """27.1 dB; `exact` for no error at all."""
    if db is None:
        return "not measured"
    return "exact" if db == math.inf else "no signal" if db == -math.inf else f"{db:.1f} dB"


def shape_text(shape: Iterable[int]) -> str:
    """A stored shape without its batch: 32×32×16."""
    return "×".join(map(str, list(shape)[1:])) or "1"


def quantization(record: Mapping[str, Any]) -> str:
    """How the integers of a tensor are to be read: Q5 means that real = (q - zero) / 2^5."""
    fraction = f"Q{record['frac_bits']}" if record["frac_bits"] is not None else f"× {record['scale']:.3g}"
    return f"{record['dtype']} {fraction}, zero {record['zero_point']}"


def output_sqnr(manifest: Mapping[str, Any], sqnr: Mapping[str, float]) -> dict[str, float]:
    """ONNX output name -> dB, for outputs whose layer was measured."""
    by_tensor = {x["output"]: sqnr[x["name"]] for x in manifest["layers"] if x["name"] in sqnr}
    return {p["name"]: by_tensor[p["tensor"]] for p in manifest["outputs"] if p["tensor"] in by_tensor}


def tiles(model: Reported, sqnr: Mapping[str, float]) -> list[dict[str, str]]:
    """The figures at the top of the page."""
    m, plan, checked = model.manifest, model.plan, model.check
    bound = "the lower bound" if plan.arena_bytes <= plan.lower_bound else f"lower bound {plan.lower_bound:,} B"
    worst = min(output_sqnr(m, sqnr).values(), default=None)
    proof = f"{checked.elements:,} output bytes on {checked.vectors:,} inputs" if checked else "built with --no-check"
    return [
        {"name": "RAM (arena)", "value": f"{plan.arena_bytes:,} B",
         "note": f"{kib(plan.arena_bytes)}; {bound}", "kind": ""},
        {"name": "Flash (constants)", "value": f"{m['constant_bytes']:,} B",
         "note": f"{kib(m['constant_bytes'])}; about {m['code_bytes']:,} B of kernels", "kind": ""},
        {"name": "Multiply-accumulates", "value": f"{m['macs']:,}", "note": "one inference", "kind": ""},
        {"name": "Output SQNR", "value": decibels(worst), "note": "on calibration samples", "kind": ""},
        {"name": "C against reference", "value": "bit-exact" if checked else "not checked", "note": proof,
         "kind": "good" if checked else "warn"},
    ]  # fmt: skip


# ---------------------------------------------------------------- the network


@dataclass
class Box:
    """One layer, input or output of the picture; x, y: top left."""

    key: str
    kind: str  # compute, other, view or port
    lines: tuple[str, str, str]
    title: str
    inputs: tuple[str, ...]
    row: int = 0
    lane: int = 0
    x: float = 0
    y: float = 0

    @property
    def middle(self) -> float:
        return self.x + BOX_W / 2


def network(layers: Layers, plan: Plan) -> dict[str, Any]:
    """The layers as boxes, top to bottom, with an edge for every tensor read."""
    boxes = _boxes(layers, plan)
    _rank(boxes)
    routes = _lanes(boxes)
    centers, width = _columns(boxes, routes)
    for b in boxes.values():
        b.x, b.y = centers[b.lane] - BOX_W / 2, MARGIN + b.row * ROW
    edges = [e for b in boxes.values() for e in _edges(b, boxes, routes, centers)]
    height = MARGIN * 2 + max(b.row for b in boxes.values()) * ROW + BOX_H
    return {"boxes": list(boxes.values()), "edges": edges, "width": width, "height": height, "w": BOX_W, "h": BOX_H}


def _boxes(layers: Layers, plan: Plan) -> dict[str, Box]:
    """Boxes by the tensor that each writes; outputs of the network under names of their own."""
    boxes: dict[str, Box] = {}
    for onnx_name, t in plan.graph.inputs.items():
        boxes[t.name] = _port("input", t.name, onnx_name, t, ())
    for x in layers:
        kind = "view" if x["kernel"] is None else "compute" if x["macs"] else "other"
        kernel = (x["kernel"] or "same memory, no code").removeprefix("edgeq_")
        title = f"{x['name']}: {_nodes(x)}\n{count(x['macs'])} MACs, {size(x['flash_bytes'])} of constants"
        lines = (f"{x['index']}  {x['op']}", kernel if kernel != x["op"] else "",
                 f"{shape_text(x['output_shape'])}   {quantization(x)}")  # fmt: skip
        boxes[x["output"]] = Box(x["output"], kind, lines, title, tuple(x["inputs"]))
    for onnx_name, t in plan.graph.outputs.items():
        boxes[f"output {onnx_name}"] = _port("output", f"output {onnx_name}", onnx_name, t, (t.name,))
    return boxes


def _port(kind: str, key: str, name: str, t: Tensor, inputs: tuple[str, ...]) -> Box:
    record = {"dtype": t.dtype, "scale": t.scale, "frac_bits": t.frac_bits, "zero_point": t.zero_point}
    lines = (kind, printable(name, 30), f"{shape_text((1, *t.shape))}   {quantization(record)}")
    return Box(key, "port", lines, f"{kind} {printable(name)}: {t.bytes:,} bytes", inputs)


def _nodes(layer: Mapping[str, Any]) -> str:
    return ", ".join(printable(n) for n in layer["onnx_nodes"]) or "added by edgeq"


def _rank(boxes: Mapping[str, Box]) -> None:
    """Each box one row below the lowest of its inputs."""
    for b in boxes.values():  # in execution order, so inputs come first
        b.row = 1 + max((boxes[i].row for i in b.inputs), default=-1)


def _lanes(boxes: Mapping[str, Box]) -> dict[str, tuple[int, int]]:
    """Gives every box a lane. -> tensor -> (lane, last row) of the line on which it passes rows to a later reader.

    A box takes the lane of its first input if that is free; a line that must pass a row takes the nearest free lane.
    """
    last = {key: max((b.row - 1 for b in boxes.values() if key in b.inputs), default=-1) for key in boxes}
    taken: dict[int, set[int]] = {}  # row -> lanes
    routes: dict[str, tuple[int, int]] = {}
    rows = sorted({b.row for b in boxes.values()})
    for row in rows:
        for b in (b for b in boxes.values() if b.row == row):
            b.lane = _free(taken, range(row, row + 1), boxes[b.inputs[0]].lane if b.inputs else 0)
        for key, b in boxes.items():
            if b.row == row - 1 and last[key] >= row:
                routes[key] = _free(taken, range(row, last[key] + 1), b.lane), last[key]
    return routes


def _free(taken: dict[int, set[int]], rows: range, wanted: int) -> int:
    """Takes the free lane nearest to the wanted one, right before left, in all of these rows."""
    busy = set().union(*(taken.get(r, set()) for r in rows))
    lane = min((n for n in range(wanted + len(busy) + 1) if n not in busy), key=lambda n: (abs(n - wanted), -n))
    for r in rows:
        taken.setdefault(r, set()).add(lane)
    return lane


def _columns(boxes: Mapping[str, Box], routes: Mapping[str, tuple[int, int]]) -> tuple[list[float], float]:
    """Centre of every lane, and the width of the picture. Lanes in which only lines run are narrow."""
    wide = {b.lane for b in boxes.values()}
    centers, x = [], float(MARGIN)
    for lane in range(1 + max([*wide, *(lane for lane, _ in routes.values())])):
        step = BOX_W if lane in wide else BYPASS
        centers.append(x + step / 2)
        x += step + LANE_GAP
    return centers, x - LANE_GAP + MARGIN


def _edges(
    reader: Box, boxes: Mapping[str, Box], routes: Mapping[str, tuple[int, int]], centers: Sequence[float]
) -> list[dict[str, Any]]:
    """The curves from a box's inputs: straight to the next row, along a lane past the rows between."""

    def lane_x(source: Box) -> float:
        return source.middle if reader.row == source.row + 1 else centers[routes[source.key][0]]

    edges = []
    sources = sorted((boxes[key] for key in reader.inputs), key=lane_x)  # so that they arrive without crossing
    for i, source in enumerate(sources):
        x, y = source.middle, source.y + BOX_H
        path = f"M{x:g} {y:g}"
        if reader.row > source.row + 1:
            down = reader.y - ROW + BOX_H
            path += _curve(x, y, lane_x(source), source.y + ROW) + f"V{down:g}"
            x, y = lane_x(source), down
        end = reader.middle + 28 * (i - (len(sources) - 1) / 2)
        path += _curve(x, y, end, reader.y - 3)
        edges.append({"path": path, "title": f"{source.key} → {reader.key}"})
    return edges


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (y + to_y) / 2
    return f"L{to_x:g} {to_y:g}" if x == to_x else f"C{x:g} {half:g} {to_x:g} {half:g} {to_x:g} {to_y:g}"


# ---------------------------------------------------------------- charts and table


def flash_bars(layers: Layers) -> list[dict[str, Any]]:
    """Constants of each layer, for those that have any."""
    most = max((x["flash_bytes"] for x in layers), default=0)
    return [{"label": f"{x['index']} {x['op']}", "percent": round(100 * x["flash_bytes"] / most, 1),
             "value": f"{x['flash_bytes']:,} B", "title": _nodes(x), "kind": ""}
            for x in layers if x["flash_bytes"]]  # fmt: skip


def cost_bars(layers: Layers) -> list[dict[str, Any]]:
    """Estimated instructions of each layer that has code, and behind them the best kernel that was not chosen."""
    bars = []
    for x in layers:
        costs = dict(x["estimated_instructions"])
        if costs:
            mine = costs.pop(x["kernel"])
            bars.append({"label": f"{x['index']} {x['op']}", "cost": mine, "other": min(costs.values(), default=0),
                         "value": f"{count(mine)}", "title": f"{_nodes(x)}\n{why(x)}"})  # fmt: skip
    most = max((max(b["cost"], b["other"]) for b in bars), default=0) or 1
    return [{**b, "percent": round(100 * b["cost"] / most, 1), "behind": round(100 * b["other"] / most, 1)} for b in bars]


def sqnr_bars(layers: Layers, sqnr: Mapping[str, float]) -> list[dict[str, Any]]:
    """SQNR of each measured layer; the one that loses most is marked."""
    worst = worst_drop(layers, sqnr)
    top = max((db for db in sqnr.values() if math.isfinite(db)), default=0.0)
    bars = []
    for x in layers:
        if x["name"] in sqnr:
            db = sqnr[x["name"]]
            percent = 100.0 if db == math.inf else round(100 * max(db, 0) / top, 1) if top > 0 else 0.0
            bars.append({"label": f"{x['index']} {x['op']}", "percent": percent, "value": decibels(db),
                         "title": _nodes(x), "kind": "warn" if x["name"] == worst else ""})  # fmt: skip
    return bars


def drops(layers: Layers, sqnr: Mapping[str, float]) -> dict[str, float]:
    """Layer -> dB that its output is below the worst of its inputs; a layer not measured passes its inputs' on."""
    at: dict[str, float] = {}  # tensor -> SQNR
    lost: dict[str, float] = {}
    for x in layers:
        before = min((at[t] for t in x["inputs"] if t in at), default=math.inf)
        at[x["output"]] = sqnr.get(x["name"], before)
        if x["name"] in sqnr and math.isfinite(before) and math.isfinite(sqnr[x["name"]]):
            lost[x["name"]] = before - sqnr[x["name"]]
    return lost


def worst_drop(layers: Layers, sqnr: Mapping[str, float]) -> str | None:
    """The layer that loses most, where one loses at least a tenth of a dB."""
    lost = drops(layers, sqnr)
    worst = max(lost, key=lambda name: lost[name], default=None)
    return worst if worst is not None and lost[worst] >= 0.1 else None


def table(layers: Layers) -> list[dict[str, Any]]:
    """The layers as rows of text."""
    return [
        {
            "index": x["index"], "kernel": (x["kernel"] or "(no code)").removeprefix("edgeq_"), "nodes": _nodes(x),
            "inputs": ", ".join(map(shape_text, x["input_shapes"])), "output": shape_text(x["output_shape"]),
            "macs": count(x["macs"]), "flash": count(x["flash_bytes"]), "scratch": count(x["scratch_bytes"]),
            "quantization": quantization(x).removeprefix("int8 "), "cost": per_mac(x), "why": why(x),
        }
        for x in layers
    ]  # fmt: skip


def per_mac(layer: Mapping[str, Any]) -> str:
    """Estimated instructions per multiply-accumulate of the chosen kernel, or a dash."""
    cost = layer["estimated_instructions"].get(layer["kernel"])
    return f"{cost / layer['macs']:.2f}" if cost is not None and layer["macs"] else "–"


def why(layer: Mapping[str, Any], most: int | None = None) -> str:
    """Why this kernel: what the others that could run the layer (at most so many) would cost, relative to it."""
    costs = layer["estimated_instructions"]
    mine = costs.get(layer["kernel"]) or 1
    others = [f"{k.removeprefix('edgeq_')} {c / mine:.2f}×" for k, c in costs.items() if k != layer["kernel"]]
    return ", ".join(others[:most]) if others else "the only one" if costs else "–"
