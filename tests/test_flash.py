"""edgeq flash: which program it runs, with what, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import shlex
import stat
from pathlib import Path

import pytest

import edgeq
from edgeq.cli import main
from edgeq.cli_boards import APPS, RUNNERS, TASKS
from edgeq.device import Board, boards
from edgeq.device.fit import PROGRAMS
from edgeq.device.flash import INSTALL, commands, runners
from edgeq.emit.mlperf import TASKS as MLPERF
from tests.c_models import DIGITS
from tests.devices import built

each_board = pytest.mark.parametrize("board", boards().values(), ids=boards())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """digits for a nucleo_l4r5zi, in a folder of its own."""
    model = edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", board="nucleo_l4r5zi", run_check=False)
    return model.save(tmp_path / "net")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only ones beside the compilers on PATH, that append what they are called with to `calls`."""
    place = tmp_path / "tools"
    place.mkdir()
    for name in ("arm-none-eabi-gcc", "arm-none-eabi-objdump", "arm-none-eabi-objcopy"):
        found = next(p for p in os.environ["PATH"].split(":") if Path(p, name).exists())
        (place / name).symlink_to(Path(found, name))
    monkeypatch.setenv("PATH", str(place))
    return place


def add(tools: Path, name: str, status: int = 0) -> None:
    """A program that notes its arguments and, where something is piped into it, that."""
    program = tools / name
    calls = tools / "calls"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "{name}" "$@" >>{calls}\n[ -p /dev/stdin ] && /bin/cat >>{calls}\nexit {status}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def calls(tools: Path) -> list[str]:
    file = tools / "calls"
    return file.read_text().splitlines() if file.exists() else []


@each_board
def test_runners_are_complete(board: Board) -> None:
    """No placeholder stays, every program is one that edgeq can say how to install, every runner a choice of --runner."""
    for name, runner in runners(board).items():
        assert name in RUNNERS
        lines, stdin = commands(runner, board, Path("/out"))
        assert all(line[0] in INSTALL for line in lines)
        text = stdin + " ".join(part for line in lines for part in line)
        assert "{" not in text and "/out/firmware." in text
    assert ("qemu" in runners(board)) == (board.qemu is not None)
    assert runners(board)


def test_the_choices_of_the_command_line_are_those_of_the_code() -> None:
    assert set(RUNNERS) == {name for board in boards().values() for name in runners(board)}
    assert set(APPS) == set(PROGRAMS)
    assert set(TASKS) == set(MLPERF)


def test_a_dry_run_prints_commands_whose_files_are_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.with_name("net-nucleo_l4r5zi")
    expected = {
        "stlink": f"st-flash --reset write {out}/firmware.bin 0x8000000",
        "pyocd": f"pyocd load --target stm32l4r5zitx {out}/firmware.hex",
        "openocd": f"openocd -f interface/stlink.cfg -f target/stm32l4x.cfg -c 'program {out}/firmware.elf verify reset exit'",
    }
    for runner, line in expected.items():
        assert main(["flash", str(folder), "--runner", runner, "--dry-run"]) == 0
        assert capsys.readouterr().out == f"{line}\n"
        assert all(Path(part).exists() for part in shlex.split(line) if part.startswith("/"))
        assert main(["flash", str(folder), "--runner", runner, "--dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["commands"] == [shlex.split(line)]


def test_a_missing_program_is_named_with_what_to_install(folder: Path, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", str(folder), "--runner", "stlink"]) == 1
    error = capsys.readouterr().err
    assert "nucleo_l4r5zi: no st-flash on PATH" in error and "apt-get install stlink-tools" in error
    assert main(["flash", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "openocd or pyocd or st-flash or JLinkExe or probe-rs" in error and "pip install pyocd" in error
    assert main(["flash", str(folder), "--runner", "picotool"]) == 1
    assert "nucleo_l4r5zi has no runner 'picotool'" in capsys.readouterr().err


def test_the_first_program_that_is_there_runs(folder: Path, tools: Path) -> None:
    add(tools, "probe-rs")
    add(tools, "st-flash")
    assert main(["flash", str(folder)]) == 0
    out = folder.with_name("net-nucleo_l4r5zi")
    assert calls(tools) == ["st-flash", "--reset", "write", f"{out}/firmware.bin", "0x8000000"]


def test_a_runner_of_two_commands_and_one_that_reads(folder: Path, tools: Path) -> None:
    for name in ("probe-rs", "JLinkExe"):
        add(tools, name)
    assert main(["flash", str(folder), "--runner", "probe-rs"]) == 0
    assert [line for line in calls(tools) if line in ("download", "reset")] == ["download", "reset"]
    (tools / "calls").unlink()
    assert main(["flash", str(folder), "--runner", "jlink"]) == 0
    assert calls(tools)[-5:] == ["r", f"loadfile {folder.with_name('net-nucleo_l4r5zi')}/firmware.hex", "r", "g", "exit"]


def test_a_runner_that_fails_says_so_and_stops(folder: Path, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("probe-rs", "pyocd"):
        add(tools, name, status=3)
    assert main(["flash", str(folder), "--runner", "probe-rs"]) == 1
    assert "nucleo_l4r5zi: probe-rs failed with status 3" in capsys.readouterr().err
    assert "reset" not in calls(tools)
    assert main(["flash", str(folder), "--runner", "pyocd"]) == 1
    assert "try: pyocd pack install stm32l4r5zitx" in capsys.readouterr().err


def test_firmware_is_linked_anew_only_where_the_build_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = folder.with_name("net-nucleo_l4r5zi") / "firmware.json"
    flash = ["flash", str(folder), "--runner", "openocd", "--dry-run"]
    assert main(flash) == 0
    before = record.stat().st_mtime_ns
    assert main(flash) == 0
    assert record.stat().st_mtime_ns == before
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "method": "other"}))
    assert main(flash) == 0
    assert record.stat().st_mtime_ns > before and json.loads(record.read_text())["app"] == "serial"


def test_qemu_takes_the_place_of_a_board(tools: Path) -> None:
    add(tools, "qemu-system-arm")
    folder = built("digits", "cortex-m0")
    assert main(["flash", str(folder), "--board", "microbit"]) == 0
    said = calls(tools)
    assert said[:4] == ["qemu-system-arm", "-machine", "microbit", "-kernel"] and Path(said[4]).exists() and "pty" in said
