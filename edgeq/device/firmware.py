"""Compiles C sources, with a board's start-up code and linker script, into an ELF file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgeq.device.board import Board
from edgeq.errors import BadInput, BuildFailed
from edgeq.resources import DEVICE
from edgeq.targets import Target

COMPILER = "arm-none-eabi-gcc"
LIBRARY = ("-specs=nano.specs", "-nostartfiles")
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")


def compile_firmware(
    board: Board, target: Target, sources: Sequence[Path], include: Iterable[Path] = (),
    defines: Mapping[str, str] | None = None, optimize: str = "-O2", out: Path = Path("firmware.elf"),
    extra: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Links `sources`, one of which has main, for the board. -> out.

    They may use runtime_c/device/semihost.h. extra: options that come last. Raises BadInput where the board does not run
    the target's code, BuildFailed with the compiler's first error.
    """
    if target.name not in board.targets:
        raise BadInput(f"does not run code for {target.name}", node=board.name, hint=f"targets: {', '.join(board.targets)}")
    if shutil.which(COMPILER) is None:
        raise BuildFailed(f"no {COMPILER} on PATH",
                          hint="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")  # fmt: skip
    inputs = [*sources, DEVICE / "semihost.c", board.folder / "startup.c"]
    options = [*(f"-I{folder}" for folder in (*include, DEVICE)), *(f"-D{k}={v}" for k, v in (defines or {}).items())]
    command = [COMPILER, "-std=c99", optimize, "-g", *target.flags, *LIBRARY, *SECTIONS, *options,
               *map(str, inputs), f"-Wl,-T,{board.folder / 'link.ld'}", "-o", str(out), *extra]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if is_error(line)] or done.stderr.splitlines()
        raise BuildFailed(f"{COMPILER} failed: {errors[0] if errors else done.returncode}", node=f"{board.name}, {target.name}",
                          hint=f"see its messages with: {' '.join(command)}")  # fmt: skip
    return out


def is_error(line: str) -> bool:
    """Whether a line of the compiler's or linker's output says what is wrong."""
    return any(word in line for word in ("error", "undefined reference", "overflowed", "will not fit", "cannot find"))
