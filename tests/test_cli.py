"""The command line: what each command prints, how each error is told, and that nothing is half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from edgeq import __version__, ops
from edgeq.cli import METHODS, cli, main
from edgeq.quantize import METHODS as LIBRARY_METHODS
from edgeq.targets import TARGETS

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits"
MODELS = ROOT / "tests" / "models"
ONNX, CALIB, TEST = (str(DIGITS / f) for f in ("digits.onnx", "calib.npz", "test.npz"))
CONV = str(MODELS / "conv_legacy.onnx")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network, built once."""
    folder = tmp_path_factory.mktemp("cli") / "digits"
    assert main(["build", ONNX, "--calib", CALIB, "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line. -> exit code, stdout, stderr. No traceback, ever."""

    def run(*argv: object) -> tuple[int, str, str]:
        code = main([str(a) for a in argv])
        done = capsys.readouterr()
        assert "Traceback" not in done.out + done.err
        return code, done.out, done.err

    return run


def process(*argv: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "edgeq.cli", *argv]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False, **kwargs)


def tiny(path: Path, op: str = "Relu", dims: tuple[Any, ...] = (1, 4), name: str = "node") -> Path:
    """A model of one node, x -> y."""
    node = helper.make_node(op, ["x"], ["y"], name)
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", value[:1], value[1:]),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)  # fmt: skip
    onnx.save(model, path)
    return path


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output and f"edgeq {command}" in result.output


def test_version(call: Any) -> None:
    code, out, _ = call("--version")
    assert code == 0 and __version__ in out


def test_help_is_fast_because_it_imports_nothing_heavy() -> None:
    code = "import sys; from edgeq.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert not {"onnxruntime", "onnx", "numpy", "jinja2", "rich.table"} & set(modules)


def test_methods_are_those_of_the_library() -> None:
    assert METHODS == LIBRARY_METHODS


# ---------------------------------------------------------------- build


def test_build_prints_table_and_totals(call: Any, tmp_path: Path) -> None:
    code, out, err = call("build", ONNX, "--calib", CALIB, "-o", tmp_path / "d")
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert code == 0 and err == ""
    for layer in manifest["layers"]:
        assert (layer["kernel"] or "(no code)").removeprefix("edgeq_") in out
    assert f"{manifest['constant_bytes']:,} bytes" in out and f"about {manifest['code_bytes']:,} of kernels" in out
    assert f"{manifest['arena_bytes']:,} bytes" in out and f"{manifest['macs']:,}" in out
    assert "bit for bit" in out and "report.html" in out and " dB at probabilities" in out
    assert (tmp_path / "d" / "report.html").stat().st_size > 10_000


def test_build_default_folder_is_the_name(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("build", ONNX, "--calib", CALIB, "--name", "Numerals", "--no-check", "--single-file")[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["numerals"]
    assert {p.name for p in (tmp_path / "numerals").glob("*.[ch]")} == {"numerals.c", "numerals.h"}


def test_build_json_is_all_of_stdout(call: Any, tmp_path: Path) -> None:
    code, out, err = call("build", ONNX, "--calib", CALIB, "-o", tmp_path / "d", "--json", "-v", "--target", "cortex-m4")
    summary = json.loads(out)
    assert code == 0 and summary["target"] == "cortex-m4" and summary["folder"] == str(tmp_path / "d")
    assert summary["check"]["vectors"] > 100 and summary["sqnr_db"]["probabilities"] > 25
    assert all("sqnr_db" in layer for layer in summary["layers"]) and "files" not in summary
    assert "calibrating: 100 samples" in err and "checking" in err


def test_random_calibration_warns_loudly(call: Any, tmp_path: Path) -> None:
    code, out, err = call("build", CONV, "--calib", "random", "-o", tmp_path / "d", "--no-check", "--json")
    assert code == 0 and json.loads(out)["random_calibration"] is True
    assert err.startswith("WARNING: --calib random") and "INACCURATE" in err


def test_declared_inputs_reach_the_manifest(call: Any, tmp_path: Path) -> None:
    flags = ["--input-range", "0:255", "--input-dtype", "image=uint8"]
    code, out, _ = call("build", ONNX, "--calib", CALIB, "-o", tmp_path / "d", "--no-check", "--json", *flags)
    port = json.loads(out)["inputs"][0]
    assert code == 0 and (port["dtype"], port["scale"], port["zero_point"]) == ("uint8", 1.0, 0)


def test_rebuilding_replaces_the_folder(call: Any, tmp_path: Path) -> None:
    for target in ("generic", "cortex-m3"):
        assert call("build", CONV, "--calib", "random", "--no-check", "-o", tmp_path / "d", "--target", target)[0] == 0
    assert json.loads((tmp_path / "d" / "manifest.json").read_text())["target"] == "cortex-m3"
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


# ---------------------------------------------------------------- the other commands


def test_inspect(call: Any) -> None:
    code, out, _ = call("inspect", ONNX)
    assert code == 0 and "Conv" in out and "97,248" in out and "estimated" in out
    assert all(name in out for name in TARGETS)


def test_inspect_json_estimates_what_build_then_needs(call: Any, built: Path) -> None:
    code, out, _ = call("inspect", ONNX, "--json")
    found, manifest = json.loads(out), json.loads((built / "manifest.json").read_text())
    assert code == 0 and found["problems"] == [] and found["params"] == 4314  # batch norm is folded
    assert found["macs"] == manifest["macs"] == sum(x["macs"] for x in found["layers"])
    need = found["targets"]["generic"]
    assert need["arena_bytes"] == manifest["arena_bytes"]
    assert (
        abs(need["flash_bytes"] - manifest["constant_bytes"] - manifest["code_bytes"]) < 600
    )  # tables may or may not be needed


def test_inspect_lists_the_unsupported_and_exits_1(call: Any, tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", "Cosh", name="[red]weird\x1b[0m node")
    code, out, err = call("inspect", path)
    assert code == 1 and err == "" and "Cosh" in out and "NO" in out and "unsupported" in out
    assert "[red]weird" in out and "\x1b" not in out
    code, out, _ = call("inspect", path, "--json")
    assert code == 1 and json.loads(out)["problems"][0]["op"] == "Cosh"


def test_run_prints_and_writes(call: Any, built: Path, tmp_path: Path) -> None:
    x = np.load(TEST)["image"][:6].astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code, out, _ = call("run", built, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
    assert code == 0 and "sample 3:" in out and "sample 4:" not in out and "2 more" in out
    y = np.load(tmp_path / "y.npz")["probabilities"]
    assert y.shape == (6, 10) and y.dtype == np.float32
    np.savez(tmp_path / "x.npz", image=x, other=x)
    code, out, _ = call("run", built, "--input", tmp_path / "x.npz", "--json")
    np.testing.assert_array_equal(np.float32(json.loads(out)["values"]["probabilities"]), y)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npy", "x.npz", "y.npz"]


def test_run_takes_stored_integers(call: Any, built: Path, tmp_path: Path) -> None:
    port = json.loads((built / "manifest.json").read_text())["inputs"][0]
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), port["dtype"]))
    assert call("run", built, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")[0] == 0
    assert np.load(tmp_path / "y.npy").dtype == np.int8


def test_evaluate(call: Any, built: Path, tmp_path: Path) -> None:
    code, out, _ = call("evaluate", built, "--data", TEST, "--labels", "labels")
    assert code == 0 and "accuracy" in out and "agreement" in out and "█" in out and "worst" in out
    np.save(tmp_path / "y.npy", np.load(TEST)["labels"])
    code, out, _ = call("evaluate", built, "--data", TEST, "--labels", tmp_path / "y.npy", "--json")
    result = json.loads(out)
    assert code == 0 and result["float_accuracy"] > 0.95 and result["int8_accuracy"] > 0.95
    assert result["agreement"] > 0.95 and result["worst_drop"] in {x["name"] for x in result["layers"]}


def test_ops_come_from_the_rules(call: Any) -> None:
    names = list(ops.rules())
    code, out, _ = call("ops", "--json")
    assert code == 0 and [row["onnx"] for row in json.loads(out)] == names
    lines = call("ops", "--markdown")[1].splitlines()
    assert len(lines) == len(names) + 2 and all(line.startswith("|") and line.endswith("|") for line in lines)
    assert all(name in call("ops")[1] for name in names[:3])


def test_targets(call: Any) -> None:
    assert [t["name"] for t in json.loads(call("targets", "--json")[1])] == list(TARGETS)
    assert all(name in call("targets")[1] for name in TARGETS)


# ---------------------------------------------------------------- errors

USAGE = [
    ([], "no calibration data"),
    (["--calib", "random", "--input-range", "a:b"], "'a:b' is not of the form [NAME=]LO:HI"),
    (["--calib", "random", "--input-range", "5"], "'5' is not of the form [NAME=]LO:HI"),
    (["--calib", "random", "--input-range", "2:1"], "LO must be below HI"),
    (["--calib", "random", "--input-range", "0:inf"], "finite"),
    (["--calib", "random", "--input-dtype", "int4"], "[NAME=]int8|uint8"),
    (["--calib", "random", "--shape", "x"], "'x' is not of the form NAME=1,3,32,32"),
    (["--calib", "random", "--shape", "x=1,-3"], "at least 1"),
    (["--calib", "random", "--target", "z80"], "z80"),
    (["--calib", "random", "--method", "magic"], "magic"),
    (["--calib", "random", "--frobnicate"], "--frobnicate"),
]


@pytest.mark.parametrize(("flags", "words"), USAGE)
def test_wrong_usage_exits_2(call: Any, tmp_path: Path, flags: list[str], words: str) -> None:
    code, out, err = call("build", CONV, "-o", tmp_path / "d", *flags)
    assert code == 2 and out == "" and "error: " in err and words in err and "try: edgeq build --help" in err
    assert list(tmp_path.iterdir()) == []


def test_no_calibration_says_what_to_pass(call: Any) -> None:
    err = call("build", CONV)[2]
    assert all(word in err for word in ("--calib FILE.npz", "FILE.npy", "FOLDER", "random"))


def bad_models(folder: Path) -> dict[str, tuple[Path, str]]:
    """What -> the file, and words of its error."""
    whole = Path(ONNX).read_bytes()
    for name, data in {"empty": b"", "text": b"not a model", "cut": whole[: len(whole) // 2]}.items():
        (folder / f"{name}.onnx").write_bytes(data)
    return {
        "missing": (folder / "nowhere.onnx", "no such file"),
        "folder": (folder, "no such file"),
        "empty": (folder / "empty.onnx", "error"),
        "text": (folder / "text.onnx", "error"),
        "cut": (folder / "cut.onnx", "error"),
        "operator": (tiny(folder / "cosh.onnx", "Cosh"), "Cosh"),
        "symbolic": (tiny(folder / "symbolic.onnx", dims=("N", 3, "height")), "--shape x=1,3,N"),
    }


@pytest.mark.parametrize("command", ["build", "inspect"])
@pytest.mark.parametrize("what", ["missing", "folder", "empty", "text", "cut", "operator", "symbolic"])
def test_bad_models_exit_1(call: Any, tmp_path: Path, command: str, what: str) -> None:
    (tmp_path / "models").mkdir()
    path, words = bad_models(tmp_path / "models")[what]
    flags = ["--calib", "random", "-o", tmp_path / "d"] if command == "build" else []
    code, out, err = call(command, path, *flags)
    assert code == 1 and words in out + err
    if not (what == "operator" and command == "inspect"):  # that one is a table
        assert out == "" and "error: " in err
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_bare_flags_need_a_single_input(call: Any, tmp_path: Path) -> None:
    model = MODELS / "two_in_two_out_legacy.onnx"
    code, _, err = call("build", model, "--calib", "random", "-o", tmp_path / "d", "--input-range", "0:1")
    assert code == 2 and "--input-range NAME=" in err and "image" in err and "features" in err
    code, _, err = call("build", model, "--calib", "random", "-o", tmp_path / "d", "--input-range", "nobody=0:1")
    assert code == 1 and "nobody" in err and "image" in err
    twice = ["--input-range", "image=0:1", "--input-range", "image=0:2"]
    assert call("build", model, "--calib", "random", "-o", tmp_path / "d", *twice)[0] == 2


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_bad_calibration(call: Any, tmp_path: Path, content: bytes | None) -> None:
    data = tmp_path / "c.npz"
    if content is not None:
        data.write_bytes(content)
    code, out, err = call("build", CONV, "--calib", data, "-o", tmp_path / "d")
    assert code == 1 and out == "" and str(data) in err and not (tmp_path / "d").exists()


@pytest.mark.parametrize("files", [{"notes.txt": "mine"}, {"manifest.json": '{"name": "a browser extension"}'}])
def test_a_folder_that_is_not_edgeqs_is_left_alone(call: Any, tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    code, out, err = call("build", CONV, "--calib", "random", "--no-check", "-o", folder)
    assert code == 1 and out == "" and str(folder) in err and "another -o" in err
    assert {p.name: p.read_text() for p in folder.iterdir()} == files and list(tmp_path.iterdir()) == [folder]


def test_an_edited_build_is_not_replaced(call: Any, tmp_path: Path) -> None:
    command = ["build", CONV, "--calib", "random", "--no-check", "-o", tmp_path / "d"]
    assert call(*command)[0] == 0
    (tmp_path / "d" / "app.c").write_text("int main(void) { return 0; }")
    assert call(*command)[0] == 1 and (tmp_path / "d" / "app.c").exists()


def test_a_file_in_the_way(call: Any, tmp_path: Path) -> None:
    (tmp_path / "d").write_text("mine")
    for folder in (tmp_path / "d", tmp_path / "d" / "deeper"):
        code, _, err = call("build", CONV, "--calib", "random", "--no-check", "-o", folder)
        assert code == 1 and "error: " in err and str(tmp_path) in err
    assert (tmp_path / "d").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("command", [["run", "--input", TEST], ["evaluate", "--data", TEST]])
def test_folders_that_are_no_build(call: Any, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "nowhere"):
        code, out, err = call(command[0], folder, *command[1:])
        assert code == 1 and out == "" and "edgeq build" in err


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.zeros((2, 8, 8), np.float32), "(N, 1, 8, 8)"), (np.float32(1), "samples"), (np.array(["a"]), "numbers"),
     (np.full((1, 1, 8, 8), np.nan), "finite"), (np.zeros((1, 1, 8, 8), np.int32), "int32"),
     (np.array([{}], object), "error")],
)  # fmt: skip
def test_run_with_bad_data(call: Any, built: Path, tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "x.npy", array)
    code, out, err = call("run", built, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
    assert code == 1 and out == "" and words in err and not (tmp_path / "y.npz").exists()


def test_run_with_bad_files(call: Any, built: Path, tmp_path: Path) -> None:
    assert call("run", built, "--input", tmp_path / "nowhere.npy")[0] == 1
    (tmp_path / "x.npy").write_bytes(b"")
    assert call("run", built, "--input", tmp_path / "x.npy")[0] == 1
    code, _, err = call("run", built, "--input", TEST, "--output", tmp_path / "y.csv")
    assert code == 2 and "y.csv" in err and ".npz" in err


def test_evaluate_with_bad_labels(call: Any, built: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(3))
    for labels in ("nothing", tmp_path / "y.npy", tmp_path / "nowhere.npy", "image"):
        code, out, err = call("evaluate", built, "--data", TEST, "--labels", labels)
        assert code == 1 and out == "" and "label" in err


def test_unexpected_errors_are_told_without_a_traceback(
    call: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgeq.ops.rules", lambda: 1 / 0)
    code, _, err = call("ops")
    assert code == 3 and "internal error: ZeroDivisionError" in err and "EDGEQ_DEBUG=1" in err
    monkeypatch.setenv("EDGEQ_DEBUG", "1")
    assert main(["ops"]) == 3 and "Traceback" in capsys.readouterr().err


# ---------------------------------------------------------------- processes


def test_a_closed_pipe_is_quiet() -> None:
    script = f"{sys.executable} -m edgeq.cli ops --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.stderr == "" and len(done.stdout) == 10 and done.returncode in (0, 141)


def test_ctrl_c_is_quiet_and_leaves_nothing(tmp_path: Path) -> None:
    # Ctrl-C in the middle of calibration: the signal is sent by the float model's first run, so that no clock is involved
    script = f"""
import os, signal, sys
from edgeq.onnx_side import runner
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background would not have
runner.Runner.__call__ = lambda self, feeds: os.kill(os.getpid(), signal.SIGINT)
from edgeq.cli import main
sys.exit(main(["build", {ONNX!r}, "--calib", "random", "-o", "d"]))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 130 and run.stdout == "" and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_errors_of_a_process(tmp_path: Path) -> None:
    done = process("build", str(tmp_path / "no.onnx"), "--calib", "random", "--json", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == "" and "no such file" in done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []


def test_ascii_terminals_get_something() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "edgeq.cli", "targets"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 0 and "cortex-m4" in done.stdout and done.stderr == ""
