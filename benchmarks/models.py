"""Accuracy and size of the shared models at default settings, dev split: the table in README."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
from common import MODELS, TASKS, calibration, loader, model_file, report

import edgeq
from edgeq.onnx_side.runner import Runner


def outputs(file: Any, x: np.ndarray) -> np.ndarray:
    """onnxruntime's outputs, (N, classes)."""
    model = onnx.load(file)
    runner = Runner(model, [model.graph.output[0].name])
    name = next(iter(runner.inputs))
    return np.stack([runner({name: sample[None]})[model.graph.output[0].name].ravel() for sample in x])


def row(short: str) -> dict[str, Any]:
    """One model's figures."""
    task, tools = TASKS[short], loader()
    dev = tools.load(task, "dev")
    model = edgeq.compile_model(model_file(short), calibration(short))
    exact = outputs(model_file(short), dev["x"])
    got = model.run(dev["x"]).reshape(exact.shape)
    qualities = tools.quality(task, dev, exact), tools.quality(task, dev, got)
    logits = MODELS / f"{tools.MODELS[task]}_logits.onnx"
    if short in ("ic", "kws", "sww"):
        exact = outputs(logits, dev["x"])
        got = edgeq.compile_model(logits, calibration(short)).run(dev["x"]).reshape(exact.shape)
        db = tools.sqnr_logits(task, exact, got)
    else:
        db = tools.sqnr(exact, got)
    return {
        "model": short, "quality float": f"{qualities[0]:.4f}", "quality int8": f"{qualities[1]:.4f}",
        "output SQNR dB": f"{db:.1f}", "arena bytes": model.manifest["arena_bytes"],
        "constants bytes": model.manifest["constant_bytes"], "MACs": model.manifest["macs"],
    }  # fmt: skip


def main() -> None:
    """Prints the table, and as Markdown."""
    rows = [row(short) for short in sys.argv[1:] or TASKS]
    report("models", "MLPerf Tiny models, default settings, dev split", rows)
    for r in rows:
        print("| " + " | ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in r.values()) + " |")


if __name__ == "__main__":
    main()
