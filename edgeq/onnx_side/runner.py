"""Runs the float model with onnxruntime, any of its tensors as output."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime

from edgeq.errors import UnsupportedModel
from edgeq.onnx_side.load import input_shapes

FloatArrays = dict[str, np.ndarray]


class Runner:
    """The float model as a function: {input: float32 array of the ONNX shape} -> {tensor: float32 array}.

    names: ONNX tensors to return; the model's inputs may be among them. Raises UnsupportedModel where onnxruntime
    cannot load or run the model.
    """

    def __init__(self, model: onnx.ModelProto, names: Iterable[str]):
        probed = onnx.ModelProto()
        probed.CopyFrom(model)
        self.inputs = input_shapes(model)
        self.names = [n for n in dict.fromkeys(names) if n not in self.inputs]
        del probed.graph.output[:]
        probed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in self.names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1  # small models: threads cost more than they give, and one is repeatable
        try:
            self.session = onnxruntime.InferenceSession(
                probed.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime raises its own unrelated types
            raise UnsupportedModel(f"onnxruntime cannot load the model: {str(e).splitlines()[0]}") from e

    def __call__(self, feeds: FloatArrays) -> FloatArrays:
        try:
            values = self.session.run(self.names, feeds)
        except Exception as e:
            raise UnsupportedModel(f"onnxruntime cannot run the model: {str(e).splitlines()[0]}") from e
        return {**feeds, **dict(zip(self.names, values, strict=True))}
