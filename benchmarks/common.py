"""What the benchmark programs share: the models, tables, files of results, workers."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

import edgeq

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(os.environ.get("EDGEQ_MODELS", ROOT.parent / "shared" / "models"))
RESULTS = ROOT / "benchmarks" / "results"
TASKS = {"ic": "ic01", "kws": "kws01", "vww": "vww01", "ad": "ad01", "sww": "sww01"}
Row = dict[str, Any]
T, R = TypeVar("T"), TypeVar("R")


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


def compiled(short: str) -> edgeq.CompiledModel:
    """A shared model at default settings, without the check on this machine."""
    return edgeq.compile_model(model_file(short), calibration(short), name="net", run_check=False)


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """[function(item), ...] by as many processes as there are processors; both must be picklable."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(function, items))


def shown(value: Any) -> str:
    """A cell of a table."""
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [list(rows[0]), ["---" if isinstance(v, str) else "---:" for v in rows[0].values()]]
    lines += [[shown(v) for v in row.values()] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def report(name: str, title: str, rows: list[Row], notes: str = "") -> None:
    """Prints the rows, which have the same columns, as a table; writes them to benchmarks/results/<name>.json and .md."""
    table = Table(title=title, caption=notes, title_justify="left", caption_justify="left")
    for column, value in rows[0].items():
        table.add_column(column, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*map(shown, row.values()))
    Console(width=200).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(f"{title}\n\n{markdown(rows)}" + (f"\n{notes}\n" if notes else ""))
