"""Whole models on emulated Cortex-M cores: instructions, model cycles, flash, arena and stack; beside peers' figures.

    python benchmarks/cores.py [MODEL ...] [--core cortex-m4 ...] [--layers]

Instructions are counted exactly in QEMU (benchmarks/plugin); they are not cycles. Model cycles are derived for a
Cortex-M4 by the table in benchmarks/plugin/count.c. Every output is compared with the reference first.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import TASKS, calibration, model_file, report
from counting import Counts, count

import edgeq
from edgeq.device import Board, boards, compile_firmware
from edgeq.reference import execute
from edgeq.targets import target

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55")
# TFLite Micro with CMSIS-NN, gcc 12 -O2, millions of instructions, counted the same way; none measured on M33
PEER = {
    "cortex-m0": {"ic": 97.57, "kws": 29.01, "vww": 86.91, "ad": 1.76},
    "cortex-m3": {"ic": 41.85, "kws": 10.53, "vww": 31.96, "ad": 0.956},
    "cortex-m4": {"ic": 29.86, "kws": 7.70, "vww": 24.10, "ad": 0.583},
    "cortex-m55": {"ic": 4.81, "kws": 1.79, "vww": 6.43, "ad": 0.150},
}

MAIN = """
#include "net.h"
#include "semihost.h"
static int8_t arena[NET_ARENA_SIZE] __attribute__((aligned(16)));
void net_layer_begin(int layer, const void *a) {{ (void)layer; (void)a; {begin} }}
void net_layer_end(int layer, const void *a) {{ (void)layer; (void)a; {end} }}
int main(void) {{
    semihost_read(net_input(arena), NET_INPUT_SIZE);
    COUNT_BEGIN();
    net_run(arena);
    COUNT_END();
    semihost_write(net_output(arena), NET_OUTPUT_SIZE);
    return 0;
}}
"""


def measure(model: edgeq.CompiledModel, board: Board, core: str, x: np.ndarray, layers: bool) -> tuple[list[Counts], int]:
    """([whole run, then each layer where `layers`], bytes of .text and .rodata of all but main) for one stored input."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in model.files.items():
            if file.endswith((".c", ".h")):
                (folder / file).write_text(text, encoding="utf-8")
        hooks = {"begin": "COUNT_BEGIN();", "end": "COUNT_END();"} if layers else {"begin": "", "end": ""}
        (folder / "main.c").write_text(MAIN.format(**hooks))
        defines = {"EDGEQ_HOOKS": "1"} if layers else {}
        elf = compile_firmware(board, target(core), sorted(folder.glob("*.c")), [folder], defines, "-O2", folder / "net.elf")
        output, counts = count(board, elf, x.tobytes())
        listing = subprocess.run(["arm-none-eabi-nm", "-S", str(elf)], capture_output=True, text=True, check=True).stdout
    expected = next(iter(execute(model.graph, {next(iter(model.inputs)): x}).values()))
    if not np.array_equal(np.frombuffer(output, np.int8), expected.ravel()):
        sys.exit(f"{model.name} on {core}: the output differs from the reference")
    sizes = re.findall(r"^\w+ (\w+) [tTwWrRdDvV] (net_\w+|edgeq_\w+|l\d\d\w*)$", listing, re.M)
    return counts, sum(int(size, 16) for size, _ in sizes)


def rows(models: list[str], cores: list[str], layers: bool) -> Iterator[dict[str, Any]]:
    """One row a model and core."""
    for core in cores:
        board = next(b for b in boards().values() if core in b.targets)
        for short in models:
            x = calibration(short)
            model = edgeq.compile_model(model_file(short), x, target=core, name="net", run_check=False)
            counts, flash = measure(model, board, core, next(iter(model.stored(x[:1]).values())), layers)
            peer = PEER.get(core, {}).get(short)
            yield {
                "core": core, "model": short, "instructions M": counts[0].instructions / 1e6,
                "per MAC": counts[0].instructions / model.manifest["macs"],
                "TFLM + CMSIS-NN M": "-" if peer is None else f"{peer:g}",
                "ratio": "-" if peer is None else f"{counts[0].instructions / 1e6 / peer:.2f}",
                "model cycles M": f"{counts[0].cycles / 1e6:.3f}" if core == "cortex-m4" else "-",
                "flash bytes": flash, "arena bytes": model.manifest["arena_bytes"],
                "scratch bytes": max(x["scratch_bytes"] for x in model.manifest["layers"]),
            }  # fmt: skip
            if layers:
                for record, c in zip(model.manifest["layers"], counts[1:], strict=True):
                    per_mac = c.instructions / record["macs"] if record["macs"] else 0
                    print(
                        f"  {record['kernel'] or 'alias':34} {record['output_shape']!s:18} {c.instructions:9,} {per_mac:6.2f}"
                    )


def main() -> None:
    """Prints the table and writes JSON."""
    parser = argparse.ArgumentParser(description="Models on emulated cores, counted exactly.")
    parser.add_argument("models", nargs="*", default=list(TASKS))
    parser.add_argument("--core", nargs="*", default=list(CORES), help="edgeq targets")
    parser.add_argument("--layers", action="store_true", help="print each layer's count and instructions per MAC")
    args = parser.parse_args()
    report(
        "cores",
        "Instructions in QEMU, gcc -O2; flash: kernels, constants and tables",
        list(rows(args.models, args.core, args.layers)),
    )


if __name__ == "__main__":
    main()
