"""What a model will need, before there is calibration data: the real planner and emitter on made-up activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgeq.calibrate import load_samples, observe
from edgeq.emit import emit
from edgeq.errors import EdgeqError
from edgeq.ir import FloatGraph
from edgeq.onnx_side.load import input_shapes
from edgeq.onnx_side.runner import Runner
from edgeq.plan import make_plan
from edgeq.quantize import QuantOptions, quantize
from edgeq.targets import TARGETS


@dataclass(frozen=True)
class Need:
    """Bytes of constants and kernels, and of the arena. They do not depend on what the activations are."""

    flash: int
    ram: int


def needs(model: onnx.ModelProto, graph: FloatGraph) -> dict[str, Need]:
    """Target -> what the model needs there. model: simplified; graph: imported from it. Raises EdgeqError."""
    names = list(dict.fromkeys(t.onnx_name for t in graph.tensors.values() if t.onnx_name is not None))
    samples = load_samples("random", input_shapes(model)).head(1)
    integer = quantize(graph, observe(Runner(model, names), samples, names), QuantOptions())
    found: dict[str, Need] = {}
    by_isa: dict[tuple[tuple[str, ...], int], Need] = {}  # targets that run the same kernels get the same plan
    for name, target in TARGETS.items():
        kind = (target.isa, target.align)
        if kind not in by_isa:
            plan = make_plan(integer, target)
            emission = emit(plan, "model")
            by_isa[kind] = Need(emission.flash_data + emission.code, plan.arena_bytes)
        found[name] = by_isa[kind]
    return found


def try_needs(model: onnx.ModelProto, graph: FloatGraph) -> tuple[Mapping[str, Need], str]:
    """As needs, or nothing and the reason why not."""
    try:
        return needs(model, graph), ""
    except EdgeqError as error:
        return {}, str(error)
