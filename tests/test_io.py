"""Inputs and outputs outside the arena: in the caller's buffers, or pushed by rows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeq
from edgeq.cli import main
from edgeq.errors import BadInput, DoesNotFit, UnsupportedModel
from edgeq.model import SharedModels
from edgeq.report_memory import memory_map
from edgeq.resources import ROOT

DIGITS, MODELS = ROOT / "examples" / "digits", ROOT / "tests" / "models"
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
ROWS_APP = r"""
#include <stdio.h>
#include <string.h>
#include "tall.h"
static int8_t arena[TALL_ARENA_SIZE] __attribute__((aligned(TALL_ARENA_ALIGN)));
static int8_t row[TALL_ROW_SIZE + 1]; /* at an odd address */
int main(void) {
    memset(arena, 0x55, sizeof(arena));
    tall_start(arena);
    for (int image = 0; image < 3; image++) {
        for (int y = 0; y < TALL_ROWS; y++) {
            if (fread(row + 1, 1, TALL_ROW_SIZE, stdin) != TALL_ROW_SIZE) { return 1; }
            const int done = tall_push_row(arena, row + 1);
            memset(row, 0x77, sizeof(row));
            if (done != (y == TALL_ROWS - 1)) { return 2; }
            if (image == 0 && y == 3) { /* given up */
                tall_start(arena);
                break;
            }
        }
        if (image > 0) { fwrite(tall_output(arena), 1, TALL_OUTPUT_SIZE, stdout); }
    }
    return 0;
}
"""


def save(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], x: tuple[int, ...], y: tuple[int, ...]
) -> Path:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("y", y))]
    initializers = [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, path.stem, ports[:1], ports[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def tall(path: Path) -> Path:
    """Three convolutions with a branch that is added, over a tall image; the last rows of it are not needed."""
    rng = np.random.default_rng(0)
    shapes = {"w0": (8, 4, 3, 3), "w1": (8, 8, 3, 3), "w2": (4, 8, 3, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "w1"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["y"], strides=[4, 1]),
    ]
    return save(path, nodes, {n: rng.normal(0, 0.3, s) for n, s in shapes.items()}, (1, 4, 32, 5), (1, 4, 8, 5))


@pytest.mark.parametrize("optimize", ["speed", "ram"])
@pytest.mark.parametrize("io", ["external", "rows"])
def test_outside_the_arena_every_bit_is_the_same(io: str, optimize: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32)
    inside = edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, run_check=False)
    outside = edgeq.compile_model(tmp_path / "tall.onnx", x, io=io, optimize=optimize)  # which checks the C
    np.testing.assert_array_equal(outside.run(x), inside.run(x))
    assert outside.manifest["arena_bytes"] <= inside.manifest["arena_bytes"]
    np.testing.assert_array_equal(outside.run_reference(x), inside.run(x))
    assert outside.evaluate(x).sqnr_db == inside.evaluate(x).sqnr_db


def test_inputs_are_not_written_to(tmp_path: Path) -> None:
    model = edgeq.compile_model(MODELS / "two_in_two_out_legacy.onnx", "random", name="two", io="external")
    library = model.library
    for name, memory in library.memory.items():
        memory[:] = 3 if name != "arena" else 0
    before = {p["memory"]: library.memory[p["memory"]].copy() for p in model.manifest["inputs"]}
    library.function(*library.pointers)
    for name, memory in before.items():
        np.testing.assert_array_equal(library.memory[name], memory)


def test_rows_are_pushed(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32)
    model = edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, io="rows", optimize="ram")
    folder = model.save(tmp_path / "tall")
    (tmp_path / "app.c").write_text(ROWS_APP)
    sources = [tmp_path / "app.c", *sorted(folder.glob("*.c"))]
    flags = [*WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{folder}"]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(tmp_path / "app")], check=True)
    q = model.stored(x[:2])["x"]
    row = q[0, 0].nbytes
    done = subprocess.run(
        [str(tmp_path / "app")], input=q[0].tobytes()[: 4 * row] + q.tobytes(), capture_output=True, check=True
    )
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.int8), model.library.run({"x": q})["y"].ravel())


def test_what_cannot_be_pushed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="2 inputs"):
        edgeq.compile_model(MODELS / "two_in_two_out_legacy.onnx", "random", io="rows")
    conv, ones = [helper.make_node("Conv", ["x", "w"], ["y"])], np.ones((3, 3, 32, 5), np.float32)
    odd = save(tmp_path / "odd.onnx", conv, {"w": np.ones((8, 3, 3, 3))}, (1, 3, 32, 5), (1, 8, 30, 3))
    with pytest.raises(UnsupportedModel, match=r"\(32, 5, 3\); rows are of images .* multiple of 4 bytes"):
        edgeq.compile_model(odd, ones, io="rows")


def test_the_state_of_pushed_rows_counts_in_the_limit(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32)
    build = lambda ram: edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, io="rows", ram=ram, run_check=False)  # noqa: E731
    least = build(None).manifest["arena_bytes"]
    assert build(least).manifest["arena_bytes"] == least
    with pytest.raises(DoesNotFit, match="over the limit"):
        build(least - 1)


def test_bytes_of_a_camera_are_pushed(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (10, 4, 32, 5)).astype(np.float32)
    spec = {"x": edgeq.InputSpec((0, 255), "uint8")}
    inside = edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, inputs=spec, run_check=False)
    pushed = edgeq.compile_model(tmp_path / "tall.onnx", x, inputs=spec, io="rows")
    assert pushed.manifest["inputs"][0]["dtype"] == "uint8"
    np.testing.assert_array_equal(pushed.run(x), inside.run(x))


def test_pictures_show_the_arena_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32)
    for io in ("external", "rows"):
        model = edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, io=io, run_check=False)
        picture = memory_map(model.plan)
        assert 0 < picture["peak"]["bytes"] <= model.manifest["arena_bytes"]
        assert all(r["y"] >= 0 for r in picture["rects"])


def test_a_shared_arena_holds_the_inputs(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32)
    models = [edgeq.compile_model(tall(tmp_path / "tall.onnx"), x, name=name, io="external", run_check=False) for name in "ab"]
    with pytest.raises(BadInput, match="--io external: a has its input outside the arena"):
        SharedModels("both", models)


def test_one_buffer_is_not_passed_twice(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8)) for name in ("x", "y", "z")]
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["y"], ["z"])]
    graph = helper.make_graph(nodes, "twice", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "twice.onnx")
    with pytest.raises(UnsupportedModel, match="two outputs are the same tensor"):
        edgeq.compile_model(tmp_path / "twice.onnx", np.ones((3, 8), np.float32), io="external")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "x.npy"
    np.save(data, np.random.default_rng(1).normal(0, 1, (10, 4, 32, 5)).astype(np.float32))
    argv = ["build", str(tall(tmp_path / "tall.onnx")), "--calib", str(data), "-o", str(tmp_path / "d")]
    for io in ("external", "rows"):
        assert main([*argv, "--io", io]) == 0
        assert "bit for bit" in capsys.readouterr().out
        assert edgeq.BuiltModel.open(tmp_path / "d").manifest["io"] == io
