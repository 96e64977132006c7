"""Single layers on emulated cores: every kernel that can run them, its estimate, and CMSIS-NN's kernel.

    python benchmarks/layers.py [--core cortex-m4 ...]

Instructions are counted exactly; every output is compared with the reference first. `estimate` is the chosen kernel's cost
over its count, `alternatives` what the others take, in its counts: where one is below 1, the planner chose wrongly.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from cmsis_nn import measure as measure_cmsis_nn
from common import Row, in_parallel, report
from grid import GRID, Job, run_jobs
from peers import programs

from edgeq.emit.calls import Constants, call_texts
from edgeq.emit.emit import runtime_files
from edgeq.ir import Node
from edgeq.ops._base import Kernel
from edgeq.plan.planner import choose
from edgeq.targets import target

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55")


def job(node: Node, kernel: Kernel, symbol: str) -> Job:
    """The kernel's calls for the node."""
    constants = Constants("c")
    calls = call_texts(kernel, node, symbol, constants)
    arrays = [
        f"EDGEQ_ALIGNED static const {e['type']} {e['name']}[{e['size']}] = {{\n{e['text']}}};" for e in constants.entries
    ]
    structs = [f"static const {c.params_type} {c.symbol} = {{{c.init}}};" for c in calls]
    lines = [f"{c.function}({', '.join([f'&{c.symbol}', *(f'in{i}' for i in c.inputs), 'out', *['workspace'] * c.scratch])});"
             for c in calls]  # fmt: skip
    return Job(node, "\n".join([*arrays, *structs]), "\n".join(lines))


def measure(core: str) -> list[Row]:
    """A row for each layer. Raises RuntimeError where an output differs from the reference."""
    choices = [(name, node, c) for name, node in GRID.items() for c in choose(node, target(core))]
    jobs = [job(node, c.kernel, f"p{i}") for i, (_, node, c) in enumerate(choices)]
    headers = sorted({f"edgeq_{node.op.name}.h" for node in GRID.values()})
    results = run_jobs(core, jobs, headers, runtime_files(sorted({c.kernel.source for _, _, c in choices})))
    counts: dict[str, dict[str, int]] = {name: {} for name in GRID}
    for (name, _, choice), run, (output, count) in zip(choices, jobs, results, strict=True):
        if not np.array_equal(output, run.expected()):
            raise RuntimeError(f"{choice.kernel.function} on {core}: {name} differs from the reference")
        counts[name][choice.kernel.function] = count.instructions
    theirs = measure_cmsis_nn(core)
    costs = {name: c.cost for name, _, c in reversed(choices)}  # of the first, which is the chosen one
    return [row(core, name, counts[name], costs[name], theirs.get(name)) for name in GRID]


def row(core: str, name: str, counts: dict[str, int], cost: float, theirs: int | None) -> Row:
    """counts: kernel -> instructions, the chosen one first."""
    (chosen, own), *others = counts.items()
    macs = GRID[name].macs

    def per_mac(n: int) -> Any:
        return n / macs if macs else "-"

    ranked = [f"{name.removeprefix('edgeq_')} {n / own:.2f}x" for name, n in sorted(others, key=lambda item: item[1])]
    return {
        "core": core, "layer": name, "kernel": chosen.removeprefix("edgeq_"), "instructions": own, "per MAC": per_mac(own),
        "estimate": f"{cost / own:.2f}",
        "CMSIS-NN": "not in the wheel" if theirs is None else theirs, "its per MAC": "-" if theirs is None else per_mac(theirs),
        "ratio": "-" if theirs is None else f"{theirs / own:.2f}",
        "alternatives": ", ".join(ranked) or "-",
    }  # fmt: skip


def main() -> None:
    """Prints a row for each core and layer."""
    parser = argparse.ArgumentParser(description="Single layers on emulated cores.")
    parser.add_argument("--core", nargs="*", default=list(CORES), help="edgeq targets")
    args = parser.parse_args()
    programs()
    rows = [r for found in in_parallel(measure, args.core) for r in found]
    notes = "estimate: the chosen kernel's cost over its count. ratio: CMSIS-NN's instructions over edgeq's."
    report("layers", "Single layers: QEMU, gcc -O2, instructions", rows, notes)


if __name__ == "__main__":
    main()
