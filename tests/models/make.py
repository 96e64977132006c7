"""Write the small models in this folder: what the exporters of today make of the networks people have.

Weights are random, from fixed seeds; a second run writes the same bytes. Needs torch, which edgeq does not
need. In a virtual environment of its own:

    pip install torch==2.13.0 onnx onnxscript onnxruntime
    python tests/models/make.py
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent


class SmallConv(nn.Module):
    """A stem, a depthwise-separable block with a residual, and a classifier: 3x12x12 to 5 probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8))
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.classify = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = functional.relu(x + self.pointwise(functional.relu(self.depthwise(x))))
        return functional.softmax(self.classify(x.mean((2, 3))), dim=-1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 2, 1)
        self.excite = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.excite(gate))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Zoo(nn.Module):
    """One of everything: 3x12x12 to 6 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(3)  # on the input, with the padding after it: cannot be folded backwards
        self.pad = nn.ConstantPad2d((0, 1, 0, 1), 0.0)
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.prelu = nn.PReLU(12, init=0.1)
        self.gate = SqueezeExcite(12)
        self.average = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.maximum = nn.MaxPool2d(3, stride=2, padding=1)
        self.mix = nn.Conv2d(24, 8, 1)
        self.hidden = nn.Linear(8 * 3 * 3, 16)
        self.classify = nn.Linear(16, 6)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.silu(self.stem(self.pad(self.normalise(image))))
        a, b = x.chunk(2, dim=1)
        x = torch.cat([functional.gelu(self.left(a)), functional.hardswish(self.right(b))], dim=1)
        x = self.prelu(self.grouped(channel_shuffle(x, 2)))
        x = self.gate(x)
        x = torch.cat([self.average(x), self.maximum(x)], dim=1)
        x = functional.relu6(self.mix(x))
        return self.classify(torch.tanh(self.hidden(x.flatten(1))))


class Conv1d(nn.Module):
    """A keyword-spotting shape: 4 channels of 32 samples to 3 probabilities, all in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(4, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.LeakyReLU(0.1))
        self.depthwise = nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.pointwise = nn.Conv1d(8, 12, 1)
        self.classify = nn.Linear(12 * 2, 3)

    def forward(self, signal: Tensor) -> Tensor:
        x = functional.relu(self.pointwise(functional.relu(self.depthwise(self.stem(signal)))))
        x = functional.avg_pool1d(functional.max_pool1d(x, 2), 4)
        return functional.softmax(self.classify(x.flatten(1)), dim=1)


class TwoInTwoOut(nn.Module):
    """An image and a vector of features in; class probabilities and an embedding out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.features = nn.Linear(5, 6)
        self.embed = nn.Linear(12, 8)
        self.classify = nn.Linear(8, 4)

    def forward(self, image: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(self.conv(image)).mean((2, 3))
        y = functional.relu(self.features(features))
        embedding = torch.tanh(self.embed(torch.cat([x, y], dim=1)))
        return functional.softmax(self.classify(embedding), dim=1), embedding


def seeded(model: type[nn.Module]) -> nn.Module:
    """The network with random weights, and with BatchNorm statistics that are not the identity."""
    torch.manual_seed(0)
    built = model()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.2, 0.4)
    return built.eval()


def legacy(name: str, model: nn.Module, inputs: dict[str, list[int]], outputs: list[str], **options: object) -> None:
    args = tuple(torch.zeros(shape) for shape in inputs.values())
    names = {"input_names": list(inputs), "output_names": outputs}
    torch.onnx.export(model, args, HERE / name, dynamo=False, **names, **options)


def dynamo(name: str, model: nn.Module, inputs: dict[str, list[int]], outputs: list[str], **options: object) -> None:
    args = tuple(torch.zeros(shape) for shape in inputs.values())
    names = {"input_names": list(inputs), "output_names": outputs}
    torch.onnx.export(model, args, HERE / name, dynamo=True, verbose=False, **names, **options)
    strip_traces(HERE / name)


def strip_traces(path: Path) -> None:
    """Remove the exporter's metadata: it holds stack traces with the paths of the machine that exported."""
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    for item in [graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
    onnx.save(model, path)


def dense_mlp(name: str) -> None:
    """MatMul and Add apart, and a batch called N: how Keras and scikit-learn converters write a dense network."""
    rng = np.random.default_rng(0)
    sizes, nodes, weights, x = [10, 24, 16, 4], [], [], "features"
    for i, (rows, columns) in enumerate(pairwise(sizes)):
        kernel = rng.normal(0, (2 / rows) ** 0.5, (rows, columns)).astype(np.float32)
        bias = rng.normal(0, 0.1, columns).astype(np.float32)
        weights += [
            numpy_helper.from_array(kernel, f"dense_{i}/kernel"),
            numpy_helper.from_array(bias, f"dense_{i}/bias"),
        ]
        nodes.append(helper.make_node("MatMul", [x, f"dense_{i}/kernel"], [f"dense_{i}/MatMul:0"], f"dense_{i}/MatMul"))
        nodes.append(
            helper.make_node("Add", [f"dense_{i}/MatMul:0", f"dense_{i}/bias"], [f"dense_{i}/Add:0"], f"dense_{i}/BiasAdd")
        )
        x = f"dense_{i}/Add:0"
        if i < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [x], [f"dense_{i}/Relu:0"], f"dense_{i}/Relu"))
            x = f"dense_{i}/Relu:0"
    nodes.append(helper.make_node("Softmax", [x], ["probabilities"], "softmax", axis=-1))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", sizes[0]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", sizes[-1]])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), HERE / name)


def check(path: Path) -> None:
    """Load it, run it once on random numbers, and print what it is."""
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    rng = np.random.default_rng(0)
    feeds = {
        i.name: rng.normal(0, 1, [d if isinstance(d, int) else 1 for d in i.shape]).astype(np.float32)
        for i in session.get_inputs()
    }
    shapes = {o.name: y.shape for o, y in zip(session.get_outputs(), session.run(None, feeds), strict=True)}
    model = onnx.load(path, load_external_data=False)
    ops = sorted({node.op_type for node in model.graph.node})
    print(f"{path.name}: {path.stat().st_size} bytes, opset {model.opset_import[0].version}")
    print(f"  {[(i.name, i.shape) for i in session.get_inputs()]} -> {shapes}")
    print(f"  {len(model.graph.node)} nodes: {' '.join(ops)}")


def main() -> None:
    image = {"image": [2, 3, 12, 12]}
    small, zoo = seeded(SmallConv), seeded(Zoo)
    legacy(
        "conv_legacy.onnx",
        small,
        image,
        ["probabilities"],
        opset_version=13,
        dynamic_axes={"image": {0: "batch"}, "probabilities": {0: "batch"}},
    )
    dynamo(
        "conv_dynamo.onnx",
        small,
        image,
        ["probabilities"],
        opset_version=18,
        external_data=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    dense_mlp("mlp_matmul_add.onnx")
    one = {"image": [1, 3, 12, 12]}
    legacy("zoo_legacy.onnx", zoo, one, ["logits"], opset_version=17)
    dynamo("zoo_dynamo.onnx", zoo, one, ["logits"], opset_version=20, external_data=False)
    legacy("conv1d_legacy.onnx", seeded(Conv1d), {"signal": [1, 4, 32]}, ["probabilities"], opset_version=17)
    legacy(
        "two_in_two_out_legacy.onnx",
        seeded(TwoInTwoOut),
        {"image": [1, 1, 8, 8], "features": [1, 5]},
        ["probabilities", "embedding"],
        opset_version=17,
    )
    for path in sorted(HERE.glob("*.onnx")):
        check(path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
