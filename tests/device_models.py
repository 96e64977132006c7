"""Models for the tests on emulated boards: each quantised once, and planned anew for each target."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import edgeq
from edgeq.compile import with_report
from edgeq.emit import emit
from edgeq.manifest import describe
from edgeq.model import Arrays
from edgeq.plan import make_plan
from edgeq.targets import target as find_target
from tests.c_models import DIGITS, MODELS
from tests.shared import loader, onnx_file

OWN = {"digits": DIGITS / "digits.onnx", "zoo": MODELS / "zoo_legacy.onnx", "two": MODELS / "two_in_two_out_legacy.onnx",
       "conv1d": MODELS / "conv1d_legacy.onnx", "mlp": MODELS / "mlp_matmul_add.onnx"}  # fmt: skip
SHARED = ("ic01", "kws01", "vww01", "ad01", "sww01")


def file(name: str) -> Path:
    """The ONNX file."""
    return OWN[name] if name in OWN else onnx_file(name)


@cache
def generic(name: str) -> edgeq.CompiledModel:
    """The model for any processor."""
    data: Any = DIGITS / "calib.npz" if name == "digits" else "random"
    if name in SHARED:
        data = loader().load(name, "calib")["x"]
    return edgeq.compile_model(file(name), data, name=name, run_check=False)


@cache
def built(name: str, target: str = "generic") -> edgeq.CompiledModel:
    """The model for a target; as `edgeq build` makes it, without calibrating again."""
    model = generic(name)
    plan = make_plan(model.graph, find_target(target))
    emission, m = emit(plan, name, file(name).name), model.manifest
    manifest = describe(emission, plan, model.float_graph, file(name), m["method"], m["io_layout"])
    return with_report(replace(model, files=emission.files, manifest=manifest, plan=plan))


def some(feeds: Arrays, *samples: int) -> Arrays:
    """These samples of the feeds."""
    return {name: x[np.array(samples)] for name, x in feeds.items()}
