"""edgeq: ONNX models as integer-only C for microcontrollers, the same bits everywhere.

Names are imported when first used, so that `edgeq --help` does not wait for onnxruntime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgeq._version import __version__

if TYPE_CHECKING:
    from edgeq.compile import CompiledModel, compile_model, evaluate_model
    from edgeq.errors import EdgeqError
    from edgeq.model import BuiltModel
    from edgeq.quantize import InputSpec

__all__ = ["BuiltModel", "CompiledModel", "EdgeqError", "InputSpec", "__version__", "compile_model", "evaluate_model"]

_HOME = {
    "BuiltModel": "model", "CompiledModel": "compile", "EdgeqError": "errors", "InputSpec": "quantize",
    "compile_model": "compile", "evaluate_model": "compile",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"edgeq.{_HOME[name]}"), name)
    raise AttributeError(f"module 'edgeq' has no attribute {name!r}")
