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
class Board:
    """board.toml. targets: edgeq targets whose code it runs, the core's own first. machine, cpu: QEMU's names."""

    name: str
    title: str
    core: str
    targets: tuple[str, ...]
    tested: str  # "qemu": runs in QEMU; untested on hardware
    notes: str
    clock_hz: int
    machine: str
    cpu: str
    flash: Region
    ram: Region
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Board:
        """The board in this folder."""
        data: dict[str, Any] = tomllib.loads((folder / "board.toml").read_text(encoding="utf-8"))
        memory = {name: Region(**region) for name, region in data.pop("memory").items()}
        qemu = data.pop("qemu")
        return cls(**{**data, **qemu, **memory, "targets": tuple(data["targets"]), "folder": folder})


@cache
def boards() -> dict[str, Board]:
    """Every board, by name."""
    found = [Board.read(path.parent) for path in sorted(BOARDS.glob("*/board.toml"))]
    return {board.name: board for board in found}
