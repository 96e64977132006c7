"""Puts firmware on a board, by one of the programs that its board.toml names, or starts it in QEMU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from edgeq.device.board import Board, Runner
from edgeq.device.emulator import OPTIONS
from edgeq.device.image import build_firmware, default_folder, record_of
from edgeq.device.qemu import QEMU
from edgeq.errors import BadInput, DeviceError

INSTALL = {  # program -> how it comes onto a computer
    "openocd": "apt-get install openocd",
    "pyocd": "pip install pyocd",
    "st-flash": "apt-get install stlink-tools",
    "JLinkExe": "install the J-Link software: segger.com/downloads/jlink",
    "probe-rs": "install probe-rs: probe.rs",
    "picotool": "install picotool: github.com/raspberrypi/picotool",
    QEMU: "apt-get install qemu-system-arm",
}


def runners(board: Board) -> dict[str, Runner]:
    """What can put firmware on the board, by name; QEMU takes the place of the board."""
    if board.qemu is None:
        return dict(board.runners)
    return {**board.runners, "qemu": Runner(((QEMU, "-machine", board.qemu.machine, "-kernel", "{elf}", *OPTIONS),))}


def choose(board: Board, name: str | None, installed: bool = True) -> Runner:
    """The runner of that name, or the first whose programs are there. Raises BadInput; DeviceError where it shall be installed
    and is not."""
    known = runners(board)
    if name is not None and name not in known:
        raise BadInput(f"{board.name} has no runner {name!r}", node="--runner", hint=f"one of {', '.join(known)}")
    wanted = [known[name]] if name else list(known.values())
    for runner in wanted:
        if not missing(runner):
            return runner
    if not installed:
        return wanted[0]
    absent = dict.fromkeys(program for runner in wanted for program in missing(runner))
    raise DeviceError(f"no {' or '.join(absent)} on PATH", node=board.name, hint="; or: ".join(INSTALL[p] for p in absent))


def missing(runner: Runner) -> list[str]:
    """The programs of a runner that are not on PATH."""
    return [p for p in dict.fromkeys(command[0] for command in runner.commands) if shutil.which(p) is None]


def ready(folder: Path, board: Board) -> Path:
    """Where the firmware of what `edgeq build` wrote to `folder` is: as `edgeq firmware` last linked it, or linked now with the
    program `serial` where there is none of this build."""
    return default_folder(folder, board) if record_of(folder, board) else build_firmware(folder, board).folder


def commands(runner: Runner, board: Board, firmware: Path) -> tuple[list[list[str]], str]:
    """(a runner's commands with their placeholders filled in, what they read). firmware: a folder of build_firmware."""
    values = {kind: str(firmware / f"firmware.{kind}") for kind in ("elf", "hex", "bin")}
    values["address"] = f"{board.flash.origin:#x}"
    return [[fill(part, values) for part in command] for command in runner.commands], fill(runner.stdin, values)


def fill(text: str, values: dict[str, str]) -> str:
    """The text with {name} replaced; other braces stay."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def run(runner: Runner, board: Board, firmware: Path) -> None:
    """Runs the commands, whose output goes to the terminal. Raises DeviceError where one fails."""
    lines, stdin = commands(runner, board, firmware)
    for command in lines:
        done = subprocess.run(command, input=stdin if runner.stdin else None, text=True, check=False)
        if done.returncode:
            raise DeviceError(f"{command[0]} failed with status {done.returncode}", node=board.name,
                              hint=runner.hint or "is the board connected? --dry-run prints the commands")  # fmt: skip
