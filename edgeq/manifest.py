"""manifest.json: every choice that was made, for tools and people that come after."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from edgeq._version import __version__
from edgeq.emit import Emission
from edgeq.ir import FloatGraph, FloatTensor, Tensor
from edgeq.plan import Plan


def describe(emission: Emission, plan: Plan, layers: FloatGraph, source: Path, method: str, io_layout: str) -> dict[str, Any]:
    """The manifest of a build, without its `files`. source: the ONNX file; its folder is not recorded."""
    graph = plan.graph
    return {
        "model": emission.name, "edgeq": __version__, "target": plan.target.name,
        "optimize": plan.optimize, "model_hash": emission.model_hash,
        "source": {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
        "float_model": f"{emission.name}.float.onnx", "method": method, "io_layout": io_layout,
        "arena_bytes": plan.arena_bytes, "arena_align": plan.target.align, "arena_lower_bound": plan.lower_bound,
        "constant_bytes": emission.flash_data, "code_bytes": emission.code, "macs": sum(s.node.macs for s in plan.steps),
        "inputs": [_port(plan, n, t, layers.tensors[layers.inputs[n]]) for n, t in graph.inputs.items()],
        "outputs": [_port(plan, n, t, layers.tensors[layers.outputs[n]]) for n, t in graph.outputs.items()],
        "layers": list(emission.layers), "steps": list(emission.steps),
    }  # fmt: skip


def _port(plan: Plan, name: str, tensor: Tensor, twin: FloatTensor) -> dict[str, Any]:
    assert twin.index is not None
    shape = twin.index.shape
    rank = len(shape) - (shape[:1] == (1,))
    in_order = np.array_equal(twin.index.ravel(), np.arange(twin.index.size))
    return {
        "name": name, "tensor": tensor.name, "shape": [1, *tensor.shape], "dtype": tensor.dtype, "scale": tensor.scale,
        "zero_point": tensor.zero_point, "frac_bits": tensor.frac_bits, "offset": plan.offsets[tensor.name],
        "onnx_shape": list(shape),
        # stored order = one ONNX sample (without its batch of 1) transposed by these axes: as it is, or channels last
        "axes": list(range(rank)) if in_order else [*range(1, rank), 0],
    }  # fmt: skip
