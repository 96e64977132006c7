"""MLPerf Tiny's serial interface: the program on this machine with sanitizers, and in QEMU over a pty."""

from __future__ import annotations

import math
import os
import re
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import serial
from onnx import TensorProto, helper, numpy_helper

import edgeq
from edgeq.cli import main
from edgeq.device import Board, boards
from edgeq.device.emulator import emulate
from edgeq.device.image import build_firmware
from edgeq.emit import device_model, mlperf_task
from edgeq.emit.mlperf import TASKS, float_bounds
from edgeq.errors import BadInput
from edgeq.model import BuiltModel
from edgeq.numerics import LIMITS, quantize
from edgeq.quantize.lower import InputSpec
from edgeq.resources import DEVICE
from tests.c_models import STRICT, TESTS, shell, write
from tests.kernel_harness import SANITIZED
from tests.mlperf_runner import Runner, windows
from tests.shared import MODELS, loader, needs_models, onnx_file

C = TESTS / "c" / "mlperf"
APP = DEVICE / "mlperf_tiny"
INCLUDE = (f"-I{DEVICE}", f"-I{APP}")
READY = "m-ready"
DECLARED = {  # none is the grid of what is sent: every byte is rounded
    "ic01": InputSpec((-20, 270), "uint8"), "kws01": InputSpec((-125, 30)), "vww01": InputSpec((-0.1, 1.1)),
    "ad01": InputSpec((-70, 30), "uint8"),
}  # fmt: skip
each_task = pytest.mark.parametrize("task", TASKS)

# ---------------------------------------------------------------- small models of the tasks' shapes


