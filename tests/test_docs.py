"""What README says is so: its table is the code's, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgeq
from tests.update_readme import README, with_ops

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_operator_table_is_the_codes():
    assert with_ops(TEXT) == TEXT, "python tests/update_readme.py"


def test_every_path_named_in_readme_exists():
    named = re.findall(r"\]\(([\w./]+)\)|`((?:edgeq|tests|runtime_c|templates|benchmarks|examples)/[\w./]*)`", TEXT)
    for path in (a or b for a, b in named):
        if "foo" not in path:
            assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """README's build command, run as written."""
    folder = tmp_path_factory.mktemp("readme")
    command = next(line for line in TEXT.splitlines() if line.startswith("edgeq build examples"))
    argv = command.replace("-o digits", f"-o {folder / 'digits'}").split()[1:]
    subprocess.run([sys.executable, "-m", "edgeq", *argv], cwd=ROOT, check=True, capture_output=True)
    return folder / "digits"


def test_files_of_the_table_are_the_files_of_the_folder(digits):
    table = TEXT.split("| file | what it is |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([\w.]+)`", table)) | {"digits_weights.h"}
    present = {p.name for p in digits.iterdir() if not p.name.startswith("edgeq")}
    assert present == {n for n in named if "." in n and not n.startswith(("edgeq_", "."))}


def test_c_example_compiles_alone_and_classifies(digits, tmp_path):
    (example,) = blocks("c")
    data = np.load(ROOT / "examples" / "digits" / "test.npz")
    model = edgeq.BuiltModel.open(digits)
    pixels = model.stored(data["image"][:100].astype(np.float32))["image"].reshape(100, -1)
    rows = ",".join("{" + ",".join(map(str, row)) + "}" for row in pixels)
    main = f"""#include <stdio.h>
    static const int8_t images[100][{pixels.shape[1]}] = {{{rows}}};
    int main(void) {{ for (int i = 0; i < 100; i++) printf("%d ", classify(images[i])); return 0; }}"""
    (tmp_path / "app.c").write_text(example + main)
    sources = [str(p) for p in sorted(digits.glob("*.c"))]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{digits}"]
    subprocess.run(["gcc", *flags, *sources, str(tmp_path / "app.c"), "-o", str(tmp_path / "app")], check=True)
    said = subprocess.run([str(tmp_path / "app")], capture_output=True, text=True, check=True).stdout.split()
    assert [int(s) for s in said] == model.run(pixels.reshape(100, 1, 8, 8)).argmax(1).tolist()
    assert np.mean([int(s) for s in said] == data["labels"][:100]) >= 0.95


def test_python_example_runs(tmp_path):
    (example,) = blocks("python")
    images = np.load(ROOT / "examples" / "digits" / "test.npz")["image"][:5].astype(np.float32)
    space = {"images": images}
    here = Path.cwd()
    try:
        os.chdir(ROOT)
        exec(example.replace('save("digits")', f"save({str(tmp_path / 'digits')!r})"), space)
    finally:
        os.chdir(here)
    assert (tmp_path / "digits" / "manifest.json").exists()


def test_demo_says_what_it_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "digits" / "demo.py"), str(tmp_path / "demo")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "bit for bit" in done.stdout and (tmp_path / "demo" / "report.html").exists()
    accuracy = [float(v) for v in re.findall(r"([\d.]+)%", done.stdout)]
    assert min(accuracy[:2]) > 97


def test_commands_for_an_emulated_board_run(tmp_path):
    """As written, in a folder of their own."""
    (shown,) = re.findall(r"```\n(edgeq build[^`]*--emulate[^`]*)```", TEXT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = ""
    for line in shown.splitlines():
        argv = line.replace("examples/", f"{ROOT}/examples/").split()[1:]
        command = [sys.executable, "-m", "edgeq", *argv]
        said += subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout
    assert "on 70 inputs" in said and "instructions; 5 runs, the same each time" in said
    assert "Measured on mps2_an386" in (tmp_path / "digits" / "report.html").read_text()
