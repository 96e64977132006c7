"""Runs in the peers' environment: a float ONNX model through BakeNN's post-training quantisation to C.

    python peer_bakenn.py MODEL.onnx CALIB.npy FOLDER

BakeNN captures PyTorch models. This makes its float graph from ONNX instead, for the operators of the shared models; all
that follows (calibration, quantisation, kernel selection, C) is BakeNN's own. Leaves the C in folders named as OPTIONS, and
`input`, the calibration samples as the C takes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bakenn
import numpy as np
import onnx
from bakenn.frontends.torch_export import model as fg
from onnx import helper, numpy_helper

SAMPLES = 8  # BakeNN observes activations by loops in Python: a minute for these
LEAST_WEIGHT = 2.0**-16  # of the channel's bias
# one scale for a fully connected layer's weights, as CMSIS-NN's kernel wants it: with one a channel BakeNN does not use it
PER_TENSOR = bakenn.PTQOptions(bakenn.LinearWeightGranularity.PER_TENSOR)
STATIC, M4 = bakenn.KernelPolicy.STATIC_PRIORITY, bakenn.CORTEX_M4
OPTIONS = {
    "portable": bakenn.CBackendOptions(),
    "static": bakenn.CBackendOptions(kernel_policy=STATIC, target=M4),
    "static_any": bakenn.CBackendOptions(kernel_policy=STATIC),
    "cmsis_nn": bakenn.CBackendOptions(kernel_policy=STATIC, enable_cmsis_nn=True, target=M4),
}
ACTIVATION = {4: fg.FloatLayout.NCHW, 2: fg.FloatLayout.NC}
WEIGHT = {4: fg.FloatLayout.OIHW, 2: fg.FloatLayout.OI, 1: fg.FloatLayout.C}


def representable(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The weight (O, ...), with one element raised in channels so close to 0 that BakeNN's int32 bias would overflow."""
    weight = weight.copy()
    rows = weight.reshape(len(weight), -1)
    least = np.abs(bias) * LEAST_WEIGHT
    rows[:, 0] = np.where(np.abs(rows).max(1) < least, least, rows[:, 0])
    return weight


class Converter:
    """Collects BakeNN's float values and operators, node by node."""

    def __init__(self, graph: onnx.GraphProto):
        self.arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        typed = [*graph.input, *graph.output, *graph.value_info]
        self.shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in typed}
        self.values: dict[str, fg.FloatValue] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.ops: list[fg.FloatOp] = []

    def value(self, name: str, kind: fg.FloatValueKind) -> None:
        shape = self.shapes[name]
        self.values[name] = fg.FloatValue(name, shape, fg.FloatDType.FLOAT32, ACTIVATION[len(shape)], kind)

    def constant(self, name: str, array: np.ndarray) -> str:
        kind = fg.FloatValueKind.PARAMETER
        self.values[name] = fg.FloatValue(name, array.shape, fg.FloatDType.FLOAT32, WEIGHT[array.ndim], kind)
        self.constants[name] = array
        return name

    def linear(self, node: onnx.NodeProto, weight: np.ndarray) -> tuple[str, str, str | None]:
        """(input, weight, bias) of a Conv or Gemm."""
        if len(node.input) < 3:
            return node.input[0], self.constant(node.input[1], weight), None
        bias = self.arrays[node.input[2]]
        weight = representable(weight, bias)
        return node.input[0], self.constant(node.input[1], weight), self.constant(node.input[2], bias)

    def add(self, node: onnx.NodeProto) -> None:
        a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
        stride, pads = a.get("strides", (1, 1)), (top, bottom, left, right)
        x, out = node.input[0], node.output[0]
        self.value(out, fg.FloatValueKind.ACTIVATION)
        match node.op_type:
            case "Conv":
                groups, channels = a.get("group", 1), self.shapes[x][1]
                fields = out, *self.linear(node, self.arrays[node.input[1]]), out, stride, pads, a.get("dilations", (1, 1))
                if groups == channels > 1:
                    op = fg.FloatDepthwiseConv2DOp(*fields, channels, self.shapes[out][1] // channels)
                else:
                    op = fg.FloatConv2DOp(*fields, groups)
            case "Gemm":
                matrix = self.arrays[node.input[1]]
                op = fg.FloatLinearOp(out, *self.linear(node, matrix if a.get("transB") else matrix.T), out)
            case "Add":
                op = fg.FloatAddOp(out, x, node.input[1], out)
            case "AveragePool":
                op = fg.FloatAveragePool2DOp(out, x, out, a["kernel_shape"], stride, pads)
            case "Relu":
                op = fg.FloatReLUOp(out, x, out)
            case "Reshape":
                op = fg.FloatFlattenOp(out, x, out)
            case "Softmax":
                op = fg.FloatSoftmaxOp(out, x, out)
            case other:
                sys.exit(f"{other} is not converted for BakeNN")
        self.ops.append(op)


def main() -> None:
    """Converts, quantises, compiles."""
    file, calib, folder = sys.argv[1:]
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    x = np.load(calib)[:SAMPLES]
    converter, nodes, start = Converter(graph), list(graph.node), graph.input[0].name
    if nodes[0].op_type in ("Transpose", "Reshape"):  # BakeNN takes NCHW samples; its C takes NHWC, as these models do
        start = nodes.pop(0).output[0]
        axes = (0, 3, 1, 2) if x.shape[1:] != converter.shapes[start][1:] else (0, 1, 2, 3)
        x = x.transpose(axes).reshape(-1, *converter.shapes[start][1:])
    converter.value(start, fg.FloatValueKind.INPUT)
    for node in nodes:
        converter.add(node)
    made = fg.FloatGraph("peer", converter.values, converter.constants, converter.ops, [start], [graph.output[0].name], "onnx")
    quantised = bakenn.quantize_float_graph(made, list(x[:, None]), options=PER_TENSOR)
    for name, options in OPTIONS.items():
        plan = bakenn.compile(quantised, f"{folder}/{name}", model_name="peer", backend_options=options).plan
    nhwc = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
    stored = [bakenn.quantize_input(plan, sample[None]).tobytes() for sample in nhwc]
    (Path(folder) / "input").write_bytes(b"".join(stored))


if __name__ == "__main__":
    main()
