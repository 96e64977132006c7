"""Writes tests/golden anew: python tests/update_goldens.py. Then look at the diff.

The model's weights and calibration data are small multiples of powers of two, so that every sum in float is exact, and
ranges are minmax: the files do not depend on the machine.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgeq
from edgeq.model import dump

GOLDEN = Path(__file__).parent / "golden" / "tiny"
LEFT_OUT = ("files", "source")  # of the manifest: hashes that change with the versions of onnx and onnxslim


def dyadic(shape: tuple[int, ...], scale: float, seed: int) -> np.ndarray:
    """Pseudo-random multiples of `scale` from -8 to 8 times it."""
    return np.float32(scale) * np.random.RandomState(seed).randint(-8, 9, shape).astype(np.float32)


def tiny_model() -> onnx.ModelProto:
    """Convolution with Relu, max pool, dense, softmax: 1x6x6 to 3 probabilities."""
    nodes = [
        helper.make_node("Conv", ["image", "conv/w", "conv/b"], ["conv"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], "relu"),
        helper.make_node("MaxPool", ["relu"], ["pool"], "pool", kernel_shape=[3, 3], strides=[3, 3]),
        helper.make_node("Flatten", ["pool"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "dense/w", "dense/b"], ["logits"], "dense", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax"),
    ]
    weights = {"conv/w": dyadic((2, 1, 3, 3), 2.0**-5, 1), "conv/b": dyadic((2,), 2.0**-4, 2),
               "dense/w": dyadic((3, 8), 2.0**-4, 3), "dense/b": dyadic((3,), 2.0**-3, 4)}  # fmt: skip
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def golden_files() -> dict[str, str]:
    """name -> text, as they should be in GOLDEN."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.onnx"
        onnx.save(tiny_model(), path)
        model = edgeq.compile_model(path, dyadic((16, 1, 6, 6), 2.0**-3, 0), method="minmax")
    manifest = {k: v for k, v in model.manifest.items() if k not in LEFT_OUT}
    names = ("tiny.h", "tiny.c", "tiny_weights.h", "tiny_weights.c", "CMakeLists.txt")
    return {"manifest.json": dump(manifest), **{name: model.files[name] for name in names}}


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    for name, text in golden_files().items():
        (GOLDEN / name).write_text(text)
