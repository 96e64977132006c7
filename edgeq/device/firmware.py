"""Compiles C, with a board's start-up code and linker script, into an ELF file: programs of their own, or a built model
with one of the programs in runtime_c/device."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgeq.device.board import Board
from edgeq.device.fit import overflow
from edgeq.emit import device_model
from edgeq.errors import BadInput, BuildFailed
from edgeq.model import BuiltModel
from edgeq.resources import DEVICE
from edgeq.targets import TARGETS, Target

COMPILER = "arm-none-eabi-gcc"
LIBRARY = ("-specs=nano.specs", "-nostartfiles")
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
LEVELS = {"speed": "-O2", "size": "-Os"}  # what a build was optimised for -> the compiler's level


def compile_firmware(
    board: Board, target: Target, sources: Sequence[Path], include: Iterable[Path] = (),
    defines: Mapping[str, str] | None = None, optimize: str = "-O2", out: Path = Path("firmware.elf"),
    extra: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Links `sources`, one of which has main, for the board in an emulator. -> out.

    They may use runtime_c/device/semihost.h. extra: options that come last. Raises BadInput where the board does not run
    the target's code, BuildFailed with the compiler's first error.
    """
    return _link(board, target, [*sources, DEVICE / "semihost.c"], include, defines, optimize, out, extra)


def link_firmware(
    folder: Path, board: Board, app: str | Path, out: Path, optimize: str | None = None,
    defines: Mapping[str, str] | None = None, extra: Sequence[str] = (), files: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Links what `edgeq build` wrote to `folder` with a program that talks over the board's serial port. -> out.

    app: the name of a folder in runtime_c/device, or a folder of C files; they see device_model.h, device.h and port.h.
    The library calls device_layer_begin and device_layer_end. optimize: the compiler's level; by default what the build
    chose. defines: for every file. files: more C, name -> text. Raises BadInput where it is no such folder or the board does
    not run its code, BuildFailed with the compiler's first error.
    """
    model = BuiltModel.open(folder)
    program = app if isinstance(app, Path) else DEVICE / app.replace("-", "_")
    own = sorted(program.glob("*.c"))
    if not own:
        raise BadInput("there is no such program", node=f"--app {app}",
                       hint=f"one of {', '.join(sorted(p.name for p in DEVICE.iterdir() if p.is_dir()))}")  # fmt: skip
    library = [folder / name for name in model.files if name.endswith(".c")]
    with tempfile.TemporaryDirectory(prefix="edgeq_firmware_") as scratch:
        glue = {"device_model.c": device_model(model.manifest, board.name), **(files or {})}
        for name, text in glue.items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        sources = [*library, *(Path(scratch) / name for name in glue), *own, DEVICE / "device.c", board.folder / "port.c"]
        level = optimize or LEVELS[model.manifest["optimize"]]
        clocks = {"BOARD_CLOCK_HZ": f"{board.clock_hz}U", "BOARD_COUNTER_HZ": f"{board.counter.hz}U"}
        return _link(board, target_of(model, board), sources, [folder, program],
                     {"EDGEQ_HOOKS": "1", **clocks, **(defines or {})}, level, out, extra)  # fmt: skip


def target_of(model: BuiltModel, board: Board) -> Target:
    """What a built model is compiled for on the board: its own target; code for any processor, as the board's core likes it."""
    name = model.manifest["target"]
    return TARGETS[board.targets[0] if name == "generic" else name]


def _link(
    board: Board, target: Target, sources: Sequence[Path], include: Iterable[Path], defines: Mapping[str, str] | None,
    optimize: str, out: Path, extra: Sequence[str],
) -> Path:  # fmt: skip
    board.runs(target)
    if shutil.which(COMPILER) is None:
        raise BuildFailed(f"no {COMPILER} on PATH",
                          hint="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")  # fmt: skip
    inputs = [*sources, DEVICE / "core.c", board.folder / "startup.c"]
    options = [*(f"-I{folder}" for folder in (*include, DEVICE)), *(f"-D{k}={v}" for k, v in (defines or {}).items())]
    command = [COMPILER, "-std=c99", optimize, "-g", *target.flags, *LIBRARY, *SECTIONS, *options,
               *map(str, inputs), f"-Wl,-T,{board.folder / 'link.ld'}", "-o", str(out), *extra]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if error := overflow(done.stderr, f"{board.name}, {target.name}"):
            raise error
        errors = [line for line in done.stderr.splitlines() if is_error(line)] or done.stderr.splitlines()
        raise BuildFailed(f"{COMPILER} failed: {errors[0] if errors else done.returncode}", node=f"{board.name}, {target.name}",
                          hint=f"see its messages with: {' '.join(command)}")  # fmt: skip
    return out


def is_error(line: str) -> bool:
    """Whether a line of the compiler's or linker's output says what is wrong."""
    return any(word in line for word in ("error", "Error:", "undefined reference", "will not fit", "cannot find"))
