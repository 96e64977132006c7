"""What the command line prints: tables and summaries on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from edgeq.report import (
    count,
    decibels,
    drops,
    kib,
    output_sqnr,
    per_mac,
    printable,
    quantization,
    shape_text,
    why,
    worst_drop,
)

if TYPE_CHECKING:
    from edgeq.compile import CompiledModel
    from edgeq.evaluate import Evaluation
    from edgeq.model import BuiltModel

PIPE_WIDTH = 160  # columns where stdout is not a terminal
BAR = 24  # columns of the longest bar
SHOWN_SAMPLES, SHOWN_VALUES = 4, 12


def console(stderr: bool = False) -> Console:
    """Plain output: nothing that comes from a model is taken for markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout; numbers that JSON lacks (an infinite SQNR: no error at all) are null."""
    print(json.dumps(_finite(value), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ProgressBars:
    """A bar for every stage on stderr where that is a terminal; one line a stage where `verbose` and it is none."""

    def __init__(self, verbose: bool = False):
        self.console = console(stderr=True)
        self.verbose = verbose
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, console=self.console, transient=True)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressBars:
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Progress as compile_model reports it."""
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total)
        self.bars.update(self.tasks[stage], completed=done, total=total)
        if self.verbose and done >= total and not self.console.is_terminal:
            self.console.print(f"{stage}: {total} samples")


def new_table(*columns: str) -> Table:
    """Columns whose title starts with > are numbers, set to the right; with ~ long names, cut where room is short."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for c in columns:
        if c.startswith("~"):
            table.add_column(c[1:], no_wrap=True, overflow="ellipsis", min_width=8)
        else:
            table.add_column(c.removeprefix(">"), justify="right" if c.startswith(">") else "left", no_wrap=True)
    return table


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Name and value, a line each."""
    out = console()
    facts = list(facts)
    width = max(len(name) for name, _ in facts) + 2
    for name, value in facts:
        out.print(Text(f"{name:<{width}}", style="bold").append(value, style="not bold"), soft_wrap=True)


def _nodes(names: Iterable[str]) -> str:
    return ", ".join(printable(n) for n in names) or "-"


# ---------------------------------------------------------------- build


def build_summary(model: CompiledModel, folder: str, random: bool) -> dict[str, Any]:
    """The build for machines: the manifest without its file hashes, with SQNR, check and folder."""
    sqnr = {s.name: s.sqnr_db for s in model.layer_sqnr}
    layers = [{**x, "sqnr_db": sqnr.get(x["name"])} for x in model.manifest["layers"]]
    check = {"vectors": model.check.vectors, "elements": model.check.elements} if model.check else None
    return {
        **{k: v for k, v in model.manifest.items() if k != "files"}, "layers": layers,
        "sqnr_db": output_sqnr(model.manifest, sqnr), "check": check, "random_calibration": random,
        "folder": folder, "report": f"{folder}/report.html",
    }  # fmt: skip


def show_build(model: CompiledModel, folder: str, verbose: bool) -> None:
    """The per-layer table, then what the whole costs and how good it is."""
    m, sqnr = model.manifest, {s.name: s.sqnr_db for s in model.layer_sqnr}
    worst = worst_drop(m["layers"], sqnr)
    table = new_table(">#", "kernel", "in", "out", ">MACs", ">instr/MAC", ">flash", ">scratch", "output", ">SQNR")
    for x in m["layers"]:
        db = decibels(sqnr[x["name"]]) if x["name"] in sqnr else "-"
        row = [str(x["index"]), (x["kernel"] or "(no code)").removeprefix("edgeq_"),
               ", ".join(map(shape_text, x["input_shapes"])), shape_text(x["output_shape"]), count(x["macs"]), per_mac(x),
               count(x["flash_bytes"]), count(x["scratch_bytes"]), quantization(x)]  # fmt: skip
        table.add_row(*row, Text(db, style="yellow" if x["name"] == worst else ""))
    console().print(table)
    print()
    if verbose:
        choices = new_table(">#", "instead of", "~ONNX nodes")
        for x in m["layers"]:
            choices.add_row(str(x["index"]), why(x, 2), _nodes(x["onnx_nodes"]))
        console().print(choices)
        print()
    print_facts(_totals(model, sqnr, folder))


def _totals(model: CompiledModel, sqnr: Mapping[str, float], folder: str) -> list[tuple[str, str]]:
    m, checked = model.manifest, model.check
    data, code = m["constant_bytes"], m["code_bytes"]
    ram, bound = m["arena_bytes"], m["arena_lower_bound"]
    outputs = ", ".join(f"{decibels(db)} at {printable(n)}" for n, db in output_sqnr(m, sqnr).items())
    proof = "not checked (--no-check)"
    if checked:
        proof = f"C equals the reference bit for bit: {checked.elements:,} output bytes on {checked.vectors:,} inputs"
    return [
        ("flash", f"{data:,} bytes of constants, about {code:,} of kernels ({kib(data + code)})"),
        ("RAM", f"{ram:,} bytes ({kib(ram)}) of arena, {'the lower bound' if ram <= bound else f'at least {bound:,}'}"),
        ("MACs", f"{m['macs']:,}"),
        ("SQNR", f"{outputs or 'not measured'}, on calibration samples"),
        ("check", proof),
        ("folder", folder),
        ("report", f"{folder}/report.html"),
    ]


