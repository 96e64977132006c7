"""Speed of the portable C on this machine beside emx-onnx-cgen's float C of the same model, same compiler and flags.

Both programs run alternately; what counts is the ratio, not the absolute times, which depend on the machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import TASKS, calibration, model_file, report
from peers import emx

import edgeq

FLAGS = ["-O3", "-march=native", "-std=gnu11"]
ROUNDS = 7

TIMER = """
#include <stdio.h>
#include <time.h>
static double now(void) {{ struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec * 1e-3; }}
{declare}
int main(void) {{
    for (int i = 0; i < 20; i++) {{ {call} }}
    int n = 0; const double start = now(); double end;
    do {{ for (int i = 0; i < 10; i++) {{ {call} }} n += 10; end = now(); }} while (end - start < 2e5);
    printf("%.3f\\n", (end - start) / n);
    return 0;
}}
"""


def build_peer(short: str, folder: Path) -> Path:
    """Compiles the peer's C of a model with a timing loop; -> the program."""
    peer = emx(short)
    (folder / "main.c").write_text(TIMER.format(declare=peer.declare, call=peer.call))
    source = str(peer.folder / "peer.c")
    subprocess.run(["gcc", *FLAGS, source, "main.c", "-lm", "-o", "peer"], cwd=folder, check=True)
    return folder / "peer"


def build_edgeq(short: str, folder: Path) -> Path:
    """Compiles edgeq's portable C of a model with a timing loop; -> the program."""
    model = edgeq.compile_model(model_file(short), calibration(short), name="net", run_check=False)
    model.save(folder / "net")
    declare = '#include "net.h"\nstatic int8_t arena[NET_ARENA_SIZE] __attribute__((aligned(16)));'
    (folder / "main.c").write_text(TIMER.format(declare=declare, call="net_run(arena);"))
    sources = [str(p) for p in sorted((folder / "net").glob("*.c"))]
    subprocess.run(["gcc", *FLAGS, "-Inet", "main.c", *sources, "-o", "edgeq"], cwd=folder, check=True)
    return folder / "edgeq"


def main() -> None:
    """Prints microseconds and the ratio for each model."""
    rows = []
    for short in sys.argv[1:] or TASKS:
        with tempfile.TemporaryDirectory() as temporary:
            programs = {}
            for name, build in (("peer", build_peer), ("edgeq", build_edgeq)):
                folder = Path(temporary) / name
                folder.mkdir()
                programs[name] = build(short, folder)
            times: dict[str, list[float]] = {name: [] for name in programs}
            for _ in range(ROUNDS):
                for name, program in programs.items():
                    times[name].append(float(subprocess.run([str(program)], capture_output=True, check=True).stdout))
        ours, theirs = (statistics.median(times[n]) for n in ("edgeq", "peer"))
        rows.append({"model": short, "edgeq int8 us": ours, "emx-onnx-cgen float us": theirs, "ratio": ours / theirs})
    report("host_speed", f"Host, one thread, gcc {' '.join(FLAGS)}: ratio below 1 means edgeq is faster", rows)


if __name__ == "__main__":
    main()
