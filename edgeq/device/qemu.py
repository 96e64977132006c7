"""Runs firmware in QEMU: bytes in, bytes out, by semihosting; nothing is left behind when it faults or hangs."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeq.device.board import Board, emulated
from edgeq.device.fault import Fault
from edgeq.errors import DeviceError

QEMU = "qemu-system-arm"
QUIET = ("-nodefaults", "-display", "none", "-monitor", "none", "-semihosting-config", "enable=on,target=native")
SHOWN = 3  # lines of the console that a message quotes


@dataclass(frozen=True)
class Finished:
    """A run that ended well. stack: its high-water mark in bytes, with main's callers."""

    output: bytes
    console: str
    stack: int


def run(board: Board, elf: Path, data: bytes = b"", timeout: float = 60) -> bytes:
    """What the firmware writes with semihost_write for what it reads with semihost_read. Raises DeviceError."""
    return execute(board, elf, data, timeout).output


def execute(board: Board, elf: Path, data: bytes = b"", timeout: float = 60, options: Sequence[str] = ()) -> Finished:
    """As run, with the console's text; options: more of QEMU's.

    Raises DeviceError: the core faulted, main returned other than 0, it did not finish in time, or QEMU failed.
    """
    if board.qemu is None:
        raise DeviceError("QEMU has no such board", node=board.name, hint=f"one of {', '.join(emulated())}")
    if shutil.which(QEMU) is None:
        raise DeviceError(f"no {QEMU} on PATH", node=board.name, hint="apt-get install qemu-system-arm")
    with tempfile.TemporaryDirectory(prefix="edgeq_qemu_") as folder:
        (Path(folder) / "input").write_bytes(data)
        command = [QEMU, "-machine", board.qemu.machine, "-kernel", str(elf.resolve()), *QUIET, *options]
        status, console = _call(command, folder, timeout)
        if status is None:
            raise DeviceError(f"did not finish in {timeout:g} s{quote(console)}", node=board.name)
        if status:
            raise DeviceError(failure(board, status, console), node=board.name,
                              hint=f"arm-none-eabi-addr2line -fpe {elf} ADDRESS names the line of an address")  # fmt: skip
        output = Path(folder) / "output"
        stack = re.search(r"^stack: (0x\w+)$", console, re.M)
        return Finished(output.read_bytes() if output.exists() else b"", console, int(stack[1], 16) if stack else 0)


def _call(command: Sequence[str], folder: str, timeout: float) -> tuple[int | None, str]:
    """(exit status, or None where it had to be stopped; stdout and stderr). The process has ended either way."""
    nothing, pipe, same = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, cwd=folder, stdin=nothing, stdout=pipe, stderr=same) as qemu:
        try:
            text, _ = qemu.communicate(timeout=timeout)
            return qemu.returncode, clean(text)
        except subprocess.TimeoutExpired:
            qemu.kill()
            return None, clean(qemu.communicate()[0])
        finally:
            qemu.kill()


def clean(text: bytes) -> str:
    """What the firmware printed and QEMU complained of; not that the board's network is not connected, nor a timer at rest."""
    noise = r"^(.*: warning: nic .* has no peer|Timer with period zero, disabling)\r?\n"
    return re.sub(noise, "", text.decode(errors="replace"), flags=re.M)


def failure(board: Board, status: int, console: str) -> str:
    """Why a run failed, from what it printed."""
    fault = re.search(r"^fault: (.*)$", console, re.M)
    if fault is None:
        return f"exit status {status}{quote(console)}"
    registers = {name: int(value, 16) for name, value in re.findall(r"(\w+)=(0x\w+)", fault[1])}
    return f"{Fault(**registers).explain(board.ram)}{quote(console[: fault.start()])}"


def quote(console: str) -> str:
    """The last lines of the console, for a message."""
    lines = console.strip().splitlines()[-SHOWN:]
    return f"; last output: {' | '.join(lines)}" if lines else "; no output"
