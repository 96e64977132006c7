"""What the commands that talk to a board print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from edgeq.cli_show import BAR, console, new_table, print_facts
from edgeq.device.connect import Connection
from edgeq.device.profile import Profile
from edgeq.device.verify import Verified
from edgeq.report import count, kib

SIZES = ("flash", "ram", "stack")  # of firmware.json


def board_summary(board: Connection) -> dict[str, Any]:
    """The board and what runs there, for machines."""
    hello, m = board.link.hello, board.model.manifest
    return {"model": m["model"], "model_hash": m["model_hash"], "target": m["target"], "board": hello.board,
            "port": None if board.emulated else board.link.where, "emulated": board.emulated}  # fmt: skip


def verified_summary(board: Connection, v: Verified) -> dict[str, Any]:
    """The proof for machines."""
    link = board.link
    return {**board_summary(board), "inputs": v.inputs, "layers": v.layers, "elements": v.elements,
            "frames": link.frames, "repeated_frames": link.retries, "bytes": link.bytes_out + link.bytes_in}  # fmt: skip


def show_verified(board: Connection, v: Verified) -> None:
    """What was compared, and on what."""
    link = board.link
    print_facts([
        *_facts_of_board(board),
        ("check", f"bit for bit as on this machine: {v.elements:,} output bytes on {v.inputs:,} inputs"),
        ("layers", f"{v.layers}, each output of each by its CRC-32"),
        ("line", f"{link.frames:,} requests, {link.retries:,} of them repeated; {link.bytes_out + link.bytes_in:,} bytes"),
    ])  # fmt: skip


def profile_summary(board: Connection, p: Profile) -> dict[str, Any]:
    """The profile for machines."""
    m = board.model.manifest
    layers = [{"index": x.index, "name": x.name, "op": x.op, "kernel": x.kernel, "macs": x.macs, "count": x.count,
               "most": x.most, "per_mac": x.per_mac, "share": p.share(x)} for x in p.layers]  # fmt: skip
    return {
        **board_summary(board), "unit": p.unit, "step": p.step, "runs": p.runs, "count": p.count, "most": p.most,
        "seconds": p.seconds, "macs": m["macs"], "stack_bytes": p.stack_bytes, "arena_bytes": p.arena_bytes,
        "constant_bytes": m["constant_bytes"], "firmware": board.record and {k: board.record[k] for k in SIZES},
        "layers": layers,
    }  # fmt: skip


def show_profile(board: Connection, p: Profile, page: Path) -> None:
    """The layers with their counts, then the whole."""
    rows = new_table(">#", "kernel", ">MACs", f">{p.unit}", ">per MAC", ">share", "")
    most = max((x.count for x in p.layers), default=0) or 1
    for x in p.layers:
        rows.add_row(str(x.index), (x.kernel or "(no code)").removeprefix("edgeq_"), count(x.macs), count(x.count),
                     f"{x.per_mac:.2f}" if x.per_mac is not None else "–", f"{p.share(x):.1%}",
                     Text("█" * round(BAR * x.count / most), style="blue"))  # fmt: skip
    console().print(rows)
    print()
    spread = "the same each time" if p.count == p.most else f"{count(p.count)} to {count(p.most)}"
    print_facts([
        *_facts_of_board(board),
        ("run", f"{count(p.count)} {p.unit}{f', {1000 * p.seconds:.3g} ms' if p.seconds else ''}; {p.runs} runs, {spread}"),
        ("counter", f"in steps of {p.step:.4g}" if p.step > 1 else "exact"),
        *_sizes(board, p),
        ("report", str(page)),
    ])  # fmt: skip


def _sizes(board: Connection, p: Profile) -> list[tuple[str, str]]:
    m, record = board.model.manifest, board.record
    stack, flash = f"{p.stack_bytes:,} bytes at most so far", f"about {m['constant_bytes'] + m['code_bytes']:,} bytes"
    if record:
        stack += f"; cannot exceed {record['stack']['program']:,}"
        flash = "{bytes:,} of {of:,} bytes, of which {model:,} are the model's".format(**record["flash"])
    return [("arena", f"{p.arena_bytes:,} bytes ({kib(p.arena_bytes)})"), ("stack", stack), ("flash", flash)]


def _facts_of_board(board: Connection) -> list[tuple[str, str]]:
    hello = board.link.hello
    where = "in QEMU: instructions, not cycles" if board.emulated else f"at {board.link.where}, {hello.clock_hz / 1e6:g} MHz"
    lines = [("board", f"{hello.board}, {where}"), ("model", f"{hello.model} for {hello.target}, hash {hello.model_hash:08x}")]
    if hello.fault:
        lines.append(("before this", hello.fault.explain(board.board.ram if board.board else None)))
    return lines
