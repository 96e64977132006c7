"""Renders a Plan as a folder of C: what varies is data for the templates, what does not are the kernels' own files."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jinja2

from edgeq._version import __version__
from edgeq.emit.c import comment, float_literal, macro_part
from edgeq.emit.c import prefix as c_prefix
from edgeq.emit.calls import CallText, Constants, call_texts
from edgeq.ir import Node, Tensor
from edgeq.plan import Plan, Step
from edgeq.plan.bands import PUSHED
from edgeq.plan.code import code_bytes
from edgeq.resources import DEVICE, KERNELS, TEMPLATES


@dataclass(frozen=True, eq=False)
class Emission:
    """files: name -> text, without manifest.json; layers: what manifest and summary say of each."""

    name: str
    files: Mapping[str, str]
    layers: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]  # what runs, in order: more than the layers where some run by bands of rows
    flash_data: int  # bytes of constants
    code: int  # bytes of kernels, estimated
    model_hash: str  # first 8 hex digits of the SHA-256 over weights and structure


@cache
def environment() -> jinja2.Environment:
    """Templates of the project; undefined names are errors."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip


def emit(plan: Plan, name: str, origin: str = "") -> Emission:
    """The C of a plan. name: C identifier that prefixes every symbol; origin: the ONNX file's name, for comments."""
    inputs, outputs = _ports(plan, plan.graph.inputs, "INPUT"), _ports(plan, plan.graph.outputs, "OUTPUT")
    pointers = _pointers([*inputs, *outputs])
    outside = [p for p in [*inputs, *outputs] if p["memory"] != "arena"]
    buffers = "".join(f", {p['pointer'].replace('int8_t', p['ctype'])}{p['function']}" for p in outside)
    constants = Constants(name)
    records: list[dict[str, Any]] = []
    params: dict[tuple[str, str], str] = {}  # (struct, initializer) -> symbol: parts of a layer often share one
    flash: Counter[str] = Counter()
    steps = [s for s in plan.steps if s.kernel or not s.node.part_of]
    for index, step in enumerate(steps):
        before = constants.added
        pushed_row = plan.io == "rows" and step.layer == PUSHED and step.node.rows  # which NAME_push_row copies
        for call in call_texts(step.kernel, step.node, f"l{index:02d}", constants) if step.kernel and not pushed_row else []:
            symbol = params.setdefault((call.params_type, call.init), call.symbol)
            records.append({"step": index, "call": replace(call, symbol=symbol), "first": symbol == call.symbol,
                            "arguments": _arguments(plan, step, call, pointers)})  # fmt: skip
        flash[step.layer] += constants.added - before
    layers = [_describe(plan, index, node, flash[node.name]) for index, node in enumerate(plan.source.nodes)]
    number = {node.name: index for index, node in enumerate(plan.source.nodes)}
    described = [{"layer": number[s.layer], "output_shape": [1, *s.node.output.shape], "dtype": s.node.output.dtype,
                  **plan.place_of(s.node.output), "rows": s.node.rows or (None if s.node.part_of else "all")}
                 for s in steps]  # fmt: skip
    pushes = [(i, s.node.rows, plan.offsets[s.node.output.name]) for i, s in enumerate(steps)
              if plan.io == "rows" and s.layer == PUSHED and s.node.rows]  # fmt: skip
    assert not pushes or pushes[0][0] == 0  # nothing runs before the first row
    ends = [i for i, _, _ in pushes[1:]] + [len(steps)]
    pushed = [{"first": rows[0], "end": rows[1], "to": to, "steps": range(i + 1, end)}
              for (i, rows, to), end in zip(pushes, ends, strict=False)]  # fmt: skip
    whole = [layers, [e["text"] for e in constants.entries], [r["call"].init for r in records]]
    hashed = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:8]
    kernels = [s.kernel for s in plan.steps if s.kernel]
    context = {
        "name": name, "NAME": name.upper(), "version": __version__, "origin": comment(origin), "plan": plan,
        "headers": sorted({f"edgeq_{s.node.op.name}.h" for s in plan.steps if s.kernel}), "records": records,
        "records_of": [[r for r in records if r["step"] == i] for i in range(len(steps))],
        "layers": layers, "steps": described,
        "arrays": constants.entries, "inputs": inputs, "buffers": buffers, "pushed": pushed,
        "outputs": outputs, "runtime_version": runtime_version(),
        "hash": hashed, "comment": comment,
    }  # fmt: skip
    sources = runtime_files(sorted({k.source for k in kernels}))
    context["sources"] = sorted([f"{name}.c", f"{name}_weights.c", *(s for s in sources if s.endswith(".c"))])
    rendered = {
        f"{name}.h": "model.h.j2", f"{name}.c": "model.c.j2", f"{name}_weights.h": "weights.h.j2",
        f"{name}_weights.c": "weights.c.j2", "CMakeLists.txt": "CMakeLists.txt.j2",
    }  # fmt: skip
    files = {file: environment().get_template(template).render(context) for file, template in rendered.items()}
    return Emission(
        name,
        {**files, **sources},
        layers,
        described,
        constants.added,
        code_bytes((k.function for k in kernels), plan.target, plan.optimize),
        hashed,
    )


