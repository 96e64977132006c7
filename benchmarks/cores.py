"""Whole models on emulated Cortex-M cores: instructions, model cycles, flash by section, arena, scratch and stack.

    python benchmarks/cores.py [MODEL ...] [--core cortex-m4 ...] [--optimize O2] [--layers]

Instructions are counted exactly in QEMU (benchmarks/plugin); they are not cycles. Model cycles are derived from them by the
table in benchmarks/plugin/count.c, which is a Cortex-M4's, and are given for no other core. Every output is compared with
the reference first. peers.py runs other generators' code of the same models.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import TASKS, Row, calibration, compiled, in_parallel, report
from firmware import Measured, measure

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
SHORT = ("ic", "kws", "vww", "ad")
# TFLite Micro with CMSIS-NN, gcc 12 -O2, millions of instructions, counted the same way; none measured on M7 and M33
TFLM = {
    "cortex-m0": (97.57, 29.01, 86.91, 1.76),
    "cortex-m3": (41.85, 10.53, 31.96, 0.956),
    "cortex-m4": (29.86, 7.70, 24.10, 0.583),
    "cortex-m55": (4.81, 1.79, 6.43, 0.150),
}
# at most, with gcc 12 -O2: millions of instructions, millions of model cycles on the M4, flash over the weights and biases
GOALS = {
    "cortex-m0": (60, 14, 38, 1.2),
    "cortex-m3": (26, 6.0, 17, 0.62),
    "cortex-m4": (13.5, 3.1, 9.2, 0.32),
    "cortex-m55": (2.4, 0.85, 2.6, 0.06),
}
CYCLES_GOAL = {"cortex-m4": (18.5, 4.3, 11.5, 0.42)}
FLASH_GOAL = {"cortex-m4": (12000, 12000, 14000, 6000)}
SPEED_NOTES = "Goals and TFLite Micro's counts: -O2. ratio: to edgeq's. Cycles: a Cortex-M4 model, derived from instructions."
MEMORY_NOTES = (
    "over: flash without the int8 weights and int32 biases themselves. libraries: memcpy, memset and their kin, where the "
    "model's code is the first to need them. stack: high-water mark, with main's and the start-up code's."
)
Task = tuple[str, list[str], str, bool]


def lookup(table: dict[str, Any], core: str, short: str) -> Any:
    """The figure, or None."""
    return dict(zip(SHORT, table.get(core, ()), strict=False)).get(short)


def against(value: float, goal: float | None) -> str:
    """The goal, and whether it is met."""
    return "-" if goal is None else f"{goal:,} {'met' if value <= goal else 'missed'}"


def speed_row(core: str, short: str, m: Measured) -> Row:
    """Instructions and cycles."""
    count, cycles = m.counts.instructions / 1e6, m.counts.cycles / 1e6
    peer = lookup(TFLM, core, short)
    return {
        "core": core, "model": short, "instructions M": count, "goal": against(count, lookup(GOALS, core, short)),
        "per MAC": m.counts.instructions / m.macs, "TFLM + CMSIS-NN M": "-" if peer is None else f"{peer:g}",
        "ratio": "-" if peer is None else f"{peer / count:.2f}",
        "model cycles M": f"{cycles:.3f}" if core == "cortex-m4" else "-",
        "cycles goal": against(cycles, lookup(CYCLES_GOAL, core, short)),
    }  # fmt: skip


def memory_row(core: str, short: str, m: Measured) -> Row:
    """Flash and RAM, in bytes."""
    flash = m.flash()
    goal = lookup(FLASH_GOAL, core, short)
    return {"core": core, "model": short, **flash, "over goal": against(flash["over"], goal),
            "arena": m.plan.arena_bytes, "scratch": max(s.scratch_bytes for s in m.plan.steps),
            "stack": m.run.stack}  # fmt: skip


def layer_rows(core: str, short: str, m: Measured) -> list[Row]:
    """A row for each layer."""
    found: list[Row] = []
    for step, counts in zip(m.plan.steps, m.layers, strict=True):
        name = step.kernel.function.removeprefix("edgeq_") if step.kernel else "same memory"
        macs, cost = step.node.macs, step.choices[0].cost if step.choices else 0
        found.append({
            "core": core, "model": short, "kernel": name, "output": "x".join(map(str, step.node.output.shape)), "MACs": macs,
            "instructions": counts.instructions, "per MAC": counts.instructions / macs if macs else "-",
            "estimate": f"{cost / max(counts.instructions, 1):.2f}", "scratch": step.scratch_bytes,
        })  # fmt: skip
    return found


def rows(task: Task) -> list[tuple[Row, Row, list[Row]]]:
    """(speed, memory, layers) of a model on each core."""
    short, cores, level, layers = task
    model, x = compiled(short), calibration(short)[0]
    measured = [(core, measure(model, core, x, f"-{level}", layers)) for core in cores]
    return [(speed_row(c, short, m), memory_row(c, short, m), layer_rows(c, short, m) if layers else []) for c, m in measured]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Models on emulated cores, counted exactly.")
    parser.add_argument("models", nargs="*", default=list(TASKS))
    parser.add_argument("--core", nargs="*", default=list(CORES), help="edgeq targets")
    parser.add_argument("--optimize", default="O2", help="O2, O3 or Os")
    parser.add_argument("--layers", action="store_true", help="each layer's count and instructions per MAC too")
    args = parser.parse_args()
    by_model = in_parallel(rows, [(short, args.core, args.optimize, args.layers) for short in args.models])
    by_core = [found for same_core in zip(*by_model, strict=True) for found in same_core]
    title = f"QEMU, gcc -{args.optimize}"
    report("cores", f"Instructions: {title}", [speed for speed, _, _ in by_core], SPEED_NOTES)
    report(
        "cores_memory", f"Bytes of flash by section, and of RAM: {title}", [memory for _, memory, _ in by_core], MEMORY_NOTES
    )
    if args.layers:
        report("cores_layers", f"Layers: {title}", [row for _, _, layers in by_core for row in layers])


if __name__ == "__main__":
    main()
