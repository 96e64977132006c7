"""From a built folder and what the user says of the board to a Link with firmware that runs that very model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeq.device.board import Board, boards, find_board
from edgeq.device.board import emulated as emulated_boards
from edgeq.device.emulator import emulate
from edgeq.device.image import build_firmware, default_folder, record_of
from edgeq.device.port import BAUD, find_port, open_port
from edgeq.device.protocol import Link
from edgeq.errors import BadInput, DeviceError
from edgeq.model import BuiltModel

APP = "serial"
EMULATED_HZ = 2e6  # instructions a second that QEMU can be relied on for, on a busy machine
PATIENCE = 20  # times that a run may take longer than estimated


@dataclass(frozen=True)
class Connection:
    """link: to firmware of `model`. board: None where it is not in boards/. record: firmware.json, where it is known."""

    link: Link
    model: BuiltModel
    board: Board | None
    emulated: bool
    record: Mapping[str, Any] | None


@contextmanager
def connect(
    folder: Path, port: str | None = None, board: str | None = None, emulated: bool = False, firmware: Path | None = None,
    baud: int | None = None,
) -> Iterator[Connection]:  # fmt: skip
    """A connection to a board that runs the model which `edgeq build` wrote to `folder`.

    port: a device or a pyserial URL; by default the one with the board's USB id. board: a name in boards/, by default what the
    folder was built for. emulated: in QEMU, with the ELF `firmware`, or as `edgeq firmware` links it. baud: by default what
    board.toml says. Raises DeviceError, BadInput, or what build_firmware raises.
    """
    model = BuiltModel.open(folder)
    name = board or model.manifest.get("board")
    known = find_board(name) if name else None
    if port and emulated:
        raise BadInput("an emulated board has no port of this machine", node="--port", hint="--port or --emulate")
    if not emulated:
        where = port or find_port(*usb_ids(known))
        with open_port(where, baud or (known.uart.baud if known else BAUD)) as line:
            link = Link(line, where)
            there = known or boards().get(link.hello.board)
            yield check(Connection(link, model, there, False, serial_record(folder, there) if there else None))
        return
    if known is None:
        raise BadInput("which board?", node="--emulate", hint=f"--board NAME, one of {', '.join(emulated_boards())}")
    with tempfile.TemporaryDirectory(prefix="edgeq_emulate_") as scratch:
        elf, record = (firmware, None) if firmware else linked(folder, known, Path(scratch))
        with emulate(known, elf) as tty, open_port(tty) as line:
            yield check(Connection(Link(line, known.name), model, known, True, record))


def linked(folder: Path, board: Board, scratch: Path) -> tuple[Path, Mapping[str, Any]]:
    """Firmware with the serial program, as `edgeq firmware` linked it, or linked now into `scratch`. -> ELF, firmware.json."""
    if record := serial_record(folder, board):
        return default_folder(folder, board) / "firmware.elf", record
    made = build_firmware(folder, board, APP, scratch)
    return made.files["elf"], made.record


def serial_record(folder: Path, board: Board) -> Mapping[str, Any] | None:
    """What record_of gives, where it is of the serial program."""
    record = record_of(folder, board)
    return record if record and record["app"] == APP else None


def usb_ids(board: Board | None) -> tuple[list[str], str]:
    """USB ids of the board, or of all where it is None; whose they are."""
    ids = [i for b in ([board] if board else boards().values()) for i in b.uart.usb]
    return ids, board.name if board else "the boards that edgeq knows"


def check(connection: Connection) -> Connection:
    """The connection, if the firmware runs the model. Raises DeviceError."""
    link, manifest = connection.link, connection.model.manifest
    hello, wanted = link.hello, int(manifest["model_hash"], 16)
    if hello.model_hash != wanted:
        raise DeviceError(
            f"runs another model: {hello.model} for {hello.target}, hash {hello.model_hash:08x}; "
            f"the folder holds {manifest['model']} for {manifest['target']}, hash {wanted:08x}",
            node=link.where, hint=f"edgeq flash DIR --board {hello.board}",
        )  # fmt: skip
    estimated = sum(x["estimated_instructions"].get(x["kernel"], 0) for x in manifest["layers"])
    link.run_time = 1 + estimated / (EMULATED_HZ if connection.emulated else hello.clock_hz / PATIENCE)
    return connection
