"""edgeq verify: what it says of wrong firmware, faults and bad lines, and that nothing is left running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import edgeq
from edgeq.cli import main
from edgeq.device import Board, boards, link_firmware
from edgeq.device.connect import connect
from edgeq.device.emulator import emulate
from edgeq.device.port import open_port
from edgeq.device.protocol import Link
from edgeq.device.verify import inputs, verify
from edgeq.errors import DeviceError, Mismatch
from tests.c_models import DIGITS, shell
from tests.device_models import built, some
from tests.serial_line import Faults, host_board, line, relay
from tests.test_cli import tiny

NAME = "mps2_an386"
BOARD = boards()[NAME]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model for any processor, saved; its weights are rows of int8 in the ELF."""
    return built("digits").save(tmp_path_factory.mktemp("verify") / "digits")


@pytest.fixture(scope="module")
def elf(folder: Path) -> Path:
    return link_firmware(folder, BOARD, "serial", folder.parent / "digits.elf")


@contextmanager
def linked(elf: Path, board: Board = BOARD) -> Iterator[Link]:
    with emulate(board, elf) as there, open_port(there) as port:
        yield Link(port, board.name)


def host_program(folder: Path) -> Path:
    """As host_board, once."""
    program = folder.parent / "host" / "board"
    if not program.exists():
        program.parent.mkdir()
        host_board(built("digits"), program.parent)
    return program


@contextmanager
def linked_host(folder: Path) -> Iterator[Link]:
    with line(host_program(folder)) as there, open_port(there.tty) as port:
        yield Link(port, "host")


def symbols(elf: Path) -> dict[str, tuple[int, int]]:
    """Name -> address and bytes."""
    lines = shell(["arm-none-eabi-nm", "-S", elf]).decode().splitlines()
    return {f[3]: (int(f[0], 16), int(f[1], 16)) for f in map(str.split, lines) if len(f) == 4}


def patched(elf: Path, address: int, data: bytes, out: Path) -> Path:
    """The ELF with other bytes at an address in flash."""
    content = bytearray(elf.read_bytes())
    for text in shell(["arm-none-eabi-objdump", "-h", elf]).decode().splitlines():
        if section := re.match(r"\s+\d+ \S+\s+(\w{8})\s+(\w{8})\s+\w{8}\s+(\w{8})", text):
            size, start, offset = (int(x, 16) for x in section.groups())
            if start <= address < start + size:
                content[offset + address - start : offset + address - start + len(data)] = data
                out.write_bytes(content)
                return out
    raise AssertionError(f"{address:#x} is in no section")


def byte_at(elf: Path, address: int) -> int:
    """The byte there."""
    text = shell(["arm-none-eabi-objdump", "-s", f"--start-address={address}", f"--stop-address={address + 1}", elf]).decode()
    return int(text.split()[-2], 16)


# ---------------------------------------------------------------- wrong firmware


def test_one_changed_byte_of_a_weight_names_its_layer(folder: Path, elf: Path, tmp_path: Path) -> None:
    """For every layer that has weights, or a table."""
    model, changed = built("digits"), []
    feeds = inputs(model)
    for layer in model.manifest["layers"]:
        arrays = [(a, n) for name, (a, n) in symbols(elf).items()
                  if re.fullmatch(rf"digits_l{layer['index']:02d}_(weight|table)", name)]  # fmt: skip
        for address, size in arrays:
            at = address + size // 2
            wrong = patched(elf, at, bytes([byte_at(elf, at) ^ 0x80]), tmp_path / "wrong.elf")
            with linked(wrong) as link, pytest.raises(Mismatch) as caught:
                verify(link, model, feeds)
            assert str(caught.value).startswith(f"{layer['name']} ("), str(caught.value)
            changed.append(layer["op"])
    assert len(changed) == sum(bool(x["flash_bytes"]) for x in model.manifest["layers"]) >= 8
    assert {"conv2d", "depthwise_conv2d", "fully_connected", "softmax"} <= set(changed)


