"""Kernels and whole models as real Arm code in QEMU, byte for byte equal to the reference; and the runner itself.

A missing compiler or emulator is a failure: `make tools` installs them.
"""

from __future__ import annotations

import re
import subprocess
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgeq
from edgeq import ops
from edgeq.check import stress_inputs
from edgeq.device import Board, boards, compile_firmware, emulated, execute, run
from edgeq.emit import emit
from edgeq.errors import BadInput, BuildFailed, DeviceError, DoesNotFit
from edgeq.ir import IntGraph
from edgeq.plan import make_plan
from edgeq.reference import execute as reference
from edgeq.targets import target
from tests import kernel_harness as harness
from tests.c_models import DIGITS, MODELS, app, feed, sources, write
from tests.shared import loader, needs_models, onnx_file

RUNS = [  # (target, board)
    ("cortex-m0", "mps2_an385"), ("cortex-m3", "mps2_an385"), ("cortex-m4", "mps2_an386"), ("cortex-m7", "mps2_an500"),
    ("cortex-m33", "mps2_an505"), ("cortex-m55", "mps3_an547"), ("cortex-m", "mps2_an386"), ("cortex-m", "mps3_an547"),
]  # fmt: skip
each_core = pytest.mark.parametrize(("core", "board"), [(core, boards()[name]) for core, name in RUNS],
                                    ids=[f"{core}-{name}" for core, name in RUNS])  # fmt: skip
each_board = pytest.mark.parametrize("board", emulated().values(), ids=emulated())
CALIB = {"digits": (DIGITS / "digits.onnx", DIGITS / "calib.npz"), "zoo": (MODELS / "zoo_legacy.onnx", "random"),
         "two": (MODELS / "two_in_two_out_legacy.onnx", "random")}  # fmt: skip
STDIO = """#include "semihost.h"
#define fread(to, size, count, file) semihost_read(to, count)
#define fwrite(from, size, count, file) semihost_write(from, count)
"""


def firmware(folder: Path, board: Board, code: str, core: str | None = None, **defines: str) -> Path:
    """An ELF of one C file."""
    (folder / "main.c").write_text(f'#include "semihost.h"\n{code}')
    return compile_firmware(board, target(core or board.core), [folder / "main.c"], defines=defines, out=folder / "main.elf")


# ---------------------------------------------------------------- kernels and models


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/c/alignment.c, compiled."""
    library = tmp_path_factory.mktemp("plugin") / "alignment.so"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden",
                    harness.HERE / "c" / "alignment.c", "-o", library], check=True)  # fmt: skip
    return library


def run_aligned(board: Board, core: str, elf: Path, data: bytes, plugin: Path) -> bytes:
    """As run; fails where the code makes an access on which the real core would fault."""
    found = elf.with_suffix(".misaligned")
    strict = "on" if core in ("cortex-m0", "cortex-m") else "off"
    output = execute(board, elf, data, 300, ("-plugin", f"{plugin},out={found},strict={strict}")).output
    assert not found.read_text(), f"misaligned (pc, address, bytes) in {elf}:\n{found.read_text()}"
    return output


@each_core
def test_kernels_equal_reference(core: str, board: Board, plugin: Path, tmp_path: Path) -> None:
    """Every case of every operator, by every kernel that the core can run."""
    table = [r for op in ops.modules() if ops.kernels(op) for r in harness.runs(op, target(core).isa)]
    files = {**harness.kernel_files(table), "cases.c": harness.program(table)}
    files |= {name: (harness.HERE / "c" / name).read_text() for name in ("kernel_cases.h", "kernel_device.c")}
    write(tmp_path, files)
    elf = compile_firmware(board, target(core), sources(tmp_path), [tmp_path], out=tmp_path / "cases.elf")
    try:
        output = run_aligned(board, core, elf, harness.feed(table), plugin)
    except DeviceError as e:
        reached = re.findall(r"case (0x\w+)", str(e))
        raise AssertionError(f"{table[int(reached[-1], 16)] if reached else 'start'}: {e}") from e
    assert (difference := harness.compare(table, output)) is None, difference


@each_core
def test_models_equal_reference(core: str, board: Board, plugin: Path, tmp_path: Path) -> None:
    """Three models in one firmware, on real, random and saturating inputs."""
    models = [edgeq.compile_model(*CALIB[name], name=name, target=core, run_check=False) for name in CALIB]
    inputs = [{k: v[:24] for k, v in stress_inputs(m.graph, random=20, seed=3).items()} for m in models]
    real = np.load(DIGITS / "test.npz")["image"][:8].astype(np.float32)
    inputs[0]["image"][-8:] = models[0].stored(real)["image"]
    for m in models:
        write(tmp_path, {n: text for n, text in m.files.items() if n.endswith((".c", ".h"))})
    write(tmp_path, {"app.c": app(models).replace("#include <stdio.h>", STDIO)})
    elf = compile_firmware(board, target(core), sources(tmp_path), [tmp_path], out=tmp_path / "app.elf")
    got = np.frombuffer(run_aligned(board, core, elf, feed(models, inputs), plugin), np.int8)
    outs = [reference(m.graph, x) for m, x in zip(models, inputs, strict=True)]
    arrays = [o[t.name] for m, o in zip(models, outs, strict=True) for t in m.graph.outputs.values()]
    count = len(inputs[0]["image"])
    np.testing.assert_array_equal(got, np.concatenate([a.reshape(count, -1) for a in arrays], axis=1).ravel())


SHARED_APP = """#include "semihost.h"
#include "net.h"
static int8_t arena[NET_ARENA_SIZE] __attribute__((aligned(16)));
int main(void) {
    while (semihost_read(net_input(arena), NET_INPUT_SIZE) == NET_INPUT_SIZE) {
        net_run(arena);
        semihost_write(net_output(arena), NET_OUTPUT_SIZE);
    }
    return 0;
}
"""


@cache
def shared_model(task: str) -> tuple[IntGraph, bytes, np.ndarray]:
    """A MLPerf Tiny model's graph; calibration and saturating inputs; what the reference makes of them."""
    x = loader().load(task, "calib")["x"]
    model = edgeq.compile_model(onnx_file(task), x, run_check=False)
    ((name, data),) = model.stored(x[:2]).items()
    data = np.concatenate([data, stress_inputs(model.graph, random=1)[name]])
    return model.graph, data.tobytes(), next(iter(reference(model.graph, {name: data}).values()))


