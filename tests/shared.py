"""The shared MLPerf Tiny models and data, where they are there: EDGEQ_MODELS, or ../shared/models beside the checkout."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import edgeq

MODELS = Path(os.environ.get("EDGEQ_MODELS", Path(__file__).parents[2] / "shared" / "models"))
needs_models = pytest.mark.skipif(not (MODELS / "loader.py").exists(), reason=f"no models in {MODELS} (EDGEQ_MODELS)")


@cache
def loader() -> Any:
    """The shared models' loader.py."""
    spec = importlib.util.spec_from_file_location("loader", MODELS / "loader.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def compiled(task: str, logits: bool = False) -> edgeq.CompiledModel:
    """A shared model at default settings, calibrated with its own data and checked."""
    return edgeq.compile_model(onnx_file(task, logits), loader().load(task, "calib")["x"])


def onnx_file(task: str, logits: bool = False) -> Path:
    """The ONNX file of a task; `logits`: the one without the final Softmax, where there is one."""
    plain = MODELS / f"{loader().MODELS[task]}.onnx"
    without = MODELS / f"{loader().MODELS[task]}_logits.onnx"
    return without if logits and without.exists() else plain


def float_outputs(file: Path, x: np.ndarray) -> np.ndarray:
    """onnxruntime's outputs, (N, classes)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: sample[None]})[0].ravel() for sample in x])
