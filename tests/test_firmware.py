"""Firmware: what it consists of and whether it fits."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import edgeq
from edgeq.cli import main
from edgeq.device import Board, boards, compile_firmware
from edgeq.device.fit import LAYER_BYTES, PROGRAMS, Demand
from edgeq.device.image import build_firmware, default_folder
from edgeq.errors import BadInput, DoesNotFit
from edgeq.model import BuiltModel
from edgeq.targets import target
from tests.c_models import DIGITS, shell
from tests.devices import built

each_board = pytest.mark.parametrize("board", boards().values(), ids=boards())


# ---------------------------------------------------------------- the files


@each_board
def test_firmware_for_every_board(board: Board, tmp_path: Path) -> None:
    folder = built("digits", board.core)
    made = build_firmware(folder, board, out=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        [*(f"firmware.{x}" for x in ("bin", "elf", "hex", "json"))]
    )
    assert json.loads((tmp_path / "out" / "firmware.json").read_text()) == made.record
    sizes = shell(["arm-none-eabi-size", "-A", made.files["elf"]]).decode()
    listed = {name: int(size) for name, size in re.findall(r"^(\.\w+) +(\d+) +\d+$", sizes, re.M)}
    for s in made.sizes.sections:
        assert listed[s.name] == max(s.flash, s.ram) or not s.flash + s.ram  # in neither: vectors in an ITCM, .noinit in a DTCM
    manifest = BuiltModel.open(folder).manifest
    arena, constants = manifest["arena_bytes"], manifest["constant_bytes"]
    assert arena <= made.sizes.model_ram <= arena + 16
    assert constants + manifest["code_bytes"] < made.sizes.model_flash < made.sizes.flash
    assert made.run.size < made.stack <= board.stack.size

    image = made.files["bin"].read_bytes()
    assert made.sizes.flash <= len(image) <= made.sizes.flash + 16
    shell(["arm-none-eabi-objcopy", "-I", "ihex", "-O", "binary", made.files["hex"], tmp_path / "hex.bin"])
    if board.name != "mps3_an547":  # whose vectors are not in flash
        assert (tmp_path / "hex.bin").read_bytes().ljust(len(image), b"\xff") == image


@each_board
def test_the_estimate_before_the_compiler_is_near_what_is_linked(board: Board) -> None:
    """Not above it by more than a little: nothing that fits may be refused."""
    for name in ("digits", "zoo"):
        folder = built(name, board.core)
        need = Demand.of(BuiltModel.open(folder).manifest).on(board)
        sizes = build_firmware(folder, board).sizes
        assert -0.01 < sizes.flash / sum(need.flash.values()) - 1 < 0.1, (sizes.flash, need.flash)
        assert 0 <= sizes.ram - sum(need.ram.values()) < 100, (sizes.ram, need.ram)


def test_firmware_is_the_same_each_time(tmp_path: Path) -> None:
    board, folder = boards()["microbit"], built("digits", "cortex-m0")
    one, two = (build_firmware(folder, board, out=tmp_path / name).files["bin"].read_bytes() for name in "ab")
    assert one == two


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "net"
    edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", board="microbit", run_check=False).save(folder)
    assert BuiltModel.open(folder).manifest["target"] == "cortex-m0"
    assert main(["firmware", str(folder), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["board"] == "microbit" and record["files"]["elf"] == str(tmp_path / "net-microbit" / "firmware.elf")
    assert main(["firmware", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"flash +[\d,]+ of 262,144 bytes: model [\d,]+, program", shown) and "digits_run" in shown
    assert main(["firmware", str(folder), "--board", "mps2_an386"]) == 1
    assert "does not run code for cortex-m0" in capsys.readouterr().err
    assert main(["firmware", str(folder), "--app", "mlperf-tiny"]) == 1
    assert "--mlperf-id: goes with" in capsys.readouterr().err
    assert not (tmp_path / "net-mps2_an386" / "firmware.elf").exists()


def test_a_folder_built_for_no_board_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["firmware", str(built("digits", "cortex-m4"))]) == 1
    assert "was not built for a board" in capsys.readouterr().err


# ---------------------------------------------------------------- what does not fit


def test_a_model_that_does_not_fit_is_refused_before_any_compiler_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built("digits", "cortex-m0")
    arena = BuiltModel.open(folder).manifest["arena_bytes"]
    board = replace(boards()["microbit"], ram=replace(boards()["microbit"].ram, size=4096))
    over = arena + board.stack.size + board.stack.fault_size + PROGRAMS["serial"]["ram"] - 4096
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DoesNotFit, match=rf"microbit: {over:,} bytes of RAM too many: arena {arena:,} .* of 4,096 ") as caught:
        build_firmware(folder, board, out=tmp_path / "out")
    assert "flash" not in str(caught.value).split("\n")[0] and "room: lm3s6965evb" in str(caught.value)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("edgeq.compile.find_board", lambda name: board)
    with pytest.raises(DoesNotFit, match=f"{over:,} bytes of RAM too many"):
        edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", board="microbit")


def test_flash_and_ram_are_told_apart() -> None:
    board = boards()["microbit"]
    need = Demand(262_144, 1_000, 10, 10, 16_384).on(board)
    assert need.over(board) == {"flash": 1_000 + 10 * LAYER_BYTES + PROGRAMS["serial"]["flash"],
                                "RAM": board.stack.size + board.stack.fault_size + PROGRAMS["serial"]["ram"]}  # fmt: skip
    assert Demand(1_000, 1_000, 10, 10, 1_000).on(board).over(board) == {}


def test_what_the_linker_finds_too_large_is_told_in_bytes(tmp_path: Path) -> None:
    board = boards()["microbit"]
    (tmp_path / "main.c").write_text("char large[20000]; int main(void) { return large[0]; }")
    with pytest.raises(DoesNotFit, match=r"microbit.*[\d,]+ bytes of RAM too many"):
        compile_firmware(
            board, target("cortex-m0"), [tmp_path / "main.c"], out=tmp_path / "main.elf", extra=["-Wl,--no-gc-sections"]
        )


def test_a_build_for_a_board_records_it_and_refuses_other_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "build",
        str(DIGITS / "digits.onnx"),
        "--calib",
        str(DIGITS / "calib.npz"),
        "--no-check",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--board", "nucleo_u575zi"]) == 0
    manifest = BuiltModel.open(tmp_path / "out").manifest
    assert (manifest["board"], manifest["target"]) == ("nucleo_u575zi", "cortex-m33")
    assert main([*command, "--board", "nucleo_u575zi", "--target", "cortex-m4"]) == 1
    assert "nucleo_u575zi: does not run code for cortex-m4" in capsys.readouterr().err
    assert main([*command, "--board", "uno"]) == 1
    assert "unknown board 'uno'" in capsys.readouterr().err


# ---------------------------------------------------------------- what cannot be


def test_firmware_whose_stack_is_too_small_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board = boards()["microbit"]
    tight = replace(board, stack=replace(board.stack, size=300))
    with pytest.raises(DoesNotFit, match=r"digits: needs up to (\d+) bytes of stack, \d+ more than microbit reserves"):
        build_firmware(built("digits", "cortex-m0"), tight, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_of_the_default_folder() -> None:
    assert default_folder(Path("/a/net/"), boards()["microbit"]) == Path("/a/net-microbit")
    with pytest.raises(BadInput, match="no such program"):
        build_firmware(built("digits", "cortex-m0"), boards()["microbit"], app="blink")