@needs_models
@pytest.mark.parametrize("optimize", ["-O2", "-Os", "-O3"])
@pytest.mark.parametrize("task", ["ic01", "kws01", "vww01", "ad01", "sww01"])
@each_core
def test_shared_models_equal_reference(core: str, board: Board, task: str, optimize: str, tmp_path: Path) -> None:
    """The MLPerf Tiny models with the kernels that the core's target chooses; the level changes no byte."""
    if optimize != "-O2" and task not in ("kws01", "sww01"):
        pytest.skip("levels differ in code, not in models: two that use most kernels are enough")
    graph, data, expected = shared_model(task)
    write(tmp_path, dict(emit(make_plan(graph, target(core)), "net").files) | {"app.c": SHARED_APP})
    elf = compile_firmware(board, target(core), sources(tmp_path), [tmp_path], optimize=optimize, out=tmp_path / "app.elf")
    np.testing.assert_array_equal(np.frombuffer(run(board, elf, data, 120), np.int8), expected.ravel())


@pytest.mark.parametrize(
    ("core", "board", "load", "allowed"),
    [
        ("cortex-m0", "mps2_an385", "ldr r1, [r0]", False),
        ("cortex-m4", "mps2_an386", "ldr r1, [r0]", True),
        ("cortex-m55", "mps3_an547", "ldr r1, [r0]", True),
        ("cortex-m55", "mps3_an547", "vldrw.u32 q0, [r0]", False),
    ],
)
def test_a_misaligned_access_is_found(core: str, board: str, load: str, allowed: bool, plugin: Path, tmp_path: Path) -> None:
    code = f"""static uint8_t data[24];
    int main(void) {{ __asm volatile("mov r0, %0; {load}" :: "r"(data + 2) : "r0", "r1"); return 0; }}"""
    elf = firmware(tmp_path, boards()[board], code, core)
    found = ""
    try:
        run_aligned(boards()[board], core, elf, b"", plugin)
    except AssertionError as e:
        found = str(e)
    assert ("misaligned" in found) != allowed


# ---------------------------------------------------------------- the runner


@each_board
def test_memory_is_there_to_the_last_word(board: Board, tmp_path: Path) -> None:
    code = """int main(void) {
        volatile uint32_t *ram = (volatile uint32_t *)RAM_LAST;
        *ram = *(const volatile uint32_t *)FLASH_LAST + 41;
        return *ram == *(const volatile uint32_t *)FLASH_LAST + 41 ? 0 : 1;
    }"""
    ends = {
        f"{name}_LAST": f"{region.origin + region.size - 4:#x}U"
        for name, region in (("RAM", board.ram), ("FLASH", board.flash))
    }
    execute(board, firmware(tmp_path, board, code, **ends))


