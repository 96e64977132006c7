"""Cost of the tool itself: `edgeq build` of the largest shared model as a whole process, and speed of the reference.

Goals: build below 10 s and 1.5 GiB with 100 calibration samples, without the check; 20 ResNet-8 inferences a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import TASKS, calibration, model_file, report

import edgeq


def build_cost(short: str) -> tuple[float, float]:
    """(seconds, peak MiB) of `edgeq build` of a shared model, without the check."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "calib.npy", calibration(short))
        command = [sys.executable, "-m", "edgeq", "build", str(model_file(short)), "--calib", f"{folder}/calib.npy",
                   "--no-check", "-o", f"{folder}/out"]  # fmt: skip
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed")
        return time.perf_counter() - start, usage.ru_maxrss / 1024


def reference_rate(short: str, samples: int = 100) -> float:
    """Inferences a second of the numpy reference, one at a time."""
    x = calibration(short)
    model = edgeq.compile_model(model_file(short), x, run_check=False)
    start = time.perf_counter()
    for i in range(samples):
        model.run_reference(x[i % len(x)][None])
    return samples / (time.perf_counter() - start)


def main() -> None:
    """Prints one row a model."""
    rows = []
    for short in sys.argv[1:] or TASKS:
        seconds, peak = build_cost(short)
        rows.append(
            {"model": short, "build s": seconds, "build peak MiB": peak, "reference inferences/s": reference_rate(short)}
        )
    report("tool", "The tool itself (goals: build < 10 s, < 1536 MiB; ic reference >= 20/s)", rows)


if __name__ == "__main__":
    main()
