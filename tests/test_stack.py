"""The static bound on the stack: by hand, and against what runs on emulated cores use."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeq import ops
from edgeq.device import boards, compile_firmware, link_firmware
from edgeq.device.stack import Program
from edgeq.errors import BuildFailed
from edgeq.model import BuiltModel
from edgeq.resources import KERNELS
from edgeq.targets import target
from tests.devices import PROGRAM, built, device
from tests.shared import needs_models

CORES = {"cortex-m0": "mps2_an385", "cortex-m3": "mps2_an385", "cortex-m4": "mps2_an386", "cortex-m7": "mps2_an500",
         "cortex-m33": "mps2_an505", "cortex-m55": "mps3_an547"}  # fmt: skip

EXTRA = ("-fstack-usage", "-Wl,--emit-relocs")
BEFORE = """#define F __attribute__((noinline)) int f(int x)
#define NAKED __attribute__((naked, noinline)) int f(int x __attribute__((unused)))
extern volatile int v;
volatile int v;
int f(int);
"""


@pytest.mark.parametrize(
    ("name", "optimize"),
    [
        *((name, "-O2") for name in ("digits", "zoo")),
        ("digits", "-Os"),
        *(pytest.param(n, "-O2", marks=needs_models) for n in ("ic01", "vww01")),
    ],
)
@pytest.mark.parametrize("core", CORES)
def test_the_bound_is_not_below_what_a_run_uses_nor_far_above(core: str, name: str, optimize: str, tmp_path: Path) -> None:
    board, folder = boards()[CORES[core]], built(name, core)
    elf = link_firmware(folder, board, PROGRAM, tmp_path / "x.elf", optimize, extra=[*EXTRA, "-dumpdir", f"{tmp_path}/"])
    bound = Program(elf, tmp_path.glob("*.su"), BuiltModel.open(folder).files).bound(f"{name}_run")
    with device(board, elf) as d:
        used = d.number(b"s")
    assert used <= bound.size <= used + 32, bound.path
    assert sum(held for _, held in bound.path) == bound.size


@pytest.mark.parametrize("optimize", ["-O2", "-Os"])
@pytest.mark.parametrize("core", CORES)
def test_every_kernel_has_a_bound(core: str, optimize: str, tmp_path: Path) -> None:
    isa = target(core).isa
    wanted = {k.source for op in ops.modules() for k in ops.kernels(op) if k.isa in isa}
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    sources = [tmp_path / "main.c", *(KERNELS / name for name in sorted(wanted))]
    elf = compile_firmware(boards()[CORES[core]], target(core), sources, [KERNELS], None, optimize, tmp_path / "x.elf",
                           [*EXTRA, "-dumpdir", f"{tmp_path}/", "-Wl,--no-gc-sections"])  # fmt: skip
    found = Program(elf, tmp_path.glob("*.su"), wanted)
    kernels = [f.name for f in found.functions.values() if f.name.startswith("edgeq_") and not f.file]
    assert len(kernels) > len(ops.modules()) // 2
    assert all(0 <= found.bound(name).size < 1024 for name in kernels)


def program(folder: Path, code: str, core: str = "cortex-m4", closed: bool = False) -> Program:
    """A program of a few lines, whose main calls f."""
    source = folder / "small.c"
    source.write_text(f"{BEFORE}{code}\nint main(void) {{ return f(v); }}\n")
    elf = compile_firmware(boards()[CORES[core]], target(core), [source], out=folder / "small.elf",
                           extra=[*EXTRA, "-dumpdir", f"{folder}/"])  # fmt: skip
    return Program(elf, folder.glob("*.su"), ["small.c"] if closed else ())


def naked(assembly: str) -> str:
    """f in assembly."""
    return f'NAKED {{ __asm(".syntax unified; {assembly}"); }}'


UNBOUNDED = {
    "calls itself": "F { volatile int a[4]; a[x] = x; return x ? f(x - 1) * v + a[x] : 0; }",
    "calls itself through g": """int g(int x);
        F { return x ? g(x - 1) * v + v : 0; }
        __attribute__((noinline)) int g(int x) { return x ? f(x - 2) * v - v : 1; }""",
    "calls through a pointer": "int (*volatile p)(int); F { return p(x) + v; }",
    r"calls through a pointer \(bx": "int (*volatile p)(int); F { return p(x); }",
    "has a frame whose size is not fixed": "F { volatile int a[x]; a[v] = x; return a[0]; }",
    "reaches .* with stacks of different depths": naked("1: push {r0}; b 1b"),
    "sets the stack pointer": naked("sub sp, sp, r0; bx lr"),
    "returns at .* with 4 bytes still on the stack": naked("push {r4}; adr r1, 1f; bx r1; push {r5}; 1: pop {r4}; bx lr"),
    "moves the stack pointer on a condition": naked("cmp r0, #0; it eq; pusheq {r4}; bx lr"),
    "jumps to computed addresses": naked("cmp r0, #3; bls 1f; push {r4}; tbb [pc, r0]; 1: tbb [pc, r0]"),
    r"calls through a pointer \(bx r0": naked("push {r4}; bx r0"),
}


@pytest.mark.parametrize("message", UNBOUNDED)
def test_what_has_no_bound_is_an_error_that_names_the_function(message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=f"function f: {message}"):
        program(tmp_path, UNBOUNDED[message]).bound("main")


BOUNDED = {
    "a leaf": ("F { return x + 1; }", 0),
    "pushes and pops": (naked("push {r4-r7, lr}; sub sp, #20; cmp r0, #0; beq 1f; str r0, [sp, #-8]!; ldr r0, [sp], #8;"
                              "1: add sp, #20; pop {r4-r7, pc}"), 48),
    "in C": ('F { __asm volatile("push {r0-r3}\\n pop {r0-r3}" ::: "memory"); return x; }', 16),
    "two ways": (naked("cmp r0, #0; beq 1f; push {r1}; pop {r1}; bx lr; 1: push {r1-r3}; pop {r1-r3}; bx lr"), 12),
    "a conditional return": (naked("push {r4, lr}; cmp r0, #0; it eq; popeq {r4, pc}; push {r5}; pop {r5}; pop {r4, pc}"), 12),
    "a jump from adr": (naked("push {r4, lr}; adr r4, 1f; orr r4, r4, #1; bx r4; .balign 4;"
                              "1: push {r0}; pop {r0}; pop {r4, pc}"), 12),
    "a jump into steps": (naked("push {r4, lr}; lsls r0, #1; add pc, r0; nop; push {r0}; pop {r0}; pop {r4, pc}"), 12),
    "a table": (naked("push {r4, lr}; tbb [pc, r0]; 1: .byte (2f - 1b) / 2, (3f - 1b) / 2;"
                      "2: push {r0-r3}; pop {r0-r3}; 3: pop {r4, pc}"), 24),
}  # fmt: skip


@pytest.mark.parametrize("case", BOUNDED)
def test_bounds_equal_those_by_hand(case: str, tmp_path: Path) -> None:
    code, expected = BOUNDED[case]
    assert program(tmp_path, code).bound("f").size == expected


def test_a_pointer_to_functions_of_the_same_file_is_followed_to_the_deepest(tmp_path: Path) -> None:
    code = """__attribute__((noinline)) static int a(int x) { volatile int w[10]; w[x] = x; return w[v]; }
    __attribute__((noinline)) static int b(int x) { volatile int w[50]; w[x] = x; return w[v]; }
    F { return (v ? a : b)(x) + v; }"""
    bound = program(tmp_path, code, closed=True).bound("f")
    assert bound.path[-1][0] == "b" and 200 <= bound.size <= 240


def test_functions_of_the_compilers_library_are_followed(tmp_path: Path) -> None:
    code = """struct large { int a[100]; } to, from;
    F { to = from; return x / v; }"""
    found = program(tmp_path, code, "cortex-m0")
    found.bound("main")
    names = {found.functions[a].name for a in found.bounds if a in found.functions}
    assert {"memcpy", "__divsi3"} <= names or {"memcpy", "__aeabi_idiv"} <= names
    assert found.bound("f").size > found.bound("memcpy").size > 0
