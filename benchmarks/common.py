"""What the benchmark programs share: the models, a table, a JSON file."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(os.environ.get("EDGEQ_MODELS", ROOT.parent / "shared" / "models"))
RESULTS = ROOT / "benchmarks" / "results"
TASKS = {"ic": "ic01", "kws": "kws01", "vww": "vww01", "ad": "ad01", "sww": "sww01"}


def loader() -> Any:
    """The shared models' loader.py; ends the program, saying why, where the models are not there."""
    file = MODELS / "loader.py"
    if not file.exists():
        print(f"skipped: no models in {MODELS} (set EDGEQ_MODELS)")
        sys.exit(0)
    spec = importlib.util.spec_from_file_location("loader", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_file(short: str) -> Path:
    """The ONNX file of ic, kws, vww, ad or sww."""
    return MODELS / f"{loader().MODELS[TASKS[short]]}.onnx"


def calibration(short: str) -> np.ndarray:
    """The calibration inputs, (N, *shape) float32."""
    return np.asarray(loader().load(TASKS[short], "calib")["x"])


def report(name: str, title: str, rows: list[dict[str, Any]]) -> None:
    """Prints the rows as a table and writes them to benchmarks/results/<name>.json."""
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(
            *(f"{v:.3g}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row.values())
        )
    Console(width=140).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