def small_onnx(task: str) -> onnx.ModelProto:
    """Untrained. Of images it wants NCHW, as PyTorch's models do."""
    rng = np.random.default_rng(7)
    shape = TASKS[task].shape
    weights: list[onnx.TensorProto] = []

    def weight(name: str, gain: float, *size: int) -> str:
        values = rng.normal(0, gain / math.sqrt(math.prod(size[1:])), size).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    unit = 1 / float(np.sqrt(np.square(meant(task, sent(task, 20))).mean()))

    if task == "ad01":
        wanted = (1, 640)
        nodes = [helper.make_node("Gemm", ["x", weight("a", unit, 8, 640)], ["h"], transB=1),
                 helper.make_node("Relu", ["h"], ["r"]),
                 helper.make_node("Gemm", ["r", weight("b", 20, 640, 8)], ["y"], transB=1)]  # fmt: skip
    else:
        wanted = (1, shape[2] if len(shape) == 3 else 1, *shape[:2])
        rows = 7 if task == "kws01" else 8  # no input is left out
        kernel = [shape[0] // rows, shape[1] // 8]
        features = 4 * rows * (shape[1] // kernel[1])
        nodes = [helper.make_node("Conv", ["x", weight("a", unit, 4, wanted[1], *kernel)], ["h"], strides=kernel),
                 helper.make_node("Relu", ["h"], ["r"]), helper.make_node("Flatten", ["r"], ["f"]),
                 helper.make_node("Gemm", ["f", weight("b", 3, TASKS[task].outputs, features)], ["g"], transB=1),
                 helper.make_node("Softmax", ["g"], ["y"])]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, wanted)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, TASKS[task].outputs])
    graph = helper.make_graph(nodes, task, [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def sent(task: str, count: int, seed: int = 1) -> list[bytes]:
    """Inputs as the benchmark's files have them."""
    rng = np.random.default_rng(seed)
    size = (count, math.prod(TASKS[task].shape))
    if TASKS[task].real is None:
        return [x.tobytes() for x in rng.normal(-20, 12, size).astype("<f4")]
    return [x.tobytes() for x in rng.integers(0, 256, size, np.uint8)]


def meant(task: str, data: list[bytes]) -> np.ndarray:
    """What they stand for: (N, *shape) float32."""
    real = TASKS[task].real
    if real is None:
        return np.stack([np.frombuffer(x, "<f4") for x in data])
    return np.stack([real(np.arange(256, dtype=np.uint8))[np.frombuffer(x, np.uint8)] for x in data]).reshape(
        -1, *TASKS[task].shape
    )


def floats(task: str, data: list[bytes]) -> np.ndarray:
    """As the small model takes them."""
    x = meant(task, data)
    if task == "ad01":
        return x
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x[:, None]


def expected(task: str, outputs: np.ndarray, data: list[bytes]) -> np.ndarray:
    """What the device prints where the host library's outputs are these: (N, results)."""
    if task != "ad01":
        return outputs.reshape(len(data), -1)
    return ((outputs.astype(np.float64) - meant(task, data)) ** 2).mean(1, keepdims=True)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BuiltModel]:
    """small_onnx(task), compiled for a target."""
    folder = tmp_path_factory.mktemp("onnx")

    @cache
    def build(task: str, target: str = "generic", io_layout: str = "channels_last") -> BuiltModel:
        onnx.save(small_onnx(task), folder / "net.onnx")
        return edgeq.compile_model(folder / "net.onnx", floats(task, sent(task, 20)), target, inputs={"x": DECLARED[task]},
                                   io_layout=io_layout, run_check=False)  # fmt: skip

    return build


# ---------------------------------------------------------------- on this machine


class Pipes:
    """A process as a serial port."""

    def __init__(self, process: subprocess.Popen[bytes]):
        assert process.stdin and process.stdout
        self.write, self.out = process.stdin.write, process.stdout.fileno()

    def read(self, size: int) -> bytes:
        return os.read(self.out, size) if select.select([self.out], [], [], 0.1)[0] else b""


def compiled(folder: Path, model: BuiltModel, task: str, *flags: str) -> Path:
    """The program with a model, as an executable for this machine."""
    files = {name: text for name, text in model.files.items() if name.endswith((".c", ".h"))}
    files |= {
        "device_model.c": device_model(model.manifest, "host"),
        "mlperf_task.c": mlperf_task(model.manifest, task, 1_000_000),
    }
    write(folder, files)
    shell([*SANITIZED, "-DEDGEQ_HOOKS=1", *flags, f"-I{folder}", *INCLUDE, *folder.glob("*.c"), *APP.glob("*.c"),
           C / "port.c", "-o", folder / "dut"])  # fmt: skip
    return folder / "dut"


@contextmanager
def running(program: Path) -> Iterator[Runner]:
    """The program, after what it says at the start."""
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            port = Pipes(process)
            runner = Runner(port)
            said = "\n".join(line for line in runner.answer() if not line.startswith("e-"))
            assert re.fullmatch(r"m-timestamp-mode-performance\nm-lap-us-\d+\nm-init-done\nm-ready", said)
            yield runner
            process.stdin.close()  # type: ignore[union-attr]
            assert process.wait(10) == 0
            assert port.read(1) == b"", "said something that nobody asked for"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def kws(small: Callable[..., BuiltModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("kws"), small("kws01"), "kws01")


SESSION = """
> name | m-name-dut-[edgeq host]
> profile | m-profile-[ULPMark for tinyML Firmware V0.0.1] | m-model-[kws01]
> results | e-[no results: infer first]
> infer | e-[0 bytes loaded of 490]
> db load 10 | m-[Expecting 10 bytes]
> db 0001020304050607 |
> db 08ffaa | m-load-done
> db 00 | e-[no more bytes expected: db load N first]
> db print | m-buffer-00-01-02-03-04-05-06-07 | m-buffer-08-ff
> db print 2 | m-buffer-00-01
> db print 100 7 | m-buffer-07-08-ff
> db print 1 10 |
> db print x | e-[db print takes numbers]
> infer 1 0 | e-[10 bytes loaded of 490]
> db load | e-[db load takes 1 to 490 bytes]
> db load 0 | e-[db load takes 1 to 490 bytes]
> db load 491 | e-[db load takes 1 to 490 bytes]
> db load 99999999999999999999999 | e-[db load takes 1 to 490 bytes]
> db load 4x | e-[db load takes 1 to 490 bytes]
> db 00 | e-[no more bytes expected: db load N first]
> db load 2 | m-[Expecting 2 bytes]
> db abc | e-[db takes pairs of hex digits]
> db 0g | e-[db takes pairs of hex digits]
> db ABcd | m-load-done
> db print | m-buffer-ab-cd
> db | e-[db load N, db HEX or db print]
> infer 0 | e-[infer N W: N above 0, W of 0 or above]
> infer -1 | e-[infer N W: N above 0, W of 0 or above]
> infer 1 -1 | e-[infer N W: N above 0, W of 0 or above]
> infer 2147483648 | e-[infer N W: N above 0, W of 0 or above]
> nonsense here | e-[Unknown command: nonsense]
> named | e-[Unknown command: named]
>  |
>   name  | m-name-dut-[edgeq host]
"""


def test_every_command_is_answered(kws: Path) -> None:
    """Word for word; an answer to each, and nothing besides."""
    with running(kws) as dut:
        for line in SESSION.strip().splitlines():
            command, *answer = line[2:].split(" |")
            assert dut.send(command) == [*filter(None, (x.strip() for x in answer)), READY], command
        assert dut.send("help")[-1] == READY and len(dut.lines) == 9
        stamps = [int(re.fullmatch(r"m-lap-us-(\d+)", dut.send("timestamp")[0])[1]) for _ in range(2)]  # type: ignore[index]
        assert 0 < stamps[0] < stamps[1]


def test_noise_costs_one_answer(kws: Path) -> None:
    """Line ends, too long commands and bytes that are no ASCII; the runner could not decode the last in an answer."""
    with running(kws) as dut:
        assert dut.send("\r\n\0name")[0] == "m-name-dut-[edgeq host]"
        assert dut.send("x" * 128) == [f"e-[Unknown command: {'x' * 128}]", READY]
        assert dut.send("name " + "x" * 124) == ["e-[command longer than 128 bytes]", READY]
        assert dut.send("x" * 100_000) == ["e-[command longer than 128 bytes]", READY]
        dut.stream.write(bytes(range(0x7F, 0x100)) + b"%")
        assert dut.answer()[-2:] == ["e-[command longer than 128 bytes]", READY]
        dut.stream.write(b"\xff\x80%%")
        assert dut.answer() == ["e-[Unknown command: ??]", READY]
        assert dut.answer() == [READY]


def test_a_lost_byte_gives_no_result(kws: Path) -> None:
    """An input that arrived in part is refused; the next one is whole."""
    (data,) = sent("kws01", 1)
    with running(kws) as dut:
        dut.send("db load 490")
        dut.send(f"db {data[:31].hex()[:-1]}")
        for start in range(31, 490, 31):
            dut.send(f"db {data[start : start + 31].hex()}")
        assert dut.send("infer 1 0") == ["e-[459 bytes loaded of 490]", READY]
        dut.load(data)
        assert len(dut.infer(1, 0)["results"]) == 12


@each_task
def test_results_are_the_host_librarys(task: str, small: Callable[..., BuiltModel], tmp_path: Path) -> None:
    """All of them, however often the model ran before: a run may overwrite its input."""
    model, data = small(task), sent(task, 4, seed=2)
    want = expected(task, model.run(floats(task, data)), data)
    with running(compiled(tmp_path, model, task)) as dut:
        assert dut.identify()["model"] == task
        assert np.abs(np.array(dut.accuracy(data)) - want).max() <= (1e-9 if task == "ad01" else 0)
        again = dut.infer(5, 3)
        assert dut.lines[:3] == ["m-warmup-start-3", "m-warmup-done", "m-infer-start-5"]
        assert [re.sub(r"\d+", "N", line) for line in dut.lines[3:5]] == ["m-lap-us-N"] * 2
        assert dut.lines[5] == "m-infer-done" and dut.lines[6].startswith("m-results-[") and dut.lines[7:] == [READY]
        assert np.abs(again["results"] - want[-1]).max() <= 1e-9
        assert dut.send("results") == [*(x for x in dut.lines if "results" in x), READY]
        assert dut.send("infer 1")[0] == "m-warmup-start-10"
        dut.send("db load 1")
        assert dut.send("results") == ["e-[no results: infer first]", READY]


def test_a_fault_is_told_of_after_the_reset(small: Callable[..., BuiltModel], tmp_path: Path) -> None:
    with running(compiled(tmp_path, small("kws01"), "kws01", "-DFAULT_PC=0x1234abu")) as dut:
        assert dut.lines[0] == "e-[reset after a fault at 0x001234ab]"


def test_times_outlast_the_counter(small: Callable[..., BuiltModel], tmp_path: Path) -> None:
    """A counter that wraps every third reading. Within a window nothing reads it but the ends of the layers."""
    step = 0x60000000  # at 1 MHz
    model = small("kws01")
    layers = len(model.manifest["layers"])
    with running(compiled(tmp_path, model, "kws01", f"-DCOUNT_STEP={step}u")) as dut:
        dut.load(sent("kws01", 1)[0])
        assert dut.infer(50, 0)["elapsed"] == (50 * layers + 1) * step
        ends = [dut.infer(1, warmups)["end"] for warmups in (0, 0, 3)]
        assert ends[2] - ends[1] == ends[1] - ends[0] + 3 * layers * step


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("dtype", "zero_point", "scale"), [("int8", 76, 0.3794644670159209), ("int8", -128, 0.5), ("uint8", 3, 1e-3)]
)
def test_floats_become_what_the_host_makes_of_them(dtype: str, zero_point: int, scale: float, tmp_path: Path) -> None:
    """Those beside every tie too; and their text."""
    program = tmp_path / "numbers"
    bounds = ",".join(map(str, float_bounds(scale, zero_point, dtype)))
    shell([*SANITIZED, *INCLUDE, f"-DTYPE=DEVICE_{dtype.upper()}", f"-DBOUNDS={bounds}",
           C / "numbers.c", APP / "mlperf_task.c", APP / "text.c", "-o", program])  # fmt: skip
    low, high = LIMITS[dtype]
    ties = np.float32((np.arange(low - 3, high + 3) - zero_point + 0.5) * scale)
    x = np.concatenate([ties, np.nextafter(ties, np.float32(-1e9)), np.nextafter(ties, np.float32(1e9)),
                        np.random.default_rng(5).normal(0, 60 * scale, 500), [0, -0.0, 1e-42, 3e38, -3e38, np.inf, -np.inf],
                        np.arange(-4, 5) / 512]).astype("<f4")  # fmt: skip
    rows = [line.split() for line in shell([program], input=x.tobytes()).decode().splitlines()]
    stored = np.array([int(q) for q, _ in rows], np.uint8).view(dtype)
    np.testing.assert_array_equal(stored, quantize(x, scale, zero_point, dtype))
    for value, (_, text) in zip(x.tolist(), rows, strict=True):
        if abs(value) > 1e10:
            assert float(text) == math.copysign(math.inf, value)
        else:
            assert re.fullmatch(r"-?\d+\.\d{9}", text)
            assert abs(Fraction(text) - Fraction(value)) <= Fraction(1, 2 * 10**9)
    assert shell([program], input=np.float32("nan").tobytes()).split()[1] == b"nan"


@each_task
def test_bytes_are_rounded_half_up(task: str, small: Callable[..., BuiltModel]) -> None:
    """Each of the 256, as the float32 that the model was trained on, against rational arithmetic."""
    manifest = small(task).manifest
    text = mlperf_task(manifest, task, 1)
    if TASKS[task].real is None:
        assert ".bounds = bounds" in text and ".encoding" not in text
        return
    table = [int(n) for n in re.findall(r"\d+", re.search(r"encoding\[256\] = \{([^}]*)\}", text)[1])]  # type: ignore[index]
    port = manifest["inputs"][0]
    low, high = LIMITS[port["dtype"]]
    for byte, stored in enumerate(table):
        u = np.float32(byte)
        q = u - 256 if byte > 127 else u
        real = {"ic01": u, "vww01": u / np.float32(255), "kws01": (q - np.float32(83)) * np.float32(0.5847029)}[task]
        exact = math.floor(Fraction(float(real)) / Fraction(port["scale"]) + Fraction(1, 2)) + port["zero_point"]
        assert stored == min(max(exact, low), high) % 256


# ---------------------------------------------------------------- what is refused


def test_a_model_of_another_task_is_refused(small: Callable[..., BuiltModel]) -> None:
    ic = small("ic01").manifest
    with pytest.raises(BadInput, match=r"^net: input is 32x32x3 \(3072 elements\), kws01 sends 49x10 \(490\)\n.*vww01 .person"):
        mlperf_task(ic, "kws01", 1)
    with pytest.raises(BadInput, match=r"input is 3x32x32 .*32x32x3 \(3072\)\n  try: build without --io-layout onnx"):
        mlperf_task(small("ic01", io_layout="onnx").manifest, "ic01", 1)
    with pytest.raises(BadInput, match="output has 11 elements, ic01 takes 10"):
        mlperf_task({**ic, "outputs": [{**ic["outputs"][0], "shape": [1, 11]}]}, "ic01", 1)
    with pytest.raises(BadInput, match="has 2 inputs"):
        mlperf_task({**ic, "inputs": ic["inputs"] * 2}, "ic01", 1)
    with pytest.raises(BadInput, match=r"stores 0 to 1, ic01 sends 0 to 255: 254 of 256 values lie outside.*\n.*preprocessing"):
        divided = {"scale": 1 / 255, "zero_point": -128, "dtype": "int8"}
        mlperf_task({**ic, "inputs": [{**ic["inputs"][0], **divided}]}, "ic01", 1)


def test_the_command_says_what_it_lacks(small: Callable[..., BuiltModel], tmp_path: Path, capsys: Any) -> None:
    small("ic01").save(tmp_path / "net")
    command = ["firmware", str(tmp_path / "net"), "--board", "mps2_an386", "-o", str(tmp_path / "out")]
    for arguments, why in [
        (["--app", "mlperf-tiny"], "--mlperf-id"),
        (["--mlperf-id", "ic01"], "--mlperf-id"),
        (["--app", "mlperf-tiny", "--mlperf-id", "ad01"], "ad01 sends 5x128"),
    ]:
        assert main([*command, *arguments]) == 1
        assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the C


@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb -specs=nano.specs"])
def test_the_c_has_no_warnings(compiler: str, tmp_path: Path) -> None:
    for file in sorted(APP.glob("*.c")):
        shell([*compiler.split(), *STRICT, "-O2", *INCLUDE, "-c", file, "-o", tmp_path / "x.o"])


@pytest.mark.parametrize("board", ["mps2_an385", "nucleo_h743zi", "nucleo_u575zi", "mps3_an547", "rp2040_pico"])
def test_it_links_for_every_core(board: str, small: Callable[..., BuiltModel], tmp_path: Path) -> None:
    """With the bound on its stack, that of the compiler's floating-point functions too."""
    small("ad01").save(tmp_path / "net")
    made = build_firmware(tmp_path / "net", boards()[board], "mlperf-tiny", tmp_path / "out", "ad01")
    assert 100 < made.stack < 1000


def test_any_bytes_leave_it_well(tmp_path: Path) -> None:
    """libFuzzer with sanitizers; tests/c/mlperf/fuzz.c says what must hold."""
    program = tmp_path / "fuzz"
    sources = [C / "fuzz.c", *(f for f in APP.glob("*.c") if f.name != "main.c")]
    shell(["clang", *STRICT, "-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", *INCLUDE,
           *sources, "-o", program])  # fmt: skip
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "session").write_text(
        f"db load 32%db {'3f' * 32}%infer 3 2%results%db print 3 1%help%timestamp%name%"
    )
    (tmp_path / "words").write_text('"db "\n"load "\n"print "\n"infer "\n"profile%"\n"2147483648"\n"%"\n')
    shell([program, "-seed=1", "-runs=40000", "-max_len=400", f"-dict={tmp_path / 'words'}", tmp_path / "corpus"], cwd=tmp_path)


