"""What the commands in cli_boards.py print."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeq.cli_show import console, new_table, print_facts
from edgeq.device.board import TESTED, Board
from edgeq.device.flash import runners
from edgeq.report import count, kib

if TYPE_CHECKING:
    from edgeq.device.image import Firmware


def board_row(board: Board) -> dict[str, str]:
    """A line of the table."""
    return {
        "board": board.name, "title": board.title, "core": board.core, "MHz": f"{board.clock_hz / 1e6:g}",
        "flash": kib(board.flash.size), "RAM": kib(board.ram.size), "tested": TESTED[board.tested],
    }  # fmt: skip


def board_summary(board: Board) -> dict[str, Any]:
    """All that board.toml says, for machines."""
    said = {key: value for key, value in asdict(board).items() if key != "folder"}
    return {**said, "runners": list(runners(board)), "cycles_per_count": board.cycles_per_count,
            "instructions_per_count": board.instructions_per_count or None}  # fmt: skip


def show_firmware(made: Firmware) -> None:
    """Sections, model against program, the stack; then where the files are."""
    table = new_table("section", ">flash", ">RAM", ">model", ">program")
    for s in made.sizes.sections:
        table.add_row(s.name, count(s.flash), count(s.ram), count(s.model), count(max(s.flash, s.ram) - s.model))
    console().print(table)
    board, sizes, run = made.board, made.sizes, made.run
    path = " > ".join(f"{name} {held}" for name, held in run.path)
    print_facts([
        ("flash", f"{count(sizes.flash)} of {count(board.flash.size)} bytes: {_shares(sizes.flash, sizes.model_flash)}"),
        ("RAM", f"{count(sizes.ram)} of {count(board.ram.size)} bytes: {_shares(sizes.ram, sizes.model_ram)}"),
        ("stack", f"at most {count(made.stack)} of {count(board.stack.size)} bytes, with an interrupt"),
        ("run", f"of that at most {count(run.size)} bytes: {path}"),
        ("board", f"{board.name}, {TESTED[board.tested]}"),
        ("files", ", ".join(str(file) for file in made.files.values())),
    ])  # fmt: skip


def _shares(whole: int, model: int) -> str:
    return f"model {count(model)}, program {count(whole - model)}"
