"""Other generators' C of the shared models, on the same emulated cores, with the same compiler and flags, counted the same way.

    python benchmarks/peers.py [MODEL ...] [--core cortex-m4 ...] [--optimize O2 O3]

emx-onnx-cgen (float C) and BakeNN (int8 C, portable and with CMSIS-NN) come from PyPI into benchmarks/.venv. The float code
gets the core's FPU where it has one. Their outputs are compared with onnxruntime's before they count for anything.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from common import ROOT, TASKS, Row, calibration, compiled, in_parallel, loader, model_file, report
from firmware import Run, build_and_run, measure

from edgeq.errors import EdgeqError
from edgeq.onnx_side.runner import Runner

PACKAGES = ("emx-onnx-cgen==1.4.0", "bakenn==1.0.0")
VENV = ROOT / "benchmarks" / ".venv"
BAKENN = Path(__file__).with_name("peer_bakenn.py")
SAMPLES = 3
LEVELS = ("O2", "O3")
CORES = ("cortex-m0", "cortex-m4")
FPU = {core: ("-mfloat-abi=hard", fpu) for core, fpu in (
    ("cortex-m4", "-mfpu=fpv4-sp-d16"), ("cortex-m7", "-mfpu=fpv5-sp-d16"), ("cortex-m33", "-mfpu=fpv5-sp-d16"))}  # fmt: skip
DSP = ("cortex-m4", "cortex-m7", "cortex-m33")  # what BakeNN's CMSIS-NN overlay is for

MAIN = """
#include "semihost.h"
{declare}
int main(void) {{
    while (semihost_read({input}, sizeof {input}) == sizeof {input}) {{
        COUNT_BEGIN();
        {call}
        COUNT_END();
        semihost_write({output}, sizeof {output});
    }}
    return 0;
}}
"""


@cache
def programs() -> Path:
    """The folder of the peers' interpreter and commands, in an environment of their own, made on first use."""
    stamp = VENV / "installed"
    if not stamp.exists() or stamp.read_text() != " ".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text(" ".join(PACKAGES))
    return VENV / "bin"


def generated(short: str, what: str, generate: Callable[[Path], None]) -> Path:
    """A folder of generated C, kept beside the peers' programs until model or generator change."""
    parts = [model_file(short).read_bytes(), calibration(short).tobytes(), " ".join(PACKAGES).encode()]
    parts += [inspect.getsource(generate).encode(), BAKENN.read_bytes()]
    folder = programs().parent / "generated" / f"{what}-{short}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        generate(folder)
        (folder / "done").touch()
    return folder


# ---------------------------------------------------------------- emx-onnx-cgen


@dataclass(frozen=True)
class FloatFunction:
    """emx-onnx-cgen's peer.c: its prototype and global buffers, the call, and the names of its input and output.

    fixed: the same with its arrays static, for the emulated boards, whose stack is 64 KiB. ram: their and the buffers' bytes.
    """

    folder: Path
    fixed: Path
    ram: int
    declare: str
    call: str
    input: str
    output: str


def emx(short: str) -> FloatFunction:
    """The model as float C."""

    def generate(folder: Path) -> None:
        command = [str(programs() / "emx-onnx-cgen"), "compile", str(model_file(short)), "peer.c", "--model-name", "peer",
                   "--large-weight-threshold", "0", "--large-temp-threshold", "0"]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        text = re.sub(r"^    (float \w+(\[\d+\])+;)$", r"    static \1", (folder / "peer.c").read_text(), flags=re.M)
        (folder / "fixed.c").write_text(text)

    folder = generated(short, "emx", generate)
    found = re.search(r"^void peer\((.*?)\) *\{", (folder / "peer.c").read_text(), re.M | re.S)
    assert found, "the entry point was not found"
    buffers = []
    for i, part in enumerate(found[1].split(",")):
        sizes = "".join(f"[{re.sub(r'[^0-9]', '', size)}]" for size in re.findall(r"\[([^\]]*)\]", part))
        buffers.append(f"static float b{i}{sizes};")
    names = [f"b{i}" for i in range(len(buffers))]
    declare = "\n".join([f"void peer({found[1]});", *buffers])
    arrays = re.findall(r"^    static float \w+([\[\]\d]+);$", (folder / "fixed.c").read_text(), re.M)
    sizes = [re.findall(r"\d+", text) for text in (*arrays, *(b.split(" ", 3)[2][2:] for b in buffers))]
    ram = 4 * sum(math.prod(map(int, size)) for size in sizes)
    return FloatFunction(folder, folder / "fixed.c", ram, declare, f"peer({', '.join(names)});", names[0], names[-1])


