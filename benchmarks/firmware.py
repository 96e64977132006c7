"""Builds firmware for an emulated core, runs it under the counter, and reads from the linker's map what went into it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from counting import Counts, execute_counting

import edgeq
from edgeq.device import compile_firmware, emulated
from edgeq.device.firmware import COMPILER
from edgeq.emit import emit
from edgeq.ops._linear import LinearOp
from edgeq.plan import Plan, make_plan
from edgeq.reference import execute
from edgeq.targets import target

HARNESS = ("main.c", "core.c", "semihost.c", "startup.c")
TEXT, CONSTANTS = "text", "constants"  # constants: with .data, which is copied to RAM at the start
PART = re.compile(r"^ (\.text|\.rodata|\.data|\.ARM\.ex)[\w.$]*\s+0x\w+\s+0x(\w+)\s(.+)$", re.M)
MEMBER = re.compile(r"^(\S+\(\S+\))\s+(\S+) \(", re.M)  # a library's member, and what refers to it first

MAIN = """
#include "net.h"
#include "semihost.h"
static int8_t arena[NET_ARENA_SIZE] __attribute__((aligned(16)));
#if EDGEQ_HOOKS
void net_layer_begin(int layer, const void *a) { (void)layer; (void)a; COUNT_BEGIN(); }
void net_layer_end(int layer, const void *a) { (void)layer; (void)a; COUNT_END(); }
#endif
int main(void) {
    semihost_read(net_input(arena), NET_INPUT_SIZE);
    COUNT_BEGIN();
    net_run(arena);
    COUNT_END();
    semihost_write(net_output(arena), NET_OUTPUT_SIZE);
    return 0;
}
"""


@dataclass(frozen=True)
class Run:
    """One run of firmware. sections: (source file, TEXT or CONSTANTS) -> bytes of flash, without the harness's own."""

    output: bytes
    counts: list[Counts]
    stack: int  # high-water mark in bytes, with main's frame and the start-up code's
    sections: Mapping[tuple[str, str], int]

    @property
    def flash(self) -> int:
        return sum(self.sections.values())


def source_of(file: str) -> str:
    """What the linker calls a file -> the source's name, or the library's member."""
    name = Path(file).name
    return name if "(" in name else name.removeprefix("run-").removesuffix(".o") + ".c"


def sections(link_map: str) -> dict[tuple[str, str], int]:
    """(source or library member, kind) -> bytes, from a map of objects that `-save-temps` named after their sources.

    The harness's sources come last, so a member that one of them is the first to refer to is the harness's.
    """
    members, linked = link_map.split("Linker script and memory map")
    harness = set(HARNESS)
    for member, user in MEMBER.findall(members):
        if source_of(user) in harness:
            harness.add(source_of(member))
    joined = re.sub(r"^( \.\S+)\n +", r"\1 ", linked, flags=re.M)  # long names have a line of their own
    found: dict[tuple[str, str], int] = {}
    for section, size, file in PART.findall(joined):
        key = source_of(file), TEXT if section in (".text", ".ARM.ex") else CONSTANTS
        if key[0] not in harness and int(size, 16):
            found[key] = found.get(key, 0) + int(size, 16)
    return found


def build_and_run(
    core: str, sources: Iterable[Path], include: Iterable[Path], data: bytes, defines: Mapping[str, str] | None = None,
    optimize: str = "-O2", extra: Sequence[str] = (),
) -> Run:  # fmt: skip
    """Links the sources, one of which has main and marks, for the board that runs the core's code; feeds it `data`."""
    board = next(iter(emulated(core).values()))
    with tempfile.TemporaryDirectory(prefix="edgeq_bench_") as name:
        elf, link_map = Path(name) / "run", Path(name) / "map"
        options = [*extra, "-save-temps=obj", f"-Wl,-Map={link_map}"]
        in_order = sorted(sources, key=lambda file: (file.name in HARNESS, file))
        compile_firmware(board, target(core), in_order, include, defines, optimize, elf, options)
        done, counts = execute_counting(board, elf, data)
        return Run(done.output, counts, done.stack, sections(link_map.read_text()))


@dataclass(frozen=True)
class Measured:
    """A model on a core, for one input whose output equals the reference's."""

    plan: Plan
    counts: Counts
    layers: list[Counts]
    run: Run

    @property
    def macs(self) -> int:
        return sum(s.node.macs for s in self.plan.steps)

    @property
    def weight_bytes(self) -> int:
        """The int8 weights and int32 biases themselves, as the linear operators have them."""
        return sum(s.node.op.weight_bytes() for s in self.plan.steps if isinstance(s.node.op, LinearOp))

    def flash(self) -> dict[str, int]:
        """Bytes by what they are for; `over` is what comes on top of the weights and biases."""

        def size(files: str, *kinds: str) -> int:
            return sum(n for (file, kind), n in self.run.sections.items() if re.fullmatch(files, file) and kind in kinds)

        tables = size(r"(edgeq_|net_weights)\w*\.c", CONSTANTS)
        return {
            "kernels": size(r"edgeq_\w+\.c", TEXT), "model code": size(r"net\.c", TEXT), "weights, biases": self.weight_bytes,
            "packing, tables": tables - self.weight_bytes, "structs": size(r"net\.c", CONSTANTS),
            "libraries": size(r".*\(.*", TEXT, CONSTANTS), "flash": self.run.flash, "over": self.run.flash - self.weight_bytes,
        }  # fmt: skip


def measure(model: edgeq.CompiledModel, core: str, x: np.ndarray, optimize: str = "-O2", layers: bool = False) -> Measured:
    """Generates the model for the core and runs it on one float sample. Raises RuntimeError where its output is wrong.

    layers: counts each layer too, in a run of its own, so that the hooks do not add to the whole.
    """
    plan = make_plan(model.graph, target(core))
    stored = next(iter(model.stored(x[None]).values()))
    expected = next(iter(execute(model.graph, {next(iter(model.inputs)): stored}).values()))
    with tempfile.TemporaryDirectory(prefix="edgeq_bench_") as name:
        folder = Path(name)
        for file, text in {**emit(plan, "net").files, "main.c": MAIN}.items():
            (folder / file).write_text(text, encoding="utf-8")
        runs = [build_and_run(core, folder.glob("*.c"), [folder], stored.tobytes(), defines, optimize)
                for defines in ({}, {"EDGEQ_HOOKS": "1"})[: 1 + layers]]  # fmt: skip
    if any(run.output != expected.tobytes() for run in runs):
        raise RuntimeError(f"{model.name} on {core}: the output differs from the reference")
    return Measured(plan, runs[0].counts[0], runs[-1].counts[1:], runs[0])


def compiler() -> str:
    """The cross compiler's name and version: its first line."""
    return subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
