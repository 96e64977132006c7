"""Bit-exact tests of kernels outside any model: the operators' cases as a C program, run and compared with the reference.

Emitting the table (`program`), feeding it (`feed`) and comparing (`compare`) know nothing of the machine; `build` and
`execute` are this machine's way to run it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from edgeq import ops
from edgeq.emit.calls import CallText, Constants, call_texts
from edgeq.emit.emit import runtime_files
from edgeq.ir import Node
from edgeq.numerics import LIMITS
from edgeq.ops._base import Kernel
from edgeq.resources import HOST

HERE = Path(__file__).parent
APART = -1  # an input in memory of its own
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("gcc", "-O1", "-g", *WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# flags of this machine's compiler for each kernel instruction set it can build; blocks of assembly have a twin in C, and
# Helium's intrinsics a header that emulates them
HOST_FLAGS: dict[str, tuple[str, ...]] = {"c": (), "v6m": (), "v7m": (), "dsp": (), "mve": (f"-I{HOST}",)}
HOST_ISAS = tuple(HOST_FLAGS)


@dataclass(frozen=True, eq=False)
class Run:
    """A node run by a kernel with its inputs at `places`: bytes from the output's start, or APART."""

    index: int  # among the operator's cases
    node: Node
    kernel: Kernel
    places: tuple[int, ...]

    def __str__(self) -> str:
        shapes = ", ".join("x".join(map(str, t.shape)) for t in self.node.inputs)
        where = "" if set(self.places) == {APART} else f", inputs at {list(self.places)} of the output"
        out = "x".join(map(str, self.node.output.shape))
        return f"{self.node.op.name} case {self.index}, {self.kernel.function}: {shapes} -> {out}{where}"


@cache
def runs(op: str, isas: tuple[str, ...] = HOST_ISAS) -> tuple[Run, ...]:
    """Every case of the operator, by every kernel that supports it, in every memory layout that the kernel allows."""
    found = []
    for index, node in enumerate(ops.modules()[op].cases()):
        node.op.validate(node.inputs, node.output)
        for kernel in ops.kernels(op):
            if kernel.isa in isas and kernel.supports(node):
                found += [Run(index, node, kernel, places) for places in layouts(node, kernel)]
    return tuple(found)


def layouts(node: Node, kernel: Kernel) -> list[tuple[int, ...]]:
    """All inputs apart; each that the output may be laid over; all of those together, where they leave each other room."""
    over = {i: o.distances() for i, o in kernel.overlaps(node).items()}
    alone = [{i: at} for i, distances in over.items() for at in distances]
    nearest = {i: distances[0] for i, distances in over.items()}
    spans = [(at, at + node.inputs[i].bytes) for i, at in nearest.items()]
    room = all(a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(spans, 2))
    together = [nearest] if len(over) > 1 and room else []
    return [tuple(p.get(i, APART) for i in range(len(node.inputs))) for p in ({}, *alone, *together)]


@cache
def vectors(run: Run) -> tuple[np.ndarray, ...]:
    """(V, *shape) for each input: extremes alone, alternating and against each other; one among zeros; random."""
    rng = np.random.default_rng(run.index)
    inputs = []
    for k, t in enumerate(run.node.inputs):
        (lo, hi), at = LIMITS[t.dtype], np.arange(t.elements)
        fixed = [at * 0 + lo, at * 0 + hi, np.where((at + k) % 2, lo, hi), np.where((at + k) % 2, hi, lo),
                 at * 0 + (lo, hi)[k % 2], np.where(at == rng.integers(t.elements), 1, 0)]  # fmt: skip
        near = (t.zero_point + rng.integers(-9, 10, (2, t.elements))).clip(lo, hi)
        data = np.concatenate([fixed, near, rng.integers(lo, hi + 1, (4, t.elements))])
        inputs.append(data.reshape(-1, *t.shape).astype(t.dtype))
    return tuple(inputs)


# ---------------------------------------------------------------- the program, on whatever machine


