"""A board in QEMU whose serial port is a pseudo-terminal of this machine; an instruction takes 1 ns of its time."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgeq.device.board import Board, emulated
from edgeq.device.qemu import QEMU, clean, quote
from edgeq.errors import DeviceError

START_SECONDS = 10
END_SECONDS = 0.2  # between its tty's end and its own
OPTIONS = ("-nodefaults", "-display", "none", "-monitor", "none", "-serial", "pty", "-icount", "shift=0")


@contextmanager
def emulate(board: Board, elf: Path) -> Iterator[str]:
    """The name of the emulated board's tty, which is there as long as the context is.

    QEMU ends with the context and, on Linux, with this process, however that ends. Raises DeviceError where it does not
    start; one raised inside says so where QEMU has ended before.
    """
    if board.qemu is None:
        raise DeviceError("QEMU has no such board", node=board.name, hint=f"one of {', '.join(emulated())}")
    if shutil.which(QEMU) is None:
        raise DeviceError(f"no {QEMU} on PATH", node=board.name, hint="apt-get install qemu-system-arm")
    command = [QEMU, "-machine", board.qemu.machine, "-kernel", str(elf.resolve()), *OPTIONS]
    with (  # fmt: skip
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=_end_with_parent) as qemu,  # noqa: PLW1509
    ):
        try:
            yield _tty(board, qemu, said)
        except DeviceError as e:
            with suppress(subprocess.TimeoutExpired):
                qemu.wait(END_SECONDS)
            if qemu.returncode is None:
                raise
            raise DeviceError(f"QEMU ended with status {qemu.returncode}{quote(_text(said))}", node=board.name) from e
        finally:
            qemu.kill()


def _end_with_parent() -> None:
    """In the new process, before QEMU: it shall not outlive this one. A system call; it waits for no other thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _tty(board: Board, qemu: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    """The name that QEMU prints as it starts."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and qemu.poll() is None:
        if found := re.search(r"redirected to (\S+)", _text(said)):
            return found[1]
        time.sleep(0.005)
    raise DeviceError(f"QEMU named no tty in {START_SECONDS} s{quote(_text(said))}", node=board.name)


def _text(said: IO[bytes]) -> str:
    return clean(os.pread(said.fileno(), 1 << 16, 0))  # which leaves the place where QEMU writes next