# ---------------------------------------------------------------- inspect


def show_inspection(found: Mapping[str, Any]) -> None:
    """What `edgeq inspect` found, as it also prints in JSON."""
    out = console()
    operators = new_table("operator", ">count", "compiles")
    for name, record in found["operators"].items():
        word = "yes" if record["supported"] else "NO"
        operators.add_row(printable(name), str(record["count"]), Text(word, style="" if word == "yes" else "red"))
    out.print(operators)
    print()
    if found["layers"]:
        layers = new_table(">#", "layer", "output", ">MACs", ">params", "~ONNX nodes")
        for i, x in enumerate(found["layers"]):
            sizes = shape_text(x["output_shape"]), count(x["macs"]), count(x["params"])
            layers.add_row(str(i), x["name"], *sizes, _nodes(x["onnx_nodes"]))
        out.print(layers)
        print()
    if found["targets"]:
        targets = new_table("target", ">flash", ">RAM (arena)", "")
        for name, need in found["targets"].items():
            targets.add_row(name, count(need["flash_bytes"]), count(need["arena_bytes"]), "estimated")
        out.print(targets)
        print()
    facts = [("input", f"{printable(n)} {tuple(s)}") for n, s in found["inputs"].items()]
    if found["layers"]:
        facts += [("MACs", f"{found['macs']:,}"), ("params", f"{found['params']:,}")]
    if found["estimate_error"]:
        facts.append(("no estimate", printable(found["estimate_error"])))
    facts += [("unsupported", f"{printable(p['node'])} ({printable(p['op'])}): {printable(p['reason'])}")
              for p in found["problems"]]  # fmt: skip
    print_facts(facts)


def operator_counts(names: Iterable[str], problems: Iterable[str]) -> dict[str, dict[str, Any]]:
    """ONNX operator -> how often it occurs and whether all of it compiles, most frequent first."""
    bad = set(problems)
    ordered = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return {name: {"count": n, "supported": name not in bad} for name, n in ordered}


# ---------------------------------------------------------------- run and evaluate


def show_outputs(outputs: Mapping[str, np.ndarray]) -> None:
    """The first values of the first samples of each output."""
    for name, array in outputs.items():
        print(f"{printable(name)}: {array.dtype} {array.shape}")
        for i, row in enumerate(array.reshape(len(array), -1)[:SHOWN_SAMPLES]):
            values = " ".join(f"{v:.6g}" for v in row[:SHOWN_VALUES])
            print(f"  sample {i}: {values}{' ...' if row.size > SHOWN_VALUES else ''}")
        if len(array) > SHOWN_SAMPLES:
            print(f"  ... {len(array) - SHOWN_SAMPLES} more")


def evaluation_summary(model: BuiltModel, e: Evaluation) -> dict[str, Any]:
    """The evaluation for machines."""
    layers = model.manifest["layers"]
    sqnr = {s.name: s.sqnr_db for s in e.layers}
    lost = drops(layers, sqnr)
    return {
        "model": model.name, "samples": e.samples, "float_accuracy": e.float_accuracy,
        "int8_accuracy": e.int8_accuracy, "agreement": e.agreement, "sqnr_db": dict(e.sqnr_db),
        "worst_drop": worst_drop(layers, sqnr),
        "layers": [{"name": s.name, "onnx_nodes": list(s.onnx_nodes), "sqnr_db": s.sqnr_db, "drop_db": lost.get(s.name)}
                   for s in e.layers],
    }  # fmt: skip


def show_evaluation(model: BuiltModel, e: Evaluation) -> None:
    """Where accuracy is lost, and how much in all."""
    summary = evaluation_summary(model, e)
    top = max((s.sqnr_db for s in e.layers if math.isfinite(s.sqnr_db)), default=1.0)
    table = new_table("layer", ">SQNR", "", ">drop", "~ONNX nodes")
    for x in summary["layers"]:
        db, worst = x["sqnr_db"], x["name"] == summary["worst_drop"]
        length = BAR if db == math.inf else round(BAR * max(db, 0) / top) if math.isfinite(db) and top > 0 else 0
        drop = "" if x["drop_db"] is None else f"{x['drop_db']:.1f}"
        table.add_row(x["name"], decibels(db), Text("█" * length, style="yellow" if worst else "blue"),
                      f"worst {drop}" if worst else drop, _nodes(x["onnx_nodes"]))  # fmt: skip
    console().print(table)
    print()
    facts = [("samples", f"{e.samples:,}")]
    if e.float_accuracy is not None and e.int8_accuracy is not None:
        change = 100 * (e.int8_accuracy - e.float_accuracy)
        facts.append(("accuracy", f"float {e.float_accuracy:.2%}, int8 {e.int8_accuracy:.2%} ({change:+.2f} points)"))
    if e.agreement is not None:
        facts.append(("agreement", f"{e.agreement:.2%} of arg-max decisions are those of the float model"))
    facts += [("SQNR", f"{decibels(db)} at {printable(n)}") for n, db in e.sqnr_db.items()]
    print_facts(facts)


# ---------------------------------------------------------------- lists


def show_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Dicts of text with the same keys, as a table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """The same as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(v.replace("|", "\\|") for v in row.values()) + " |" for row in rows]
    return "\n".join(lines)
