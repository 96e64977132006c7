"""What a linked program consists of: symbols, sections, and how much of each is the model's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from edgeq.device.board import Board, Region

ALLOCATED, NO_BITS = 2, "SHT_NOBITS"


@dataclass(frozen=True)
class Symbol:
    """file: the source, where other sources cannot see the name; "" otherwise. size: in bytes. section: its index."""

    name: str
    file: str
    address: int
    size: int
    section: int
    is_code: bool


@dataclass(frozen=True)
class Section:
    """flash, ram: bytes that it takes there. model: how many of its bytes are the model's: its code, constants and arena."""

    name: str
    flash: int
    ram: int
    model: int


@dataclass(frozen=True)
class Sizes:
    sections: tuple[Section, ...]

    @property
    def flash(self) -> int:
        return sum(s.flash for s in self.sections)

    @property
    def ram(self) -> int:
        return sum(s.ram for s in self.sections)

    @property
    def model_flash(self) -> int:
        return sum(s.model for s in self.sections if s.flash)

    @property
    def model_ram(self) -> int:
        return sum(s.model for s in self.sections if s.ram)


def read_symbols(elf: Path) -> list[Symbol]:
    """Functions and objects of an ELF file, by address."""
    found, file = [], ""
    with elf.open("rb") as stream:
        table: Any = ELFFile(stream).get_section_by_name(".symtab")
        for symbol in table.iter_symbols():
            kind, local = symbol["st_info"]["type"], symbol["st_info"]["bind"] == "STB_LOCAL"
            if kind == "STT_FILE":  # of the local ones that follow
                file = symbol.name
            elif kind in ("STT_FUNC", "STT_OBJECT") and isinstance(symbol["st_shndx"], int):
                found.append(Symbol(symbol.name, file if local else "", symbol["st_value"], symbol["st_size"],
                                    symbol["st_shndx"], kind == "STT_FUNC"))  # fmt: skip
    return sorted(found, key=lambda s: s.address)


def read_sizes(elf: Path, board: Board, model: str, files: Collection[str]) -> Sizes:
    """model: the prefix of the library's global names; files: its sources, whose local names are its own.

    Functions of the compiler's library count as the program's, though the model may be the only one to need them.
    """
    of_model: dict[int, int] = {}
    for s in read_symbols(elf):
        if s.file in files if s.file else s.name.startswith((f"{model}_", "edgeq_")):
            of_model[s.section] = of_model.get(s.section, 0) + s.size
    sections = []
    with elf.open("rb") as stream:
        for index, section in enumerate(ELFFile(stream).iter_sections()):
            if not section["sh_flags"] & ALLOCATED or not section["sh_size"]:
                continue
            in_ram = within(board.ram, section["sh_addr"])
            in_flash = within(board.flash, section["sh_addr"]) or (in_ram and section["sh_type"] != NO_BITS)
            size = section["sh_size"]
            sections.append(Section(section.name, size * in_flash, size * in_ram, of_model.get(index, 0)))
    return Sizes(tuple(sections))


def within(region: Region, address: int) -> bool:
    return region.origin <= address < region.origin + region.size
