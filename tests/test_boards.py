"""Boards: what board.toml may say and what its folder must hold, and the emulated ones over their serial port."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeq.device import Board, boards, compile_firmware, emulated
from edgeq.device.board import TESTED, find_board
from edgeq.errors import BadInput
from edgeq.resources import BOARDS, DEVICE
from edgeq.targets import target
from tests.c_models import STRICT, shell
from tests.devices import device, program

each_board = pytest.mark.parametrize("board", boards().values(), ids=boards())
each_emulated = pytest.mark.parametrize("board", emulated().values(), ids=emulated())
GOOD = (BOARDS / "microbit" / "board.toml").read_text()


# ---------------------------------------------------------------- board.toml


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_hz = 16_000_000\n", "", "no key 'clock_hz'"),
        ("receive_bytes = 256\n", "", "uart: no key 'receive_bytes'"),
        ("clock_hz", "clock_khz", "unknown key 'clock_khz'"),
        ("[counter]\n", "[counter]\nbits = 32\n", "counter: unknown key 'bits'"),
        ("[qemu]\n", "[qemu]\ncpu = 'x'\n", "qemu: unknown key 'cpu'"),
        ("[runners.pyocd]\n", "[runners.pyocd]\nargv = []\n", r"runners\.pyocd: unknown key 'argv'"),
        ("size = 0x4000\n", "size = '16K'\n", "ram: size: is '16K'"),
        ("baud = 115_200", "baud = true", "uart: baud: is True"),
        ("[stack] # at the bottom of RAM\n", "[stacks]\n", "unknown key 'stacks'"),
        ('name = "microbit"', 'name = "macrobit"', "name is 'macrobit'"),
        ('tested = "qemu"', 'tested = "yes"', "tested is 'yes'"),
        ('["cortex-m0", ', '["cortex-m1", ', "targets has cortex-m1"),
        ('name = "microbit"', "name = ", "cannot be read"),
    ],
)
def test_a_wrong_board_toml_is_refused_naming_file_and_key(old: str, new: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "microbit"
    folder.mkdir()
    assert old in GOOD
    (folder / "board.toml").write_text(GOOD)
    assert Board.read(folder).name == "microbit"
    (folder / "board.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput, match=rf"microbit/board\.toml.*{message}"):
        Board.read(folder)


def test_an_unknown_board_lists_those_known() -> None:
    with pytest.raises(BadInput) as caught:
        find_board("uno")
    assert "unknown board 'uno'" in str(caught.value) and "microbit" in str(caught.value)


@each_board
def test_board_toml_says_what_a_person_needs(board: Board) -> None:
    assert (board.tested == "qemu") == (board.qemu is not None)
    assert board.targets[0] == board.core
    assert board.uart.baud == (115_200 if board.name == "microbit" else 921_600)
    assert all(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", usb) for usb in board.uart.usb)
    assert all(runner.commands for runner in board.runners.values())
    for file in ("startup.c", "port.c"):
        said = {"qemu": "Runs in QEMU", "compiled": "Compiled and linked only"}[board.tested]
        text = re.sub(r"\s+(\* )?", " ", (board.folder / file).read_text())
        assert said in text and "untested on hardware" in text


def test_the_table_in_boards_readme_is_what_the_boards_say() -> None:
    text = (BOARDS / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, re.M))
    assert rows == {b.name: TESTED[b.tested] for b in boards().values()}


# ---------------------------------------------------------------- link.ld, startup.c, port.c


@each_board
def test_link_ld_says_what_board_toml_says(board: Board, tmp_path: Path) -> None:
    script = (board.folder / "link.ld").read_text()
    for name, region in (("FLASH", board.flash), ("RAM", board.ram)):
        found = re.search(rf"^ *{name} \(\w+\) : ORIGIN = (0x\w+), LENGTH = (\d+)([KM])$", script, re.M)
        assert found
        assert (int(found[1], 16), int(found[2]) << {"K": 10, "M": 20}[found[3]]) == (region.origin, region.size)
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    elf = compile_firmware(board, target(board.core), [tmp_path / "main.c"], out=tmp_path / "main.elf")
    lines = shell(["arm-none-eabi-nm", elf]).decode().splitlines()
    at = {name: int(address, 16) for address, _, name in (line.split() for line in lines)}
    assert at["stack_bottom"] == board.ram.origin
    assert at["stack_top"] == at["stack_bottom"] + board.stack.size
    assert at["fault_stack_top"] == at["stack_top"] + board.stack.fault_size


@each_board
def test_port_c_is_all_of_port_h_and_nothing_else(board: Board, tmp_path: Path) -> None:
    for file in (board.folder / "port.c", board.folder / "startup.c", DEVICE / "core.c", DEVICE / "device.c"):
        shell(
            [
                "arm-none-eabi-gcc",
                *STRICT,
                "-O2",
                *target(board.core).flags,
                f"-I{DEVICE}",
                "-c",
                file,
                "-o",
                tmp_path / f"{file.stem}.o",
            ]
        )
    names = (
        shell(["arm-none-eabi-nm", "--defined-only", "--extern-only", "--format=just-symbols", tmp_path / "port.o"])
        .decode()
        .split()
    )
    interrupts = {n for n in names if n.endswith("_interrupt")}
    assert {"port_receive_interrupt"} <= interrupts <= {"port_receive_interrupt", "port_systick_interrupt"}
    assert set(names) - interrupts == set(re.findall(r"\b(port_\w+)\(", (DEVICE / "port.h").read_text()))
    assert f"RING_BYTES = {board.uart.receive_bytes}" in (DEVICE / "ring.h").read_text()


def test_the_sum_of_rp2040s_second_boot_stage(tmp_path: Path) -> None:
    board = boards()["rp2040_pico"]
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    elf = compile_firmware(board, target(board.core), [tmp_path / "main.c"], out=tmp_path / "main.elf")
    shell(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".boot2", elf, tmp_path / "boot2"])
    stage = (tmp_path / "boot2").read_bytes()
    crc = 0xFFFFFFFF
    for byte in stage[:252]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    assert len(stage) == 256 and int.from_bytes(stage[252:], "little") == crc


# ---------------------------------------------------------------- over the serial port, in QEMU


@each_emulated
def test_the_counter_counts_instructions(board: Board) -> None:
    """Loops of 2 and of 4 million, the same each time, whatever ran before."""
    with device(board, program(board.name)) as d:
        counts = [(d.number(b"c"), d.number(b"d")), (d.number(b"c"), d.number(b"d"))]
        assert d.ask(b"0123456789", 10) == b"0123456789"
        counts.append((d.number(b"c"), d.number(b"d")))
    assert len(set(counts)) == 1
    short, long = counts[0]
    assert abs((long - short) * board.instructions_per_count - 2_000_000) <= board.instructions_per_count
    assert 0 <= short * board.instructions_per_count - 2_000_000 <= 50 + board.instructions_per_count


@pytest.mark.parametrize("name", ["lm3s6965evb", "stm32vldiscovery"])
def test_systick_counts_on_beyond_its_24_bits(name: str) -> None:
    board = emulated()[name]
    assert board.counter.name == "SysTick"
    with device(board, program(name)) as d:
        count = d.number(b"w")
    assert count > 1 << 24
    assert abs(count * board.instructions_per_count - 1_000_000_000) < 500  # the interrupts themselves


@each_emulated
def test_no_byte_is_lost_while_the_program_is_busy(board: Board) -> None:
    sent = bytes(128 + i % 128 for i in range(board.uart.receive_bytes))
    with device(board, program(board.name)) as d:
        for _ in range(3):
            assert d.ask(b"b" + sent, len(sent)) == sent


@each_emulated
def test_a_fault_is_kept_over_the_reset_that_follows_it_and_told_once(board: Board) -> None:
    with device(board, program(board.name)) as d:
        assert d.ask(b"p", 8) == bytes(8)
        assert d.ask(b"f", 1) == b"!"
        reply = d.ask(b"p", 8)
        assert reply[:4] == b"\1\0\0\0"
        pc = int.from_bytes(reply[4:], "little")
        assert board.flash.origin <= pc < board.flash.origin + board.flash.size
        assert d.ask(b"r", 1) == b"!"
        assert d.ask(b"p", 8) == bytes(8)