def test_the_first_element_that_differs_is_named_with_both_values(folder: Path, elf: Path, tmp_path: Path) -> None:
    """In a layer larger than a frame, at its last channel."""
    model = built("digits")
    layer = next(x for x in model.manifest["layers"] if x["op"] == "conv2d" and np.prod(x["output_shape"]) > 1024)
    address, size = symbols(elf)[f"digits_l{layer['index']:02d}_bias"]
    wrong = patched(elf, address + size - 2, b"\x55", tmp_path / "wrong.elf")
    feeds = some(inputs(model), 5)
    with linked(wrong) as link, pytest.raises(Mismatch) as caught:
        verify(link, model, feeds)
    found = re.search(r"first at element \[(.*)\]: mps2_an386 (-?\d+), host (-?\d+), at input 0", str(caught.value))
    assert found
    where = tuple(int(i) for i in found[1].split(","))
    host = model.library.trace(feeds)[layer["output"]][0]
    assert where[-1] == host.shape[-1] - 1 and int(found[2]) != int(found[3]) == host[where]


def test_an_output_that_changes_after_the_run_is_told(folder: Path) -> None:
    with linked_host(folder) as link:
        read = link.read
        link.read = lambda *a: bytes([read(*a)[0] ^ 1]) + read(*a)[1:]  # type: ignore[method-assign]
        with pytest.raises(Mismatch, match=r"output .*: differs first at element \[0\].*though every layer's output agrees"):
            verify(link, built("digits"), inputs(built("digits")))


def test_a_crc_that_is_wrong_only_once_is_told(folder: Path) -> None:
    with linked_host(folder) as link:
        crcs = link.crcs
        link.crcs = lambda *a: (*crcs(*a)[:-1], 1)  # type: ignore[method-assign]
        with pytest.raises(Mismatch, match=r"l11_softmax.*CRC-32 differed at input 0, and was right in the runs after it"):
            verify(link, built("digits"), inputs(built("digits")))


def test_more_layers_than_a_frame_has_room_for(folder: Path) -> None:
    with linked_host(folder) as link:
        link.piece = 20
        model = built("digits")
        result = verify(link, model, some(inputs(model), 4))
        assert result.layers == len(model.manifest["layers"]) > link.piece // 4


def test_a_network_without_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = edgeq.compile_model(tiny(tmp_path / "identity.onnx", "Identity"), "random")
    folder = str(model.save(tmp_path / "identity"))
    assert model.manifest["layers"] == []
    for command in ("verify", "profile"):
        assert main([command, folder, "--board", NAME, "--emulate"]) == 0
    assert "80 output bytes on 20 inputs" in capsys.readouterr().out


def test_firmware_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    other = link_firmware(built("two").save(tmp_path / "two"), BOARD, "serial", tmp_path / "two.elf")
    with (
        pytest.raises(
            DeviceError, match=r"mps2_an386: runs another model: two for generic, hash \w{8}; .*digits.*\n.*edgeq flash"
        ),
        connect(folder, board=NAME, emulated=True, firmware=other),
    ):
        pass


# ---------------------------------------------------------------- faults, resets and bad lines


def test_a_fault_is_reported_and_the_board_can_be_asked_again(folder: Path, elf: Path, tmp_path: Path) -> None:
    address, _ = symbols(elf)["edgeq_softmax"]
    with linked(patched(elf, address & ~1, b"\x00\xde", tmp_path / "faults.elf")) as link:
        link.run_time = 0.2
        with pytest.raises(DeviceError) as caught:
            verify(link, built("digits"), inputs(built("digits")))
        message = str(caught.value)
        assert "mps2_an386: the core faulted (undefined instruction): exception=0x00000003" in message
        assert (
            f"pc=0x{address & ~1:08x}" in message and "in layer 11, at the command CRCS" in message and "addr2line" in message
        )
        assert link.stack() > 100
        assert link.say_hello().fault is None
    with linked(patched(elf, symbols(elf)["device_stack_used"][0] & ~1, b"\x00\xde", tmp_path / "faults.elf")) as link:
        link.run()
        with pytest.raises(DeviceError, match="outside of layers, at the command STACK"):
            link.stack()