# ---------------------------------------------------------------- BakeNN


def bakenn(short: str) -> Path:
    """The model as int8 C: the folders that peer_bakenn.py leaves."""

    def generate(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(compiled(short).float_model)
        np.save(folder / "calib.npy", calibration(short))
        command = [str(programs() / "python"), str(BAKENN), "model.onnx", "calib.npy", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgeqError(f"BakeNN: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")

    return generated(short, "bakenn", generate)


def vendored_cmsis_nn() -> Path:
    """CMSIS-NN's folder in BakeNN's wheel, with cmsis_nn and cmsis_core in it."""
    return next(programs().parent.glob("lib/python*/site-packages/bakenn/backend/cmsis_nn/vendor"))


# ---------------------------------------------------------------- running them


@dataclass(frozen=True)
class Program:
    """A peer's C of a model. decode: the output's bytes -> floats, one sample after the other. ram: arena and buffers."""

    main: str
    sources: list[Path]
    include: list[Path]
    data: bytes
    decode: Callable[[bytes], np.ndarray]
    ram: int = 0
    defines: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def float_program(short: str, core: str) -> Program:
    """emx-onnx-cgen's."""
    c = emx(short)
    main = MAIN.format(declare=c.declare, call=c.call, input=c.input, output=c.output)
    data = calibration(short)[:SAMPLES].tobytes()
    options = "-std=gnu11", *FPU.get(core, ()), "-lm"
    return Program(main, [c.fixed], [], data, lambda b: np.frombuffer(b, np.float32), c.ram, options=options)


def bakenn_program(short: str, core: str, kind: str) -> Program:
    """BakeNN's: portable, static (its specialised C) or cmsis_nn."""
    if kind == "cmsis_nn" and core not in DSP:
        raise EdgeqError("for Armv7E-M only")
    root = bakenn(short)
    folder = root / ("static_any" if kind == "static" and core not in DSP else kind)
    header = (folder / "bknn_peer.h").read_text()
    macro = {name: float.fromhex(v.rstrip("uf")) if "x" in v else int(v.rstrip("u"))
             for name, v in re.findall(r"#define BKNN_PEER_(\w+) (-?[\dx][^ \n]*)$", header, re.M)}  # fmt: skip
    sizes = [int(macro[name]) for name in ("ARENA_SIZE", "INPUT_SIZE", "OUTPUT_SIZE")]
    declare = f"""#include "bknn_peer.h"
        static uint8_t arena[{sizes[0]}] __attribute__((aligned(16)));
        static int8_t in[{sizes[1]}], out[{sizes[2]}];"""
    main = MAIN.format(declare=declare, call="bknn_peer_infer(arena, in, out);", input="in", output="out")
    data = (root / "input").read_bytes()[: SAMPLES * sizes[1]]
    vendor = folder / "third_party"
    include = [folder, vendor / "cmsis_nn" / "Include", vendor / "cmsis_core" / "Include"]

    def decode(output: bytes) -> np.ndarray:
        q = np.frombuffer(output, np.int8).astype(np.float32)
        return (q - macro["OUTPUT_ZERO_POINT"]) * np.float32(macro["OUTPUT_SCALE"])

    defines = {"BAKENN_CMSIS_NN_BUILTIN_MEMORY": "1"}
    return Program(main, list(folder.rglob("*.c")), include, data, decode, sum(sizes), defines, ("-std=gnu11",))


PEERS: dict[str, Callable[[str, str], Program]] = {
    "BakeNN + CMSIS-NN": lambda short, core: bakenn_program(short, core, "cmsis_nn"),
    "BakeNN static": lambda short, core: bakenn_program(short, core, "static"),
    "BakeNN portable": lambda short, core: bakenn_program(short, core, "portable"),
    "emx-onnx-cgen float": float_program,
}


def float_outputs(short: str) -> np.ndarray:
    """onnxruntime's, (SAMPLES, outputs)."""
    model = onnx.load(model_file(short))
    name = model.graph.output[0].name
    runner = Runner(model, [name])
    return np.stack([runner({next(iter(runner.inputs)): x[None]})[name].ravel() for x in calibration(short)[:SAMPLES]])


def likeness(exact: np.ndarray, got: np.ndarray) -> tuple[float, str]:
    """(the least cosine between a sample's outputs, samples with the same largest output), both (N, outputs)."""
    cosine = (exact * got).sum(1) / (np.linalg.norm(exact, axis=1) * np.linalg.norm(got, axis=1) + 1e-30)
    return float(cosine.min()), f"{(exact.argmax(1) == got.argmax(1)).sum()}/{len(exact)}"


def run_peer(short: str, core: str, level: str, peer: str) -> Row:
    """One peer's figures. Raises EdgeqError where it cannot run."""
    program = PEERS[peer](short, core)
    with tempfile.TemporaryDirectory(prefix="edgeq_peer_") as name:
        main = Path(name) / "main.c"
        main.write_text(program.main)
        run = build_and_run(core, [main, *program.sources], program.include, program.data, program.defines,
                            f"-{level}", program.options)  # fmt: skip
    exact = float_outputs(short)
    got = program.decode(run.output).reshape(exact.shape)
    return figures(run, core, program.ram, *likeness(exact, got))


def run_edgeq(short: str, core: str, level: str) -> Row:
    """edgeq's figures, as a peer's."""
    model, x = compiled(short), calibration(short)[:SAMPLES]
    measured = measure(model, core, x[0], f"-{level}")
    exact = float_outputs(short)
    return figures(measured.run, core, measured.plan.arena_bytes, *likeness(exact, model.run_reference(x).reshape(exact.shape)))


def figures(run: Run, core: str, ram: int, cosine: float, top: str) -> Row:
    """The columns that are measured."""
    counts = run.counts[0]
    return {"instructions M": counts.instructions / 1e6, "ratio": "-",
            "model cycles M": counts.cycles / 1e6 if core == "cortex-m4" else "-", "flash bytes": run.flash,
            "RAM bytes": ram, "stack bytes": run.stack, "cosine": f"{cosine:.4f}", "same top-1": top}  # fmt: skip


def rows(short: str, core: str, level: str) -> Iterator[Row]:
    """edgeq, then the peers, with how many times edgeq's instructions they take."""
    start = {"core": core, "flags": f"-{level}", "model": short}
    own = run_edgeq(short, core, level)
    yield {**start, "program": "edgeq", **own}
    for peer in PEERS:
        try:
            found = run_peer(short, core, level, peer)
            found["ratio"] = f"{found['instructions M'] / own['instructions M']:.2f}"
        except EdgeqError as e:
            found = {**dict.fromkeys(own, "-"), "instructions M": str(e).splitlines()[0][:80]}
        yield {**start, "program": peer, **found}


def generate_all(short: str) -> None:
    """Leaves generated C for workers to find. What fails will fail again, and be reported, where it is needed."""
    emx(short)
    with suppress(EdgeqError):
        bakenn(short)


def model_rows(task: tuple[str, str, str]) -> list[Row]:
    """rows, for a worker."""
    return list(rows(*task))


def main() -> None:
    """Prints a row for each core, model and program."""
    parser = argparse.ArgumentParser(description="Other generators' C of the shared models on emulated cores.")
    parser.add_argument("models", nargs="*", default=list(TASKS))
    parser.add_argument("--core", nargs="*", default=list(CORES), help="edgeq targets")
    parser.add_argument("--optimize", nargs="*", default=list(LEVELS), help="O2, O3, Os")
    args = parser.parse_args()
    loader()
    programs()
    in_parallel(generate_all, args.models)
    tasks = [(short, core, level) for core in args.core for level in args.optimize for short in args.models]
    found = [row for part in in_parallel(model_rows, tasks) for row in part]
    notes = ("ratio: to edgeq's instructions. RAM: arena, or static arrays, and the caller's buffers. cosine and top-1: "
             f"against onnxruntime, on {SAMPLES} samples. Cycles: a Cortex-M4 model, derived from instructions.")  # fmt: skip
    report("peers", "Generators beside edgeq: QEMU, gcc, instructions of one inference", found, notes)


if __name__ == "__main__":
    main()
