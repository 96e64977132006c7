"""Measures the kernels' code anew: python -m tests.update_code_bytes. Then look at the diff."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

from edgeq import ops
from edgeq.device.firmware import COMPILER
from edgeq.emit.emit import runtime_files
from edgeq.ops._base import Kernel
from edgeq.plan.code import MEASURED, architecture
from edgeq.targets import TARGETS, Target

CORES = [TARGETS[f"cortex-{core}"] for core in ("m0", "m3", "m4", "m55")]
LEVEL = {"speed": "-O2", "size": "-Os"}


def source_hash(source: str) -> str:
    """Of a kernel source and all headers it includes."""
    return hashlib.sha256("".join(runtime_files([source]).values()).encode()).hexdigest()[:16]


def sources() -> dict[str, str]:
    """Kernel source -> its hash."""
    return {k.source: source_hash(k.source) for op in ops.modules() for k in ops.kernels(op)}


def measure(kernel: Kernel, target: Target, optimize: str) -> dict[str, int]:
    """Bytes of every function that is left when all is linked away that the kernel's does not need."""
    with tempfile.TemporaryDirectory() as name:
        for file, text in runtime_files([kernel.source]).items():
            (Path(name) / file).write_text(text)
        options = ["-nostdlib", f"-Wl,--gc-sections,-e,{kernel.function},--unresolved-symbols=ignore-all", "-o", "out.elf"]
        command = [COMPILER, "-std=c99", LEVEL[optimize], *target.flags, "-ffunction-sections", "-fdata-sections",
                   kernel.source, *options]  # fmt: skip
        subprocess.run(command, cwd=name, check=True, capture_output=True)
        listing = subprocess.run(["arm-none-eabi-nm", "-S", "out.elf"], cwd=name, check=True, capture_output=True, text=True)
    found = re.findall(r"^\w+ (\w+) [tTwWrR] ([\w.]+)$", listing.stdout, re.M)
    return {f"{kernel.source}:{symbol}": int(size, 16) for size, symbol in sorted(found, key=lambda f: f[1])}


def main() -> None:
    """Writes edgeq/plan/code_bytes.json."""
    version = subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    found = {
        architecture(target): {
            optimize: {
                k.function: measure(k, target, optimize)
                for op in ops.modules() for k in ops.kernels(op) if k.isa in target.isa
            }
            for optimize in LEVEL
        }
        for target in CORES
    }  # fmt: skip
    text = json.dumps({"compiler": version, "sources": sources(), "bytes": found}, indent=1)
    MEASURED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
