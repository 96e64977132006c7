"""Accuracy: the float model against the integers, over outputs and layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeq.build import complete
from edgeq.calibrate.data import Samples
from edgeq.ir import FloatGraph
from edgeq.model import BuiltModel
from edgeq.numerics import dequantize, sqnr_db
from edgeq.onnx_side.runner import Runner

CHUNK = 32  # samples whose tensors are held at a time
Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class LayerSqnr:
    """SQNR in dB of one layer's output as the integer network computes it, all errors before it included."""

    name: str
    onnx_nodes: tuple[str, ...]
    sqnr_db: float


@dataclass(frozen=True)
class Evaluation:
    """Over `samples` inputs: SQNR of each output in dB; agreement of float and int8 arg-max; top-1 where labels are known.

    Fractions are 0..1; None where they do not apply.
    """

    samples: int
    sqnr_db: Mapping[str, float]
    agreement: float | None
    float_accuracy: float | None
    int8_accuracy: float | None
    layers: tuple[LayerSqnr, ...]


def evaluate(
    model: BuiltModel, graph: FloatGraph, runner: Runner, samples: Samples, labels: np.ndarray | None = None,
    progress: Progress = None,
) -> Evaluation:  # fmt: skip
    """Runs float model and compiled C on every sample. labels: (N,) class indices of the first output.

    runner must return every ONNX tensor that the graph's tensors name.
    """
    meter = LayerMeter(model, graph)
    outputs: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {n: ([], []) for n in model.outputs}
    for start in range(0, len(samples), CHUNK):
        part = samples.slice(start, start + CHUNK)
        float_values = run_float(runner, part)
        integer = model.library.trace(model.stored(part.stack()))
        meter.add(float_values, integer)
        for name, port in model.outputs.items():
            real = dequantize(port.load(integer[port.tensor]), port.scale, port.zero_point)
            outputs[name][0].append(float_values[name].reshape(len(part), -1))
            outputs[name][1].append(real.reshape(len(part), -1))
        if progress:
            progress(min(start + CHUNK, len(samples)), len(samples))
    joined = {n: (np.concatenate(a), np.concatenate(b)) for n, (a, b) in outputs.items()}
    reference, integer_out = next(iter(joined.values()))
    classes = reference.shape[1] > 1
    return Evaluation(
        len(samples),
        {n: sqnr_db(a, b) for n, (a, b) in joined.items()},
        float((reference.argmax(1) == integer_out.argmax(1)).mean()) if classes else None,
        float((reference.argmax(1) == labels).mean()) if labels is not None else None,
        float((integer_out.argmax(1) == labels).mean()) if labels is not None else None,
        meter.result(),
    )


def run_float(runner: Runner, samples: Samples) -> dict[str, np.ndarray]:
    """Every tensor that the runner returns, stacked: ONNX name -> (N, *ONNX shape)."""
    rows = [runner(sample) for sample in samples]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class LayerMeter:
    """Accumulates signal and noise of every layer that has an ONNX counterpart."""

    def __init__(self, model: BuiltModel, graph: FloatGraph):
        self.graph = graph
        twins = graph.tensors
        self.layers = [x for x in model.manifest["layers"]
                       if x["output"] in twins and twins[x["output"]].onnx_name is not None
                       and complete(x, model.manifest["steps"])]  # fmt: skip
        self.power = {x["name"]: [0.0, 0.0] for x in self.layers}

    def add(self, float_values: Mapping[str, np.ndarray], integer: Mapping[str, np.ndarray]) -> None:
        """float_values: ONNX name -> (N, *ONNX shape); integer: tensor name -> (N, *stored shape)."""
        for x in self.layers:
            twin = self.graph.tensors[x["output"]]
            assert twin.onnx_name is not None
            exact = twin.from_onnx(float_values[twin.onnx_name]).astype(np.float64)
            real = dequantize(integer[x["output"]], x["scale"], x["zero_point"])
            self.power[x["name"]][0] += float((exact**2).sum())
            self.power[x["name"]][1] += float(((exact - real) ** 2).sum())

    def result(self) -> tuple[LayerSqnr, ...]:
        """SQNR of each layer over all that was added."""
        out = []
        for x in self.layers:
            signal, noise = self.power[x["name"]]
            db = sqnr_db(np.array([signal**0.5]), np.array([signal**0.5 - noise**0.5]))
            out.append(LayerSqnr(x["name"], tuple(x["onnx_nodes"]), db))
        return tuple(out)
