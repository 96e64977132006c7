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
    size, outputs = math.prod(task.shape), math.prod(result["shape"])
    if shape not in (task.shape, (size,)):
        raise BadInput(f"input is {_by(shape)} ({math.prod(shape)} elements), {task_id} sends {_by(task.shape)} ({size})",
                       node=model, hint=_hint(shape, task))  # fmt: skip
    if outputs != task.outputs:
        raise BadInput(f"output has {outputs} elements, {task_id} takes {task.outputs}", node=model, hint=_hint(shape, task))
    encoding = numbers(_encoding(task, task_id, model, given)) if task.real else None
    context = {
        "id": task_id, "name": model, "version": __version__, "count_hz": count_hz, "elements": size,
        "received_bytes": size * (1 if task.real else 4), "encoding": encoding,
        "input_scale": repr(float(given["scale"])), "output_scale": repr(float(result["scale"])),
    }  # fmt: skip
    return environment().get_template("mlperf_task.c.j2").render(context)


def _encoding(task: Task, task_id: str, model: str, given: Mapping[str, Any]) -> np.ndarray:
    """(256,) uint8: a byte as sent -> as stored."""
    assert task.real
    scale, zero_point, dtype = given["scale"], given["zero_point"], given["dtype"]
    low, high = ((limit - zero_point) * scale for limit in LIMITS[dtype])
    real = task.real(np.arange(256, dtype=np.uint8))
    outside = int(((real < low - scale / 2) | (real > high + scale / 2)).sum())
    if outside > 128:
        raise BadInput(f"input stores {low:g} to {high:g}, {task_id} sends {real.min():g} to {real.max():g}: "
                       f"{outside} of 256 values lie outside", node=model,
                       hint="calibrate with the benchmark's preprocessing, which the model must be trained for")  # fmt: skip
    return quantize(real, scale, zero_point, dtype).view(np.uint8)


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
