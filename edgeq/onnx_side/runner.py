"""Runs the float model with onnxruntime, any of its tensors as output."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime

from edgeq.errors import UnsupportedModel
from edgeq.onnx_side.load import MIN_OPSET, input_shapes, opset_of

FloatArrays = dict[str, np.ndarray]
NEWEST_IR = 9  # file format version that every onnxruntime edgeq may meet can read; newer ones add only element types


class Runner:
    """The float model as a function: {input: float32 array of the ONNX shape} -> {tensor: float32 array}.

    names: ONNX tensors to return; the model's inputs may be among them. Raises UnsupportedModel where onnxruntime
    cannot load or run the model.
    """

    def __init__(self, model: onnx.ModelProto, names: Iterable[str]):
        probed = onnx.ModelProto()
        probed.CopyFrom(model)
        probed.ir_version = min(probed.ir_version, NEWEST_IR)
        del probed.opset_import[:]
        probed.opset_import.extend([onnx.helper.make_opsetid("", oldest_equal_opset(model))])
        self.inputs = input_shapes(model)
        self.names = [n for n in dict.fromkeys(names) if n not in self.inputs]
        del probed.graph.output[:]
        probed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in self.names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.quiet = onnxruntime.RunOptions()
        self.quiet.log_severity_level = 4
        options.intra_op_num_threads = 1  # small models: threads cost more than they give, and one is repeatable
        try:
            self.session = onnxruntime.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime raises its own unrelated types
            fact = f"onnxruntime {onnxruntime.__version__} cannot load the model of opset {opset_of(model)}: {reason(e)}"
            raise UnsupportedModel(fact, hint="export with an older opset, such as opset_version=17") from e

    def __call__(self, feeds: FloatArrays) -> FloatArrays:
        if not self.names:
            return dict(feeds)
        try:
            values = self.session.run(self.names, feeds, self.quiet)
        except Exception as e:
            raise UnsupportedModel(f"onnxruntime cannot run the model: {reason(e)}") from e
        return {**feeds, **dict(zip(self.names, values, strict=True))}


def oldest_equal_opset(model: onnx.ModelProto) -> int:
    """The oldest opset in which every operator of the model is what it is in its own: onnxruntime knows new opsets later
    than onnx, but seldom are the operators themselves new."""
    opset = opset_of(model)
    try:
        versions = [onnx.defs.get_schema(n.op_type, opset).since_version for n in model.graph.node]
    except onnx.defs.SchemaError:
        return opset
    return max(MIN_OPSET, *versions)


def reason(e: Exception) -> str:
    """onnxruntime's message without its error codes and C++ signatures."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+ .*?\) (?=[A-Z]))?", "", str(e).splitlines()[0])
