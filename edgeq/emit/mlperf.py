"""MLPerf Tiny's tasks: what the benchmark sends to a device, and a build's manifest as mlperf_task.c for such a device.

The encodings are those of the benchmark's data files (github.com/mlcommons/tiny, benchmark/evaluation/datasets).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeq._version import __version__
from edgeq.emit.c import numbers
from edgeq.emit.emit import environment
from edgeq.errors import BadInput
from edgeq.numerics import LIMITS, quantize

Real = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """shape: of one input, in the order in which it is sent. real: bytes as sent, (256,) uint8, -> what they stand for in
    the benchmark's own model, (256,) float32; None where little-endian float32 are sent. outputs: elements."""

    title: str
    shape: tuple[int, ...]
    real: Real | None
    outputs: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def received_bytes(self) -> int:
        return self.elements * (1 if self.real else 4)

    @property
    def buffer_bytes(self) -> int:
        """What the device keeps of one input: as sent, and as stored."""
        return self.received_bytes + self.elements


def _signed(sent: np.ndarray) -> np.ndarray:
    return sent.view(np.int8).astype(np.float32)


TASKS = {
    "ic01": Task("image classification", (32, 32, 3), lambda x: x.astype(np.float32), 10),
    "kws01": Task("keyword spotting", (49, 10), lambda x: (_signed(x) - np.float32(83)) * np.float32(0.5847029), 12),
    "vww01": Task("person detection", (96, 96, 3), lambda x: x.astype(np.float32) / np.float32(255), 2),
    "ad01": Task("anomaly detection", (5, 128), None, 640),
}


def mlperf_task(manifest: Mapping[str, Any], task_id: str, count_hz: int) -> str:
    """The text of mlperf_task.c. manifest: as in manifest.json; count_hz: rate of the board's counter.

    Raises BadInput where the model is none for the task.
    """
    task, model = TASKS[task_id], manifest["model"]
    given, result = _one(manifest, "inputs"), _one(manifest, "outputs")
    shape = tuple(n for n in given["shape"] if n != 1)
    outputs = math.prod(result["shape"])
    if shape not in (task.shape, (task.elements,)):
        raise BadInput(f"input is {_by(shape)} ({math.prod(shape)} elements), {task_id} sends {_by(task.shape)} "
                       f"({task.elements})", node=model, hint=_hint(shape, task))  # fmt: skip
    if outputs != task.outputs:
        raise BadInput(f"output has {outputs} elements, {task_id} takes {task.outputs}", node=model, hint=_hint(shape, task))
    table = _encoding(task, task_id, model, given) if task.real else float_bounds(*_stored(given))
    context = {
        "id": task_id, "name": model, "version": __version__, "count_hz": count_hz, "elements": task.elements,
        "received_bytes": task.received_bytes, "kind": "encoding" if task.real else "bounds", "table": numbers(table),
        "output_scale": repr(float(result["scale"])), "per_element": repr(1 / task.elements),
    }  # fmt: skip
    return environment().get_template("mlperf_task.c.j2").render(context)


def _encoding(task: Task, task_id: str, model: str, given: Mapping[str, Any]) -> np.ndarray:
    """(256,) uint8: a byte as sent -> as stored."""
    assert task.real
    scale, zero_point, dtype = _stored(given)
    low, high = ((limit - zero_point) * scale for limit in LIMITS[dtype])
    real = task.real(np.arange(256, dtype=np.uint8))
    outside = int(((real < low - scale / 2) | (real > high + scale / 2)).sum())
    if outside > 128:
        raise BadInput(f"input stores {low:g} to {high:g}, {task_id} sends {real.min():g} to {real.max():g}: "
                       f"{outside} of 256 values lie outside", node=model,
                       hint="calibrate with the benchmark's preprocessing, which the model must be trained for")  # fmt: skip
    return quantize(real, scale, zero_point, dtype).view(np.uint8)


def float_bounds(scale: float, zero_point: int, dtype: str) -> np.ndarray:
    """(255,) int32: for each value of `dtype` but the lowest the least float32 that is stored as it or as a higher one.

    As an integer that is ordered as floats are: its bits, of a negative one those below the sign inverted.
    """
    low, high = LIMITS[dtype]
    wanted = np.arange(low + 1, high + 1)
    infinity = int(np.float32(np.inf).view(np.int32))
    below, bound = np.full(255, -infinity - 1, np.int64), np.full(255, infinity, np.int64)  # -inf and inf
    while (bound - below > 1).any():
        middle = (below + bound) // 2
        reached = quantize(_float_of(middle), scale, zero_point, dtype) >= wanted
        below, bound = np.where(reached, below, middle), np.where(reached, middle, bound)
    return bound.astype(np.int32)


def _float_of(order: np.ndarray) -> np.ndarray:
    bits = order.astype(np.int32)
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32).view(np.float32)


def _stored(port: Mapping[str, Any]) -> tuple[float, int, str]:
    return port["scale"], port["zero_point"], port["dtype"]


def _one(manifest: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    ports = manifest[kind]
    if len(ports) != 1:
        raise BadInput(f"has {len(ports)} {kind}, MLPerf Tiny's models have one", node=manifest["model"])
    return ports[0]


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _hint(shape: tuple[int, ...], task: Task) -> str:
    if sorted(shape) == sorted(task.shape) and shape != task.shape:
        return "build without --io-layout onnx: it sends channels last"
    return "; ".join(f"{name} ({t.title}): {_by(t.shape)} to {t.outputs}" for name, t in TASKS.items())
