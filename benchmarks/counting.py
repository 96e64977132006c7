"""Exact instruction counts of firmware in QEMU, by the plugin in benchmarks/plugin/count.c, which says what is counted."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeq.build import compiler
from edgeq.device import Board, Finished, execute
from edgeq.errors import BuildFailed, DeviceError

SOURCE = Path(__file__).parent / "plugin" / "count.c"


@dataclass(frozen=True)
class Counts:
    """Of one region. cycles: of a Cortex-M4 model, derived from the instructions; not measured."""

    instructions: int
    cycles: int


@cache
def plugin() -> Path:
    """The plugin, compiled once a process. Raises BuildFailed."""
    folder = tempfile.mkdtemp(prefix="edgeq_plugin_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / "count.so"
    command = [compiler(), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden",
               str(SOURCE), "-o", str(library)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{SOURCE.name}: {done.stderr.strip()}", hint=" ".join(command))
    return library


def count(board: Board, elf: Path, data: bytes = b"", timeout: float = 300) -> tuple[bytes, list[Counts]]:
    """The firmware's output, and the counts of its regions between COUNT_BEGIN() and COUNT_END() (semihost.h), in the
    order in which they begin. Raises DeviceError."""
    done, counts = execute_counting(board, elf, data, timeout)
    return done.output, counts


def execute_counting(board: Board, elf: Path, data: bytes = b"", timeout: float = 300) -> tuple[Finished, list[Counts]]:
    """As count, with all that is known of the run."""
    with tempfile.TemporaryDirectory(prefix="edgeq_count_") as folder:
        file = Path(folder) / "counts"
        done = execute(board, elf, data, timeout, ("-plugin", f"{plugin()},out={file}"))
        lines = file.read_text(encoding="ascii").splitlines()
    if lines[-1:] == ["open"]:
        raise DeviceError("a counted region did not end", node=board.name)
    regions = {int(number): Counts(int(instructions), int(cycles))
               for number, instructions, cycles in (line.split() for line in lines)}  # fmt: skip
    return done, [regions[i] for i in range(len(regions))]
