"""Renders a Plan as a folder of C: what varies is data for the templates, what does not are the kernels' own files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from edgeq._version import __version__
from edgeq.emit.c import comment, float_literal, macro_part
from edgeq.emit.c import prefix as c_prefix
from edgeq.emit.calls import CallText, Constants, call_texts
from edgeq.ir import Tensor
from edgeq.plan import Plan, Step
from edgeq.plan.code import code_bytes
from edgeq.resources import DEVICE, KERNELS, TEMPLATES


@dataclass(frozen=True, eq=False)
class Emission:
    """files: name -> text, without manifest.json; layers: what manifest and summary say of each step."""

    name: str
    files: Mapping[str, str]
    layers: Sequence[Mapping[str, Any]]
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
    constants = Constants(name)
    records: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    for index, step in enumerate(plan.steps):
        before = constants.added
        calls = call_texts(step.kernel, step.node, f"l{index:02d}", constants) if step.kernel else []
        records += [{"layer": index, "call": c, "arguments": _arguments(plan, step, c)} for c in calls]
        layers.append(_describe(plan, index, step, constants.added - before))
    whole = [layers, [e["text"] for e in constants.entries], [r["call"].init for r in records]]
    hashed = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:8]
    kernels = [s.kernel for s in plan.steps if s.kernel]
    context = {
        "name": name, "NAME": name.upper(), "version": __version__, "origin": comment(origin), "plan": plan,
        "headers": sorted({f"edgeq_{s.node.op.name}.h" for s in plan.steps if s.kernel}), "records": records, "layers": layers,
        "arrays": constants.entries, "inputs": _ports(plan, plan.graph.inputs, "INPUT"),
        "outputs": _ports(plan, plan.graph.outputs, "OUTPUT"), "runtime_version": runtime_version(),
        "hash": hashed, "comment": comment,
    }  # fmt: skip
    sources = runtime_files(sorted({k.source for k in kernels}), plan.optimize)
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


def runtime_files(sources: Sequence[str], optimize: str = "speed") -> dict[str, str]:
    """The named kernel sources and every header that they include, by file name."""
    files: dict[str, str] = {}
    pending = ["edgeq.h", *sources]
    while pending:
        file = pending.pop()
        if file not in files:
            files[file] = (KERNELS / file).read_text(encoding="utf-8")
            pending += re.findall(r'#include "(\w+\.h)"', files[file])
    if optimize == "size":
        files["edgeq.h"] = files["edgeq.h"].replace("#define EDGEQ_SMALL 0", "#define EDGEQ_SMALL 1")
    return dict(sorted(files.items()))


def _arguments(plan: Plan, step: Step, call: CallText) -> str:
    inputs = [f"a + {plan.offsets[step.node.inputs[i].name]}" for i in call.inputs]
    scratch = [f"a + {step.scratch_offset}"] if call.scratch else []
    return ", ".join([*inputs, f"a + {plan.offsets[step.node.output.name]}", *scratch])


def _describe(plan: Plan, index: int, step: Step, flash: int) -> dict[str, Any]:
    node = step.node
    return {
        "index": index, "name": node.name, "op": node.op.name, "onnx_nodes": list(node.onnx_nodes),
        "kernel": step.kernel.function if step.kernel else None,
        "estimated_instructions": {c.kernel.function: round(c.cost) for c in step.choices},
        "inputs": [t.name for t in node.inputs], "input_shapes": [[1, *t.shape] for t in node.inputs],
        "output": node.output.name, "output_shape": [1, *node.output.shape], "dtype": node.output.dtype,
        "frac_bits": node.output.frac_bits, "scale": node.output.scale, "zero_point": node.output.zero_point,
        "offset": plan.offsets[node.output.name], "macs": node.macs, "weight_bytes": node.op.weight_bytes(),
        "flash_bytes": flash, "scratch_bytes": step.scratch_bytes,
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
            "onnx_name": onnx_name, "tensor": t, "offset": plan.offsets[t.name], "ctype": f"{t.dtype}_t",
            "scale": float_literal(t.scale),
        })  # fmt: skip
    return ports