# ---------------------------------------------------------------- in QEMU


@contextmanager
def emulated(board: Board, elf: Path) -> Iterator[Runner]:
    """The firmware in QEMU, once nothing that it says by itself can be taken for an answer."""
    with emulate(board, elf) as path, serial.Serial(path, timeout=0.1) as port:
        runner = Runner(port, 60)  # other tests may leave QEMU little time
        port.write(b"started%")
        while not runner.answer()[0].startswith("e-"):  # what it says as it starts is heard, or not
            pass
        yield runner


def on(*boards_and_cores: str) -> pytest.MarkDecorator:
    """Board and target of a test: "board:target"."""
    pairs = [text.split(":") for text in boards_and_cores]
    return pytest.mark.parametrize(("board", "core"), pairs, ids=boards_and_cores)


def play(model: BuiltModel, task: str, data: list[bytes], x: np.ndarray, board: Board, folder: Path, times: int) -> None:
    """The benchmark's two modes: results equal the host library's, twice the inferences take twice the time."""
    want = expected(task, model.run(x), data)
    model.save(folder / "net")
    with emulated(board, build_firmware(folder / "net", board, "mlperf-tiny", folder / "firmware", task).files["elf"]) as dut:
        assert dut.identify() == {"name": f"edgeq {board.name}", "profile": "ULPMark for tinyML Firmware V0.0.1", "model": task}
        assert np.abs(np.array(dut.accuracy(data)) - want).max() <= (1e-9 if task == "ad01" else 0)
        rate = dut.performance(data[:1], times, 1)
        assert 2 * times / rate * 1e6 == pytest.approx(dut.infer(2 * times, 0)["elapsed"], abs=2, rel=0.001)


