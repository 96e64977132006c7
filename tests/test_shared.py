"""Several models in one arena: the guard, in C with warnings as errors, and the command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import edgeq
from edgeq.cli import main
from edgeq.errors import BadInput
from edgeq.model import SharedModels
from edgeq.resources import ROOT

DIGITS = ROOT / "examples" / "digits"
APP = r"""
#include <string.h>
#include "pair.h"
static int8_t memory[PAIR_ARENA_SIZE] __attribute__((aligned(PAIR_ARENA_ALIGN)));
int main(void) {
    pair_arena shared = {memory, 0};
    int8_t result[FIRST_OUTPUT_SIZE];
    if (pair_run_first(&shared) != PAIR_NOT_TAKEN) { return 1; }
    if (pair_take_first(&shared) != PAIR_OK || pair_take_first(&shared) != PAIR_OK) { return 2; }
    memset(first_input(shared.arena), 3, FIRST_INPUT_SIZE);
    if (pair_run_first(&shared) != PAIR_OK) { return 3; }
    memcpy(result, first_output(shared.arena), sizeof(result));
    if (pair_take_second(&shared) != PAIR_BUSY || pair_run_second(&shared) != PAIR_BUSY) { return 4; }
    if (memcmp(result, first_output(shared.arena), sizeof(result)) != 0) { return 5; }
    pair_release(&shared);
    if (pair_run_first(&shared) != PAIR_NOT_TAKEN || pair_take_second(&shared) != PAIR_OK) { return 6; }
    memset(second_input(shared.arena), 3, SECOND_INPUT_SIZE);
    if (pair_run_second(&shared) != PAIR_OK || pair_run_first(&shared) != PAIR_BUSY) { return 7; }
    return memcmp(result, second_output(shared.arena), sizeof(result)) != 0 ? 8 : 0; /* the same network twice */
}
"""


@pytest.fixture(scope="module")
def models() -> list[edgeq.CompiledModel]:
    build = lambda name, optimize: edgeq.compile_model(  # noqa: E731
        DIGITS / "digits.onnx", DIGITS / "calib.npz", name=name, optimize=optimize, run_check=False)  # fmt: skip
    return [build("first", "ram"), build("second", "speed")]


def test_only_one_model_has_the_arena(models: list[edgeq.CompiledModel], tmp_path: Path) -> None:
    shared = SharedModels("pair", models)
    folder = shared.save(tmp_path / "net")
    sizes = [m.manifest["arena_bytes"] for m in models]
    assert shared.arena_bytes == max(sizes) and sizes[0] != sizes[1]
    assert f"#define PAIR_ARENA_SIZE {max(sizes)}\n" in (folder / "pair.h").read_text()
    (tmp_path / "app.c").write_text(APP)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-fsanitize=address,undefined"]
    includes = [f"-I{folder}", f"-I{folder}/first", f"-I{folder}/second"]
    sources = [tmp_path / "app.c", *folder.glob("*.c"), *folder.glob("*/*.c")]
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-o", str(tmp_path / "app")], check=True)
    assert subprocess.run([str(tmp_path / "app")], check=False).returncode == 0
    shared.save(folder)  # again: it may be replaced
    (folder / "first" / "mine.txt").write_text("")
    with pytest.raises(BadInput, match="would be replaced"):
        shared.save(folder)


def test_names_must_differ(models: list[edgeq.CompiledModel]) -> None:
    with pytest.raises(BadInput, match="two things would be called 'first' in C"):
        SharedModels("first", models)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx, calib = tmp_path / "other.onnx", str(DIGITS / "calib.npz")
    onnx.write_bytes((DIGITS / "digits.onnx").read_bytes())
    both = ["build", str(DIGITS / "digits.onnx"), str(onnx), "--calib", calib, "--calib", calib, "-o", str(tmp_path / "net")]
    assert main([*both, "--share-arena", "--json", "--no-check"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [m["model"] for m in summary["models"]] == ["digits", "other"] and summary["name"] == "shared"
    assert edgeq.BuiltModel.open(tmp_path / "net" / "other").manifest["arena_bytes"] == summary["arena_bytes"]
    for wrong, message in ((both, "--share-arena"), ([*both[:2], *both[3:5], "--share-arena"], "two models or more"),
                           ([*both[:5], "--share-arena"], "given 1 times for 2 models")):  # fmt: skip
        assert main(wrong) == 2 and message in capsys.readouterr().err
