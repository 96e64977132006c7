"""How deep the stack of a linked program can get: a static bound.

The frames of C functions come from the compiler (-fstack-usage). Which function calls which comes from the machine code as it
was linked: the compiler's own call graph (-fcallgraph-info) lacks what its back end, the assembler and the linker bring in.
Functions that hold stack the compiler does not know of, in assembly or from a library, are followed instruction by instruction.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from edgeq.device.sizes import ALLOCATED, Symbol, read_symbols
from edgeq.errors import BuildFailed

ADDRESSES = (2, 3, 47, 48, 49, 50)  # R_ARM_ABS32, REL32, THM_MOVW/MOVT _ABS and _PREL: relocations that are no calls or jumps
OBJDUMP = "arm-none-eabi-objdump"
DISASSEMBLE = (OBJDUMP, "-d", "-m", "armv8.1-m.main")  # all that any Cortex-M knows; without -m not Helium
LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f ]+)\t(\S+)(?:\t([^@;\n]*))?", re.M)
IF = r"(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)"
BRANCH = re.compile(rf"(?:b{IF}|cbn?z|letp?|wls(?:tp\.\d+)?|(b))(?:\.[nw])? ")  # group 1: always taken
RETURN = re.compile(rf"(?:bx|mov|pop|ldmia(?:\.w)?)({IF}?)(?: lr$| pc, lr$| .*pc}}$)|ldr\.w pc, \[sp\]|udf")
JUMP = re.compile(r"bx |mov pc,|tb[bh] |(?:ldr|add)(?:\.w)? pc,")  # to an address that is computed
POINTER = re.compile(r"blx |bx (?!lr)")  # in C: a call, or as the last thing a jump, to a function that a pointer names
PADDING = re.compile(r"nop|\.word|\.short|\.byte|movs r0, r0")
ADR = re.compile(r"addw? r\d+, pc, #")  # in assembly that jumps there by bx
LIST = re.compile(rf"(push|v?stmdb|vpush|pop|v?ldmia|vpop){IF}?(?:\.w)? (?:sp!, )?\{{(.*)\}}")
CONDITIONAL = re.compile(rf"(?:v?push|v?pop|v?stmdb|v?ldmia|ldrd?|strd?){IF}(?:\.w)? ")
STEP = re.compile(r"(sub|add)w?(?:\.w)? sp, (?:sp, )?#(\d+)$")
INDEXED = re.compile(r"\[sp(?:, #(-?\d+)\]!|\], #(-?\d+))$")  # before, after
WRITES = re.compile(r"(?!cmp|cmn|tst|st|vst|ldm|vldm)\S+ sp\b|msr [MP]SP|.*\bsp!")


@dataclass(frozen=True)
class Instruction:
    """text: operation and operands, as the disassembler gives them. target: the address a branch names."""

    address: int
    size: int
    text: str
    target: int | None


@dataclass(frozen=True)
class StackBound:
    """size: bytes that no run of a function exceeds, interrupts apart. path: the calls that would need them; of each function
    the bytes that it holds as it makes its call."""

    size: int
    path: tuple[tuple[str, int], ...]


class Program:
    """An ELF file for Cortex-M, linked with --emit-relocs, and the .su files of its compilation, each named after its source.

    A call through a pointer may reach each function whose address the code of the same source takes, and outside of `closed`
    sources those whose address is in data too: a closed source has pointers to its own functions only.
    """

    def __init__(self, elf: Path, usages: Iterable[Path], closed: Collection[str] = ()):
        self.elf, self.closed = elf, closed
        self.frames, self.sources = read_frames(usages)
        self.functions = {s.address & ~1: s for s in read_symbols(elf) if s.is_code}
        self.bounds: dict[int, StackBound] = {}

    @cached_property
    def code(self) -> Mapping[int, Instruction]:
        """Address -> instruction."""
        done = subprocess.run([*DISASSEMBLE, str(self.elf)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildFailed(f"{OBJDUMP} failed: {done.stderr.strip()}", node=str(self.elf))
        found = {}
        for address, digits, operation, operands in LINE.findall(done.stdout):
            text, at = f"{operation} {operands.strip()}".strip(), int(address, 16)
            named = re.search(r"\b([0-9a-f]+) <", operands) if BRANCH.match(text) or operation == "bl" else None
            found[at] = Instruction(at, len(digits.replace(" ", "")) // 2, text, int(named[1], 16) if named else None)
        return found

    @cached_property
    def taken(self) -> Mapping[str, set[int]]:
        """Source -> the functions whose address its code takes; "" -> those whose address is in data, vectors apart."""
        found: dict[str, set[int]] = {}
        code = sorted(self.functions.items())
        with self.elf.open("rb") as stream:
            elf = ELFFile(stream)
            for section in elf.iter_sections():
                if not isinstance(section, RelocationSection):
                    continue
                into = elf.get_section(section["sh_info"])
                symbols: Any = elf.get_section(section["sh_link"])
                if not into["sh_flags"] & ALLOCATED or into.name == ".vectors":
                    continue
                for r in section.iter_relocations():
                    symbol = symbols.get_symbol(r["r_info_sym"])
                    if r["r_info_type"] in ADDRESSES and symbol["st_info"]["type"] == "STT_FUNC":
                        holder = next((f for at, f in reversed(code) if at <= r["r_offset"] < at + f.size), None)
                        source = (holder.file or self.sources.get(holder.name, holder.name)) if holder else ""
                        found.setdefault(source, set()).add(symbol["st_value"] & ~1)
        return found

    def bound(self, name: str) -> StackBound:
        """Of the function of that name. Raises BuildFailed naming the function that has no bound: it recurses, calls through a
        pointer, has a frame of no fixed size, or moves its stack pointer in a way that cannot be followed."""
        found = [address for address, f in self.functions.items() if f.name == name]
        if not found:
            raise BuildFailed("is not in the program", node=name)
        return self._bound(found[0], ())

    def _bound(self, address: int, callers: tuple[int, ...]) -> StackBound:
        if address in callers:
            way = [self._name(a) for a in callers[callers.index(address) + 1 :]]
            raise self._unbounded(address, f"calls itself{' through ' + ', '.join(way) if way else ''}")
        if address not in self.bounds:
            deepest, calls = self._holds(address)
            worst = StackBound(deepest, ((self._name(address), deepest),))
            for held, target in calls:
                inner = self._bound(target, (*callers, address))
                if held + inner.size > worst.size:
                    worst = StackBound(held + inner.size, ((self._name(address), held), *inner.path))
            self.bounds[address] = worst
        return self.bounds[address]

    def _holds(self, address: int) -> tuple[int, list[tuple[int, int]]]:
        """(the most bytes a function holds, its calls: bytes that it holds then, address)."""
        function = self.functions.get(address)
        frame = self._frame(function) if function else None
        if function is None or frame is None:
            return self._follow(address)
        size, kind = frame
        if kind == "dynamic":
            raise self._unbounded(address, "has a frame whose size is not fixed")
        inside = range(address, address + function.size)
        body = [self.code[a] for a in inside if a in self.code]
        lowered = sum(max(self._lowers(i), 0) for i in body)
        if lowered > size or (size == 0 and any(WRITES.match(i.text) for i in body)):  # assembly, or a frame in parts
            deepest, calls = self._follow(address)
            return max(size, deepest), calls
        calls = [(size, i.target) for i in body if i.target is not None and not self._is_inside(address, i.target)
                 and (i.target != address or i.text.startswith("bl "))]  # fmt: skip
        return size, calls + [(size, target) for i in body if POINTER.match(i.text) for target in self._pointees(address, i)]

    def _frame(self, function: Symbol) -> tuple[int, str] | None:
        name = re.sub(r"\.\d+$", "", function.name)  # the compiler numbers its variants of a function, but not there
        return self.frames.get(f"{function.file}:{name}" if function.file else name)

    def _pointees(self, address: int, i: Instruction) -> list[int]:
        """What a call through a pointer in a function may call."""
        function = self.functions.get(address)
        source = (function.file or self.sources.get(function.name, "")) if function else ""
        targets = self.taken.get(source, set()) | (set() if source in self.closed else self.taken.get("", set()))
        if not targets:
            raise self._unbounded(address, f"calls through a pointer ({i.text} at {i.address:#x})")
        return sorted(targets)

    def _follow(self, start: int) -> tuple[int, list[tuple[int, int]]]:
        """As _holds, on every path through the instructions. Each must run at one depth of the stack, wherever it is reached
        from. A computed jump stays inside the function: what nothing else leads to runs at its depth."""
        depths: dict[int, int] = {}
        deepest, calls, jumps = 0, list[tuple[int, int]](), set[int]()
        pending = [(start, 0)]
        while pending:
            address, depth = pending.pop()
            if depths.setdefault(address, depth) != depth:
                raise self._unbounded(start, f"reaches {address:#x} with stacks of different depths")
            if address not in self.code:
                raise self._unbounded(start, f"cannot be followed to {address:#x}")
            i = self.code[address]
            after, following = depth + self._moves(start, i), address + i.size
            deepest = max(deepest, after)
            goes: list[tuple[int, int]] = []
            if returns := RETURN.match(i.text):
                if after != 0 and not i.text.startswith("udf"):
                    raise self._unbounded(start, f"returns at {address:#x} with {after} bytes still on the stack")
                goes = [(following, depth)] if returns[1] else []
            elif i.text.startswith("blx ") or (POINTER.match(i.text) and not self._takes_addresses(start)):
                calls += [(after, target) for target in self._pointees(start, i)]
                goes = [(following, after)]
            elif JUMP.match(i.text):
                jumps.add(after)
            elif i.text.startswith("bl ") and i.target is not None:
                if self._is_inside(start, i.target):  # on Armv6-M a long jump
                    goes = [(i.target, after)]
                else:
                    calls.append((after, i.target))
                    goes = [(following, after)]
                if self._name(i.target).startswith("__gnu_thumb1_case"):  # the compiler's: a jump by the table behind the call
                    jumps, goes = {*jumps, after}, []
            elif branch := BRANCH.match(i.text):
                if i.target in self.functions and i.target != start:  # its last call
                    calls.append((after, i.target))
                elif i.target is not None:
                    goes = [(i.target, after)]
                goes += [] if branch[1] else [(following, after)]
            else:
                goes = [(following, after)]
            pending += [x for x in goes if depths.get(x[0]) != x[1]]
            if not pending and jumps:
                pending = self._unseen(start, depths, jumps)
        return deepest, calls

    def _unseen(self, start: int, seen: Collection[int], jumps: set[int]) -> list[tuple[int, int]]:
        """The first instruction of the function that is not yet seen, with the depth of its computed jumps; [] at the end."""
        function = self.functions.get(start)
        if function is None or function.size == 0 or len(jumps) > 1:
            raise self._unbounded(start, "jumps to computed addresses")
        body = (a for a in range(start, start + function.size) if a in self.code and a not in seen)
        return [(a, depth) for a in body for depth in jumps if not PADDING.match(self.code[a].text)][:1]

    def _is_inside(self, function: int, address: int) -> bool:
        """Whether an address is in a function but not where it begins."""
        return function < address < function + (self.functions[function].size if function in self.functions else 0)

    def _takes_addresses(self, start: int) -> bool:
        function = self.functions.get(start)
        size = function.size if function else 0
        return any(ADR.match(self.code[a].text) for a in range(start, start + size) if a in self.code)

    def _moves(self, start: int, i: Instruction) -> int:
        """Bytes that an instruction lowers the stack pointer by."""
        lowered = self._lowers(i)
        if lowered and CONDITIONAL.match(i.text) and not RETURN.match(i.text):
            raise self._unbounded(start, f"moves the stack pointer on a condition ({i.text} at {i.address:#x})")
        if lowered == 0 and WRITES.match(i.text):
            raise self._unbounded(start, f"sets the stack pointer ({i.text} at {i.address:#x})")
        return lowered

    @staticmethod
    def _lowers(i: Instruction) -> int:
        if found := LIST.match(i.text):
            registers = [r.split("-") for r in found[2].split(", ")]
            count = sum(int(r[-1][1:]) - int(r[0][1:]) + 1 if len(r) > 1 else 1 for r in registers)
            size = count * (8 if found[2].startswith("d") else 4)
            return size if "push" in found[1] or "st" in found[1] else -size
        if found := STEP.match(i.text):
            return int(found[2]) if found[1] == "sub" else -int(found[2])
        if found := INDEXED.search(i.text):
            return -int(found[1] or found[2])
        return 0

    def _name(self, address: int) -> str:
        return self.functions[address].name if address in self.functions else f"{address:#x}"

    def _unbounded(self, address: int, fact: str) -> BuildFailed:
        return BuildFailed(f"{fact}, so the stack has no bound", node=f"function {self._name(address)}",
                           hint="no recursion, no pointers to other files' functions, no arrays of variable size")  # fmt: skip


def read_frames(usages: Iterable[Path]) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    """(function -> bytes, and "static", "dynamic" or "dynamic,bounded": by its name, and by "source.c:name", the largest of
    equal names; function -> source)."""
    frames: dict[str, tuple[int, str]] = {}
    sources: dict[str, str] = {}
    for usage in usages:
        for line in usage.read_text(encoding="utf-8").splitlines():
            where, size, kind = line.split("\t")
            name = where.rpartition(":")[2]
            sources[name] = f"{usage.stem}.c"
            for key in (name, f"{usage.stem}.c:{name}"):
                frames[key] = max(frames.get(key, (0, "static")), (int(size), kind), key=lambda f: (f[1] == "dynamic", f[0]))
    return frames, sources