@on("mps2_an386:cortex-m4", "microbit:cortex-m0")
@pytest.mark.parametrize("task", ["kws01", "ad01"])
def test_the_runner_with_small_models(
    task: str, core: str, board: str, small: Callable[..., BuiltModel], tmp_path: Path
) -> None:
    data = sent(task, 3, seed=3)
    play(small(task, core), task, data, floats(task, data), boards()[board], tmp_path, 500)


@needs_models
@on("mps2_an386:cortex-m4", "mps2_an385:cortex-m0")
@each_task
def test_the_runner_with_the_benchmarks_models(task: str, core: str, board: str, tmp_path: Path) -> None:
    """On the benchmark's own bytes."""
    calib, dev = loader().load(task, "calib")["x"], loader().load(task, "dev")["x"][:2]
    model = edgeq.compile_model(onnx_file(task), calib, core, "net", run_check=False)
    stored = np.load(MODELS / f"{task}.npz")
    files = [stored["dev_spec"][0].astype("<f4")] if task == "ad01" else stored["dev_x"][:2]
    data = [part for file in files for part in (windows(file.tobytes()) if task == "ad01" else [file.tobytes()])]
    count = 1 if task == "vww01" else 2
    play(model, task, data[:count], dev[:count], boards()[board], tmp_path, 3)
