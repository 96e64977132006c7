"""A board: a folder in boards/ with board.toml, link.ld, startup.c and port.c."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edgeq.errors import BadInput
from edgeq.resources import BOARDS
from edgeq.targets import TARGETS, Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TESTED = {
    "hardware": "on hardware",
    "qemu": "in QEMU; untested on hardware",
    "compiled": "compiled; untested on hardware",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Region:
    """Memory, in bytes."""

    origin: int
    size: int


@dataclass(frozen=True)
class Stack:
    """What link.ld reserves at the bottom of RAM, in bytes: for the programs, and for what reports a fault."""

    size: int
    fault_size: int


@dataclass(frozen=True)
class Uart:
    """name: with its pins, for people. baud: bit/s. receive_bytes: how many arrive between two calls of port_read without one
    being lost. usb: ids "vendor:product", in hexadecimal, of what connects it to a computer."""

    name: str
    baud: int
    receive_bytes: int
    usb: tuple[str, ...]


@dataclass(frozen=True)
class Counter:
    """What port_count counts on the board itself."""

    name: str
    hz: int


@dataclass(frozen=True)
class Qemu:
    """The machine that emulates the board, and at what rate port_count counts there, in virtual time."""

    machine: str
    counter_hz: int


@dataclass(frozen=True)
class Runner:
    """Commands that put firmware on the board, one after the other; what each reads from stdin; what to try where they fail.
    {elf}, {hex} and {bin} stand for files, {address} for where flash begins."""

    commands: tuple[tuple[str, ...], ...]
    stdin: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Board:
    """board.toml. targets: edgeq targets whose code it runs, the core's own first. tested: one of TESTED."""

    name: str
    title: str
    core: str
    targets: tuple[str, ...]
    tested: str
    notes: str
    clock_hz: int
    flash: Region
    ram: Region
    stack: Stack
    uart: Uart
    counter: Counter
    runners: Mapping[str, Runner]
    folder: Path
    qemu: Qemu | None = None

    @property
    def cycles_per_count(self) -> float:
        """Of the core's clock, on the board itself."""
        return self.clock_hz / self.counter.hz

    @property
    def instructions_per_count(self) -> float:
        """In QEMU with -icount shift=0, where an instruction takes 1 ns; 0 where QEMU has no such board."""
        return 1e9 / self.qemu.counter_hz if self.qemu else 0

    def runs(self, target: Target) -> Target:
        """The target. Raises BadInput where the board does not run its code."""
        if target.name not in self.targets:
            hint = f"targets: {', '.join(self.targets)}"
            raise BadInput(f"does not run code for {target.name}", node=self.name, hint=hint)
        return target

    @classmethod
    def read(cls, folder: Path) -> Board:
        """The board in this folder. Raises BadInput naming the file and the key."""
        file = folder / "board.toml"
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise BadInput(f"cannot be read: {e}", node=str(file)) from e
        board = parse(cls, data, str(file), folder=folder)
        if board.name != folder.name:
            raise BadInput(f"name is {board.name!r}", node=str(file), hint=f"{folder.name!r}, as the folder")
        if board.tested not in TESTED:
            raise BadInput(f"tested is {board.tested!r}", node=str(file), hint=f"one of {', '.join(TESTED)}")
        unknown = [name for name in board.targets if name not in TARGETS]
        if unknown or not board.targets:
            raise BadInput(f"targets has {', '.join(unknown) or 'no target'}", node=str(file), hint="see edgeq targets")
        return board


def parse(kind: type[T], table: Mapping[str, Any], where: str, **given: Any) -> T:
    """A dataclass from a table of TOML: its keys are the fields but those given. Raises BadInput naming `where` and the key."""
    types = get_type_hints(kind)
    known = {f.name: f.default for f in fields(kind) if f.name not in given}  # type: ignore[arg-type]
    unknown = [key for key in table if key not in known]
    missing = [key for key, default in known.items() if key not in table and default is MISSING]
    if unknown or missing:
        what = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
        raise BadInput(what, node=where, hint=f"keys: {', '.join(known)}")
    return kind(**{key: convert(types[key], value, f"{where}: {key}") for key, value in table.items()}, **given)


def convert(wanted: Any, value: Any, where: str) -> Any:
    """A value of TOML as the type that a field has. Raises BadInput where it is of another."""
    inner = get_args(wanted)
    if type(None) in inner:  # an optional table
        return convert(inner[0], value, where)
    if isinstance(wanted, type) and is_dataclass(wanted) and isinstance(value, dict):
        return parse(wanted, value, where)
    if get_origin(wanted) is Mapping and isinstance(value, dict):
        return {key: convert(inner[1], x, f"{where}.{key}") for key, x in value.items()}
    if get_origin(wanted) is tuple and isinstance(value, list):
        return tuple(convert(inner[0], x, where) for x in value)
    if wanted in (int, str) and type(value) is wanted:
        return value
    raise BadInput(f"is {value!r}", node=where, hint="see boards/README.md")


def find_board(name: str) -> Board:
    """The board of that name. Raises BadInput listing the names."""
    if name not in boards():
        raise BadInput(f"unknown board {name!r}", node="--board", hint=f"one of {', '.join(boards())}")
    return boards()[name]


@cache
def boards() -> dict[str, Board]:
    """Every board, by name."""
    found = [Board.read(path.parent) for path in sorted(BOARDS.glob("*/board.toml"))]
    return {board.name: board for board in found}


def emulated(target: str = "") -> dict[str, Board]:
    """The boards that QEMU emulates, by name; those that run code for a target, the one with most flash first."""
    found = [b for b in boards().values() if b.qemu and (not target or target in b.targets)]
    return {b.name: b for b in (sorted(found, key=lambda b: -b.flash.size) if target else found)}
