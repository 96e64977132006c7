"""Helpers of the tests of boards: folders that `edgeq build` wrote, and a program that answers on an emulated board's tty."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import serial

import edgeq
from edgeq.device import Board, boards, link_firmware
from edgeq.device.emulator import emulate
from tests.c_models import DIGITS, MODELS, TESTS
from tests.shared import loader, onnx_file

PROGRAM = TESTS / "c" / "board"
_folders = tempfile.TemporaryDirectory(prefix="edgeq_test_")


@cache
def built(name: str, core: str) -> Path:
    """A folder of `edgeq build`: digits, zoo or one of the shared models, for a target."""
    if name in ("digits", "zoo"):
        model, calib = {
            "digits": (DIGITS / "digits.onnx", DIGITS / "calib.npz"),
            "zoo": (MODELS / "zoo_legacy.onnx", "random"),
        }[name]
    else:
        model, calib = onnx_file(name), loader().load(name, "calib")["x"][:4]
    return edgeq.compile_model(model, calib, core, name, run_check=False).save(Path(_folders.name) / f"{name}-{core}")


class Device:
    """tests/c/board/main.c on an emulated board."""

    def __init__(self, tty: str, board: Board):
        self.port = serial.Serial(tty, board.uart.baud, timeout=0.5)
        tries = 40
        while not (self.port.write(b"?") and self.port.read_until(b"?").endswith(b"?")):  # deaf before port_start
            tries -= 1
            assert tries
        self.port.timeout = 20
        self.port.write(b"=")
        assert self.port.read_until(b"=").endswith(b"=")  # and behind the answers to what it was not deaf to after all

    def ask(self, command: bytes, reply: int) -> bytes:
        """So many bytes of reply; fewer where they do not come in 20 s."""
        self.port.write(command)
        return self.port.read(reply)

    def number(self, command: bytes) -> int:
        return int.from_bytes(self.ask(command, 4), "little")


@contextmanager
def device(board: Board, elf: Path) -> Iterator[Device]:
    with emulate(board, elf) as tty:
        found = Device(tty, board)
        try:
            yield found
        finally:
            found.port.close()


@cache
def program(name: str) -> Path:
    """The ELF of tests/c/board with digits, for the board of that name."""
    board = boards()[name]
    return link_firmware(built("digits", board.core), board, PROGRAM, Path(_folders.name) / f"{name}.elf")