def prefix(name: str) -> str:
    """What C names and files of a model called `name` begin with; no kernel's file does, and no header of device programs."""
    return c_prefix(name, {f.name for f in (*KERNELS.iterdir(), *DEVICE.rglob("*.h"))})


def runtime_version() -> int:
    """EDGEQ_RUNTIME_VERSION of the kernels that will be copied."""
    found = re.search(r"#define EDGEQ_RUNTIME_VERSION (\d+)", (KERNELS / "edgeq.h").read_text(encoding="utf-8"))
    assert found
    return int(found.group(1))


def runtime_files(sources: Sequence[str]) -> dict[str, str]:
    """The named kernel sources and every header that they include, by file name."""
    files: dict[str, str] = {}
    pending = ["edgeq.h", *sources]
    while pending:
        file = pending.pop()
        if file not in files:
            files[file] = (KERNELS / file).read_text(encoding="utf-8")
            pending += re.findall(r'#include "(\w+\.h)"', files[file])
    return dict(sorted(files.items()))


def _arguments(plan: Plan, step: Step, call: CallText, pointers: Mapping[str, str]) -> str:
    def at(tensor: Tensor) -> str:
        place = plan.place_of(tensor)
        return f"{pointers[place['memory']]} + {place['offset']}"

    scratch = [f"a + {step.scratch_offset}"] if call.scratch else []
    return ", ".join([*(at(step.node.inputs[i]) for i in call.inputs), at(step.node.output), *scratch])


def _pointers(ports: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Memory -> the int8_t pointer to it in the function that runs the model."""
    casts = {p["tensor"].name: "" if p["tensor"].dtype == "int8" else f"({p['pointer']})" for p in ports}
    return {"arena": "a", **{p["tensor"].name: casts[p["tensor"].name] + p["function"] for p in ports}}


def _describe(plan: Plan, index: int, node: Node, flash: int) -> dict[str, Any]:
    """What manifest, summary and report say of a layer: the node, whether one step runs it or several by bands of rows."""
    parts = [s for s in plan.steps if s.layer == node.name and s.kernel]
    own = [s for s in parts if s.node.op.name == node.op.name]  # the others move rows
    kernels = Counter(s.choices[0].kernel.function for s in own)
    kernel = kernels.most_common(1)[0][0] if kernels else None
    costs: dict[str | None, float] = {kernel: sum(s.choices[0].cost for s in parts)} if parts else {}
    for function in {c.kernel.function for s in own for c in s.choices} - {kernel}:
        others = [min((c.cost for c in s.choices if c.kernel.function == function), default=math.inf) for s in own]
        if sum(others) < math.inf:
            costs[function] = sum(others)
    at = plan.place_of(node.output) if node.output.name in plan.offsets else {"memory": None, "offset": None}
    by_cost = sorted(costs.items(), key=lambda c: (c[0] != kernel, c[1], c[0]))
    return {
        "index": index, "name": node.name, "op": node.op.name, "onnx_nodes": list(node.onnx_nodes),
        "kernel": kernel, "bands": kernels.total() if node.name in {s.node.part_of for s in parts} else None,
        "estimated_instructions": {function: round(cost) for function, cost in by_cost},
        "inputs": [t.name for t in node.inputs], "input_shapes": [[1, *t.shape] for t in node.inputs],
        "output": node.output.name, "output_shape": [1, *node.output.shape], "dtype": node.output.dtype,
        "frac_bits": node.output.frac_bits, "scale": node.output.scale, "zero_point": node.output.zero_point,
        **at, "macs": sum(s.node.macs for s in parts),
        "weight_bytes": node.op.weight_bytes(), "flash_bytes": flash,
        "scratch_bytes": max((s.scratch_bytes for s in parts), default=0),
    }  # fmt: skip


def _ports(plan: Plan, tensors: Mapping[str, Tensor], kind: str) -> list[dict[str, Any]]:
    """Inputs or outputs for the header: macros are <MODEL>_INPUT_... where there is one, else with its name."""
    ports: list[dict[str, Any]] = []
    taken: set[str] = set()
    for onnx_name, t in tensors.items():
        suffix = macro_part(onnx_name, "tensor")
        while suffix.lower() in taken:
            suffix += "_"
        taken.add(suffix.lower())
        one = len(tensors) == 1
        ports.append({
            "function": kind.lower() if one else f"{kind.lower()}_{suffix.lower()}",
            "macro": kind if one else f"{kind}_{suffix.upper()}",
            "onnx_name": onnx_name, "tensor": t, "ctype": f"{t.dtype}_t", **plan.place_of(t),
            "pointer": "const int8_t *" if kind == "INPUT" else "int8_t *",
            "scale": float_literal(t.scale),
        })  # fmt: skip
    return ports