@pytest.mark.parametrize("rate", [0.001, 0.002])
def test_a_bad_line_to_an_emulated_board(rate: float, folder: Path, elf: Path) -> None:
    model = built("digits")
    feeds = inputs(model)
    with emulate(BOARD, elf) as there:
        end = os.open(there, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(end)
            with relay(end, end, Faults(rate, rate, rate, rate, rate / 10), 7) as bad, open_port(bad.tty) as port:
                link, right = Link(port, NAME, run_time=0.2), 0  # QEMU may take a second to see that its tty is open
                link.timeout = 0.05
                for i in range(20):
                    try:
                        right += verify(link, model, some(feeds, i)).inputs
                    except DeviceError:  # anything but a Mismatch
                        continue
                assert link.retries > 5 and right > 5
        finally:
            os.close(end)


# ---------------------------------------------------------------- nothing is left running


def test_qemu_ends_with_the_context(elf: Path) -> None:
    for error in (None, ValueError, KeyboardInterrupt):
        try:
            with emulate(BOARD, elf):
                assert len(pids(str(elf))) == 1
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert pids(str(elf)) == []


def test_qemu_that_ends_by_itself_is_told(elf: Path) -> None:
    with (
        pytest.raises(DeviceError, match=r"mps2_an386: QEMU ended with status 0; last output: .*terminating on signal"),
        linked(elf) as link,
    ):
        (command,) = pids(str(elf))
        os.kill(command, signal.SIGTERM)
        link.stack()
    with pytest.raises(DeviceError, match=r"QEMU (ended|named no tty).*Could not load"), linked(elf.with_name("missing.elf")):
        pass


def pids(mark: str) -> list[int]:
    """Of the running QEMUs whose command line contains it."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            text = file.read_bytes().decode(errors="replace")
            found += [int(file.parent.name)] if text.startswith("qemu-system") and mark in text else []
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="by a system call of Linux")
def test_qemu_ends_with_its_parent_however_that_ends(elf: Path) -> None:
    code = f"""
from pathlib import Path
from edgeq.device import boards
from edgeq.device.emulator import emulate
import time
with emulate(boards()[{NAME!r}], Path({str(elf)!r})):
    print("running", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout and parent.stdout.readline() == "running\n"
        assert len(pids(str(elf))) == 1
        parent.kill()
    end = time.monotonic() + 5
    while pids(str(elf)) and time.monotonic() < end:
        time.sleep(0.02)
    assert pids(str(elf)) == []


# ---------------------------------------------------------------- the command


def test_verify_prints_what_it_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(DIGITS / "test.npz")
    assert main(["verify", str(folder), "--board", NAME, "--emulate", "--data", data, "-n", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["inputs"] == 23 and said["elements"] == 230 and said["layers"] == 12 and said["emulated"] is True
    assert said["board"] == NAME and said["port"] is None
    assert main(["verify", str(folder), "--board", NAME, "--emulate"]) == 0
    assert "bit for bit as on this machine: 200 output bytes on 20 inputs" in capsys.readouterr().out


def test_verify_by_port(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with line(host_program(folder)) as there:
        assert main(["verify", str(folder), "--port", there.tty, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["port"] == there.tty


def test_a_mismatch_is_an_error(folder: Path, elf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = symbols(elf)["digits_l10_weight"][0] + 5
    wrong = patched(elf, at, bytes([byte_at(elf, at) ^ 0x80]), tmp_path / "wrong.elf")
    assert main(["verify", str(folder), "--board", NAME, "--emulate", "--firmware", str(wrong)]) == 1
    assert re.match(r"error: l10_fully_connected \(.*\): edgeq_fully_connected: differs first at", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--emulate"], "--emulate: which board?"), (["--board", "nothing"], "--board: unknown board 'nothing'"),
        (["--emulate", "--board", "nucleo_f446re"], "nucleo_f446re: QEMU has no such board"),
        (["--emulate", "--board", NAME, "--port", "x"], "--port: an emulated board has no port"),
        (["--port", "/dev/nothing"], "/dev/nothing: there is no such port"),
        (["--board", "nucleo_f446re"], "nucleo_f446re: no port has its USB id"),
    ],
)  # fmt: skip
def test_a_board_that_is_not_there_is_told(
    flags: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeq.device.port.list_ports.comports", list)
    assert main(["verify", str(folder), *flags]) == 1
    assert f"error: {message}" in capsys.readouterr().err
