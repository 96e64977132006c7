"""edgeq: ONNX models as integer-only C for microcontrollers, the same bits everywhere."""

from edgeq._version import __version__
from edgeq.compile import CompiledModel, compile_model, evaluate_model
from edgeq.errors import EdgeqError
from edgeq.model import BuiltModel
from edgeq.quantize import InputSpec

__all__ = ["BuiltModel", "CompiledModel", "EdgeqError", "InputSpec", "__version__", "compile_model", "evaluate_model"]
