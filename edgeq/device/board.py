"""A board: a folder in boards/ with board.toml, link.ld and startup.c."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeq.resources import BOARDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Region:
    """Memory, in bytes."""

    origin: int
    size: int


@dataclass(frozen=True)
class Uart:
    """baud: bit/s. receive_bytes: how many arrive between two calls of port_read without one being lost."""

    baud: int
    receive_bytes: int


@dataclass(frozen=True)
class Counter:
    """What port_count counts on the board itself."""

    name: str
    hz: int


@dataclass(frozen=True)
class Board:
    """board.toml. targets: edgeq targets whose code it runs, the core's own first. machine, cpu: QEMU's names."""

    name: str
    title: str
    core: str
    targets: tuple[str, ...]
    tested: str  # "qemu": runs in QEMU; untested on hardware
    notes: str
    clock_hz: int
    uart: Uart | None
    counter: Counter | None
    machine: str
    cpu: str
    counter_hz: int
    flash: Region
    ram: Region
    folder: Path

    @property
    def instructions_per_count(self) -> float:
        """In QEMU with -icount shift=0, where an instruction is 1 ns."""
        return 1e9 / self.counter_hz

    @classmethod
    def read(cls, folder: Path) -> Board:
        """The board in this folder."""
        data: dict[str, Any] = tomllib.loads((folder / "board.toml").read_text(encoding="utf-8"))
        memory = {name: Region(**region) for name, region in data.pop("memory").items()}
        qemu = {"counter_hz": 0, **data.pop("qemu")}
        uart, counter = data.pop("uart", None), data.pop("counter", None)
        parts = {"uart": uart and Uart(**uart), "counter": counter and Counter(**counter)}
        return cls(**{**data, **qemu, **memory, **parts, "targets": tuple(data["targets"]), "folder": folder})


@cache
def boards() -> dict[str, Board]:
    """Every board, by name."""
    found = [Board.read(path.parent) for path in sorted(BOARDS.glob("*/board.toml"))]
    return {board.name: board for board in found}
