"""edgeq fit: every board, what is left of it, and bands of rows where they make the difference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeq.cli import main
from edgeq.device import boards
from edgeq.resources import ROOT

DIGITS = ROOT / "examples" / "digits"


def test_every_board_is_listed_and_digits_fits_all(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", str(DIGITS / "digits.onnx"), "--calib", str(DIGITS / "calib.npz")]
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["board"] for f in found] == list(boards())
    for f in found:
        board = boards()[f["board"]]
        assert f["fits"] and not f["over"] and f["optimize"] == "speed"
        assert f["left"]["RAM"] == board.ram.size - sum(f["ram"].values())
        assert f["left"]["flash"] == board.flash.size - sum(f["flash"].values()) > 0
    assert main(argv) == 0
    assert "--board microbit" in capsys.readouterr().out


def test_bands_of_rows_where_ram_is_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A 64x8 image widened to 32 channels, 16 KiB, fits 16 KiB of RAM by bands alone; 128 channels do not fit 8 KiB."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
             helper.make_node("Conv", ["a", "w1"], ["y"], pads=[1, 1, 1, 1], strides=[4, 4])]  # fmt: skip
    weights = {"w0": rng.normal(0, 0.3, (32, 4, 3, 3)), "w1": rng.normal(0, 0.3, (8, 32, 3, 3))}
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 4, 64, 8)), ("y", (1, 8, 16, 2)))]
    arrays = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    graph = helper.make_graph(nodes, "wide", ports[:1], ports[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "wide.onnx")
    assert main(["fit", str(tmp_path / "wide.onnx"), "--calib", "random", "--json"]) == 0
    found = {f["board"]: f for f in json.loads(capsys.readouterr().out)}
    assert found["nucleo_f446re"]["optimize"] == "speed" and found["nucleo_f446re"]["fits"]
    small = found["microbit"]
    assert small["optimize"] == "ram" and small["fits"]
    assert small["ram"]["arena"] < found["rp2040_pico"]["ram"]["arena"] > 16_384  # the same code, not short of RAM


def test_it_says_how_much_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(0, 1, (16, 40_000)).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 40_000)), ("y", (1, 16)))]
    graph = helper.make_graph([node], "big", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "big.onnx")
    np.save(tmp_path / "x.npy", weights[:4])
    assert main(["fit", str(tmp_path / "big.onnx"), "--calib", str(tmp_path / "x.npy"), "--json"]) == 0
    found = {f["board"]: f for f in json.loads(capsys.readouterr().out)}
    board = found["stm32vldiscovery"]
    assert not board["fits"] and board["over"]["flash"] > 16 * 40_000 - 128 * 1024 and board["over"]["RAM"] > 40_000 - 8192
    assert main(["fit", str(tmp_path / "big.onnx"), "--calib", str(tmp_path / "x.npy")]) == 0
    assert "bytes of flash short" in " ".join(capsys.readouterr().out.split())
    assert main(["fit", "nowhere.onnx", "--calib", "random"]) == 1