@each_board
def test_initialised_data_input_output_and_stack(board: Board, tmp_path: Path) -> None:
    code = """
    static uint8_t data[300] = {7, 8}, zero[300];
    int main(void) {
        volatile uint8_t deep[DEEP];
        const uint32_t n = semihost_read(data + 2, sizeof data - 2);
        for (uint32_t i = 0; i < sizeof deep; i++) {
            deep[i] = (uint8_t)i;
        }
        semihost_print("hello\\n");
        semihost_write(zero, 1);
        return semihost_write(data, n + 2) == n + 2 && deep[5] == 5 ? 0 : 1;
    }"""
    deep = board.stack.size // 2
    for core in board.targets:
        done = execute(board, firmware(tmp_path, board, code, core, DEEP=str(deep)), bytes(range(200)))
        assert done.output == bytes([0, 7, 8, *range(200)])
        assert done.console.startswith("hello\n")
        assert deep < done.stack < deep + 200


FAULTS = {
    "undefined": ('__asm volatile("udf #1");', "undefined instruction", {"cfsr": 0x10000, "exception": 3}),
    "bus": ("*(volatile uint32_t *)0xF8000000U = 1;", "bus error", {"bfar": 0xF8000000, "cfsr": 0x8200}),
    "stack": ("return deeper(1);", "stack overflow", {"hfsr": 0x40000000}),
}


@each_board
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_its_registers(board: Board, fault: str, tmp_path: Path) -> None:
    if fault == "bus" and board.name in ("lm3s6965evb", "microbit"):
        pytest.skip("QEMU's model of the machine answers at every address")
    code, reason, registers = FAULTS[fault]
    around = """__attribute__((noinline)) int deeper(volatile int x) {
        volatile int wide[100];
        wide[x] = x;
        return deeper(x + wide[x] - 1) + wide[x];
    }
    int main(void) { semihost_print("so far\\n"); %s return 0; }"""
    elf = firmware(tmp_path, board, around % code)
    with pytest.raises(DeviceError) as caught:
        run(board, elf)
    message = str(caught.value)
    assert f"{board.name}: the core faulted" in message and "last output: so far" in message
    values = {name: int(value, 16) for name, value in re.findall(r"(\w+)=(0x\w+)", message)}
    if board.core == "cortex-m0":  # has no fault registers, and one fault exception
        reason, registers = (reason if fault == "stack" else "no reason given"), {"exception": 3, "cfsr": 0, "bfar": 0}
    assert reason in message
    assert {name: values[name] for name in registers} == registers
    in_flash = board.flash.origin <= values["pc"] < board.flash.origin + board.flash.size
    assert in_flash or fault == "stack"


def test_armv6m_code_reports_a_fault_too(tmp_path: Path) -> None:
    board = boards()["mps2_an385"]
    elf = firmware(tmp_path, board, 'int main(void) { __asm volatile("udf #1"); return 0; }', "cortex-m0")
    with pytest.raises(DeviceError, match=r"undefined instruction.*pc=0x"):
        run(board, elf)


def processes(mark: str) -> list[str]:
    """Command lines of running processes that contain `mark`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if mark in line]


def test_an_endless_loop_is_ended(tmp_path: Path) -> None:
    board = boards()["mps2_an386"]
    elf = firmware(tmp_path, board, 'int main(void) { semihost_print("waiting\\n"); for (;;) { __asm volatile("nop"); } }')
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"mps2_an386: did not finish in 0\.5 s; last output: waiting"):
        run(board, elf, timeout=0.5)
    assert time.monotonic() - start < 5
    assert processes(str(elf)) == []


def test_an_exit_status_is_an_error(tmp_path: Path) -> None:
    board = boards()["mps2_an386"]
    with pytest.raises(DeviceError, match="exit status 3; last output: stack"):
        run(board, firmware(tmp_path, board, "int main(void) { return 3; }"))


def test_what_cannot_be_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = boards()["mps2_an386"]
    with pytest.raises(BuildFailed, match=r"main\.c:2:.*error.*nothing"):
        firmware(tmp_path, board, "int main(void) { return nothing; }")
    with pytest.raises(BuildFailed, match="undefined reference to `missing'"):
        firmware(tmp_path, board, "int missing(void); int main(void) { return missing(); }")
    with pytest.raises(DoesNotFit, match=r"mps2_an386.* bytes of RAM too many"):
        firmware(tmp_path, board, "char large[5 << 20]; int main(void) { return large[semihost_read(large, 1)]; }")
    with pytest.raises(BadInput, match="does not run code for cortex-m55"):
        firmware(tmp_path, board, "", "cortex-m55")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildFailed, match="apt-get install gcc-arm-none-eabi"):
        firmware(tmp_path, board, "int main(void) { return 0; }")
    with pytest.raises(DeviceError, match="apt-get install qemu-system-arm"):
        run(board, tmp_path / "main.elf")