def program(table: Sequence[Run]) -> str:
    """cases.c: a function for each node and kernel, and the table of tests/c/kernel_cases.h."""
    constants = Constants("c")
    functions: dict[tuple[Node, Kernel], str] = {}
    parts, rows = [], []
    for run in table:
        key = run.node, run.kernel
        if key not in functions:
            functions[key] = f"run_{len(functions)}"
            parts.append(_function(functions[key], call_texts(run.kernel, run.node, f"p_{len(functions)}", constants)))
        sizes = [t.bytes for t in run.node.inputs]
        rows.append(f"{{{functions[key]}, {len(sizes)}, {_row(sizes)}, {_row(run.places)}, {run.node.output.bytes}, "
                    f"{run.kernel.scratch(run.node)}}}")  # fmt: skip
    headers = sorted({f"edgeq_{run.node.op.name}.h" for run in table})
    arrays = [f"EDGEQ_ALIGNED static const {e['type']} {e['name']}[{e['size']}] = {{\n{e['text']}}};"
              for e in constants.entries]  # fmt: skip
    return "\n".join([
        '#include "kernel_cases.h"', *(f'#include "{h}"' for h in headers), *arrays, *parts,
        "const kernel_case kernel_cases[] = {", ",\n".join(rows) + "};",
        f"const int32_t kernel_case_count = {len(rows)};",
        f"const int32_t kernel_vectors = {len(vectors(table[0])[0])};\n",
    ])  # fmt: skip


def _row(values: Iterable[int]) -> str:
    return f"{{{', '.join(map(str, values))}}}"


def _function(name: str, calls: Sequence[CallText]) -> str:
    params = "\n".join(f"static const {c.params_type} {c.symbol} = {{{c.init}}};" for c in calls)
    lines = []
    for c in calls:
        arguments = [f"&{c.symbol}", *(f"in[{i}]" for i in c.inputs), "out", *(["scratch"] if c.scratch else [])]
        lines.append(f"    {c.function}({', '.join(arguments)});")
    body = "\n".join(["    (void)scratch;", *lines])
    return f"{params}\nstatic void {name}(int8_t *const *in, int8_t *out, void *scratch) {{\n{body}\n}}"


def feed(table: Sequence[Run]) -> bytes:
    """What the program reads: for each row and vector, the inputs."""
    return b"".join(x[v].tobytes() for run in table for v in range(len(vectors(run)[0])) for x in vectors(run))


def compare(table: Sequence[Run], output: bytes) -> str | None:
    """None where the program's output is the reference's, else the first difference."""
    at = 0
    for run in table:
        expected = run.node.reference(*vectors(run))
        got = np.frombuffer(output[at : at + expected.nbytes], expected.dtype)
        at += expected.nbytes
        if got.size != expected.size:
            return f"{run}: output breaks off"
        got = got.reshape(expected.shape)
        if not np.array_equal(got, expected):
            where = tuple(int(i) for i in np.argwhere(got != expected)[0])
            return (f"{run}: vector {where[0]}, element {list(where[1:])}: C {got[where]}, reference {expected[where]}; "
                    f"{int((got != expected).sum())} of {got.size} differ")  # fmt: skip
    return None if at == len(output) else f"{len(output) - at} bytes more than expected"


def kernel_files(table: Sequence[Run]) -> dict[str, str]:
    """The kernels' own sources and headers: name -> text."""
    return runtime_files(sorted({run.kernel.source for run in table}))


# ---------------------------------------------------------------- this machine


def write(folder: Path, table: Sequence[Run]) -> list[str]:
    """Writes everything that the program is made of. -> its .c files."""
    files = {**kernel_files(table), "cases.c": program(table)}
    for name in ("kernel_cases.h", "kernel_host.c"):
        files[name] = (HERE / "c" / name).read_text()
    for name, text in files.items():
        (folder / name).write_text(text)
    return sorted(name for name in files if name.endswith(".c"))


def build(folder: Path, sources: Sequence[str], command: Sequence[str], isas: Iterable[str] = HOST_ISAS) -> Path:
    """Compiles and links in `folder`; fails with the compiler's messages."""
    flags = [f for isa in isas for f in HOST_FLAGS[isa]]
    done = subprocess.run([*command, *flags, *sources, "-o", "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[:4000]}"
    return folder / "run"


def execute(binary: Path, table: Sequence[Run], timeout: float = 120) -> tuple[bytes, str | None]:
    """(output, None), or what it wrote and a description of how it failed."""
    done = subprocess.run([binary], input=feed(table), capture_output=True, timeout=timeout, check=False)
    if done.returncode == 0:
        return done.stdout, None
    messages = done.stderr.decode(errors="replace")
    reached = re.findall(r"^case (\d+)$", messages, re.M)
    reason = "\n".join(line for line in messages.splitlines() if not line.startswith("case "))
    return done.stdout, f"{table[int(reached[-1])] if reached else 'start'}: exit {done.returncode}\n{reason[:3000]}"
