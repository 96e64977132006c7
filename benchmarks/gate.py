"""The performance gate: instructions, flash and arena of models on emulated cores may not get worse than the baseline's.

    python benchmarks/gate.py             # fails where a number is more than 1 % worse than in baseline.json
    python benchmarks/gate.py --update    # writes baseline.json anew: commit it with the change that explains it

Measured with gcc -O2 on one calibration sample; counts are exact and repeat. Where the shared models are not there, only
the model in examples/digits is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from common import MODELS, ROOT, TASKS, calibration, compiled, in_parallel
from firmware import compiler, measure

import edgeq

BASELINE = Path(__file__).with_name("baseline.json")
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55")
DIGITS = ROOT / "examples" / "digits"
OWN = "digits"  # the model that is always there
ALLOWED = 1.01
Numbers = dict[str, int]  # quantity -> number
Table = dict[str, Numbers]  # "model core" -> numbers


def compare(baseline: Mapping[str, Numbers], measured: Mapping[str, Numbers]) -> tuple[list[str], list[str]]:
    """(what is worse, or in one of the two only; what is better), by more than the allowed 1 %."""
    worse = [f"{row}: not measured" for row in baseline.keys() - measured.keys()]
    worse += [f"{row}: not in the baseline" for row in measured.keys() - baseline.keys()]
    better = []
    for row in baseline.keys() & measured.keys():
        if baseline[row].keys() != measured[row].keys():
            worse.append(f"{row}: {', '.join(measured[row])}, in the baseline {', '.join(baseline[row])}")
            continue
        for what, old in baseline[row].items():
            new = measured[row][what]
            text = f"{row}: {what} {old:,} -> {new:,} ({(new / old - 1) * 100:+.2f} %)"
            if new > old * ALLOWED:
                worse.append(text)
            elif new * ALLOWED < old:
                better.append(text)
    return sorted(worse), sorted(better)


def measure_model(short: str) -> Table:
    """A model's rows."""
    if short == OWN:
        calib = DIGITS / "calib.npz"
        model = edgeq.compile_model(DIGITS / "digits.onnx", calib, name="net", run_check=False)
        x = np.load(calib)["image"][0].astype(np.float32)
    else:
        model, x = compiled(short), calibration(short)[0]
    found = {core: measure(model, core, x) for core in CORES}
    return {f"{short} {core}": {"instructions": m.counts.instructions, "flash": m.run.flash, "arena": m.plan.arena_bytes}
            for core, m in found.items()}  # fmt: skip


def main() -> None:
    """Exits with 1 where something is worse."""
    parser = argparse.ArgumentParser(description="The performance gate.")
    parser.add_argument("--update", action="store_true", help="write the baseline")
    args = parser.parse_args()
    shared = (MODELS / "loader.py").exists()
    if not shared and (args.update or "EDGEQ_MODELS" in os.environ):
        sys.exit(f"no models in {MODELS} (EDGEQ_MODELS)")
    tables = in_parallel(measure_model, [OWN, *(TASKS if shared else ())])
    measured = {row: numbers for table in tables for row, numbers in table.items()}
    if args.update:
        BASELINE.write_text(json.dumps({"compiler": compiler(), "rows": measured}, indent=1) + "\n")
        print(f"wrote {BASELINE}")
        return
    stored = json.loads(BASELINE.read_text())
    baseline = {row: numbers for row, numbers in stored["rows"].items() if shared or row.split()[0] == OWN}
    worse, better = compare(baseline, measured)
    if compiler() != stored["compiler"]:
        print(f"The compilers differ, so numbers may: here {compiler()}, in the baseline {stored['compiler']}")
    for line in [*(f"worse   {text}" for text in worse), *(f"better  {text}" for text in better)]:
        print(line)
    print(f"{len(measured)} rows{'' if shared else f' ({OWN} only: no models in {MODELS})'}: "
          f"{len(worse)} worse, {len(better)} better by more than 1 %")  # fmt: skip
    if worse or better:
        print("To accept them: python benchmarks/gate.py --update, and commit baseline.json with their cause")
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
