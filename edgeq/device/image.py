"""The files that go onto a board: a built model linked with a program, measured, in the forms that flash tools read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from edgeq.device.board import Board, find_board
from edgeq.device.firmware import link_firmware, target_of
from edgeq.device.fit import PROGRAMS, Demand, check_fit
from edgeq.device.sizes import Sizes, read_sizes, within
from edgeq.device.stack import Program, StackBound
from edgeq.emit.mlperf import TASKS, mlperf_task
from edgeq.errors import BadInput, BuildFailed, DoesNotFit
from edgeq.model import BuiltModel

OBJCOPY = "arm-none-eabi-objcopy"
FRAME, FRAME_FP = 36, 108  # bytes that the core stacks for an interrupt: without and with floating point, and to align
INTERRUPTS = ("port_receive_interrupt", "port_systick_interrupt")  # of port.c; one does not interrupt the other
RECORD = "firmware.json"
FILES = ("firmware.elf", "firmware.hex", "firmware.bin", RECORD)  # the record last: it vouches for the others


@dataclass(frozen=True)
class Firmware:
    """elf, hex, bin: files in `folder`. run: the bound on the stack of the model's run function; stack: on that of the whole
    program, interrupts too."""

    folder: Path
    board: Board
    app: str
    sizes: Sizes
    run: StackBound
    stack: int
    record: dict[str, Any]

    @property
    def files(self) -> dict[str, Path]:
        """By what a runner calls them."""
        return {kind: self.folder / f"firmware.{kind}" for kind in ("elf", "hex", "bin")}


def build_firmware(
    folder: Path, board: Board, app: str = "serial", out: Path | None = None, mlperf_id: str | None = None
) -> Firmware:
    """Links what `edgeq build` wrote to `folder` for the board and writes firmware.elf, .hex, .bin and .json to `out`.

    app: a folder in runtime_c/device; mlperf_id: the task of mlperf-tiny. out: by default beside `folder`, named after it and
    the board. Raises BadInput, BuildFailed, or DoesNotFit with the bytes that are too many.
    """
    model = BuiltModel.open(folder)
    m = model.manifest
    if app not in PROGRAMS:
        raise BadInput("there is no such program", node=f"--app {app}", hint=f"one of {', '.join(PROGRAMS)}")
    if (app == "mlperf-tiny") != (mlperf_id is not None):
        raise BadInput("goes with --app mlperf-tiny, and only with that", node="--mlperf-id", hint="see --help")
    if m["io"] != "arena":
        raise BadInput("has its inputs and outputs outside the arena", node=f"{folder}, built with --io {m['io']}",
                       hint="edgeq build --io arena")  # fmt: skip
    more = {"mlperf_task.c": mlperf_task(m, mlperf_id, board.counter.hz)} if mlperf_id else {}
    buffers = TASKS[mlperf_id].buffer_bytes if mlperf_id else 0
    check_fit(model.name, board, Demand.of(m, app, buffers))
    out = out or default_folder(folder, board)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".edgeq_", dir=out.parent) as name:
        scratch = Path(name)
        elf = link_firmware(folder, board, app, scratch / "firmware.elf", files=more,
                            extra=["-fstack-usage", "-dumpdir", f"{scratch}/", "-Wl,--emit-relocs"])  # fmt: skip
        sizes = read_sizes(elf, board, model.name, {*model.files, "device_model.c"})
        run, stack = stack_of(elf, list(scratch.glob("*.su")), model, board)
        (scratch / "firmware.bin").write_bytes(flash_image(elf, board))
        convert(elf, scratch / "firmware.hex")
        record = {
            "model": model.name, "model_hash": m["model_hash"], "build": fingerprint(folder),
            "target": target_of(model, board).name, "board": board.name, "app": app, "mlperf_id": mlperf_id,
            "flash": {"bytes": sizes.flash, "model": sizes.model_flash, "of": board.flash.size},
            "ram": {"bytes": sizes.ram, "model": sizes.model_ram, "of": board.ram.size},
            "sections": [asdict(s) for s in sizes.sections],
            "stack": {"run": run.size, "run_path": [list(x) for x in run.path], "program": stack, "of": board.stack.size},
        }  # fmt: skip
        (scratch / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        out.mkdir(exist_ok=True)
        (out / RECORD).unlink(missing_ok=True)
        for file in FILES:
            os.replace(scratch / file, out / file)
    return Firmware(out, board, app, sizes, run, stack, record)


def built_for(folder: Path, name: str | None) -> Board:
    """The board of that name, or the one that the folder was built for. Raises BadInput."""
    name = name or BuiltModel.open(folder).manifest.get("board")
    if name is None:
        raise BadInput("was not built for a board", node=str(folder), hint="--board NAME; see edgeq boards")
    return find_board(name)


def stack_of(elf: Path, usages: list[Path], model: BuiltModel, board: Board) -> tuple[StackBound, int]:
    """(the bound of the model's run; of the whole program with an interrupt). Raises DoesNotFit where there is less."""
    program = Program(elf, usages, closed=model.files)
    names = {f.name for f in program.functions.values()}
    interrupt = max(program.bound(name).size for name in INTERRUPTS if name in names)
    frame = FRAME if board.core in ("cortex-m0", "cortex-m0plus", "cortex-m3") else FRAME_FP
    whole = program.bound("reset").size + frame + interrupt
    if whole > board.stack.size:
        raise DoesNotFit(f"needs up to {whole:,} bytes of stack, {whole - board.stack.size:,} more than {board.name} reserves",
                         node=model.name, hint="stack.size in board.toml, and link.ld")  # fmt: skip
    return program.bound(f"{model.name}_run"), whole


def record_of(folder: Path, board: Board) -> dict[str, Any] | None:
    """firmware.json of what `edgeq firmware` linked last beside the folder, if that is this build."""
    try:
        record = json.loads((default_folder(folder, board) / RECORD).read_text(encoding="utf-8"))
        return record if record["build"] == fingerprint(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fingerprint(folder: Path) -> str:
    """Of all that firmware is made of in a folder that `edgeq build` wrote: its manifest has the hash of every file."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"].pop("report.html")  # where profiles are drawn
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def default_folder(folder: Path, board: Board) -> Path:
    whole = folder.resolve()
    return whole.with_name(f"{whole.name}-{board.name}")


def flash_image(elf: Path, board: Board) -> bytes:
    """What flash holds from its first byte on; gaps are 0xFF, as erased."""
    image = bytearray()
    with elf.open("rb") as stream:
        for segment in ELFFile(stream).iter_segments("PT_LOAD"):
            start = segment["p_paddr"] - board.flash.origin
            if segment["p_filesz"] and within(board.flash, segment["p_paddr"]):
                image.extend(b"\xff" * (start + segment["p_filesz"] - len(image)))
                image[start : start + segment["p_filesz"]] = segment.data()
    return bytes(image)


def convert(elf: Path, target: Path) -> None:
    """Writes Intel HEX."""
    done = subprocess.run([OBJCOPY, "-O", "ihex", str(elf), str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{OBJCOPY} failed: {done.stderr.strip()}", node=str(elf))
