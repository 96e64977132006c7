"""The serial protocol: the device's side as a process of this machine, under sanitizers, at the end of a bad line."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from serial.rfc2217 import PortManager
from serial.tools.list_ports_common import ListPortInfo

import edgeq
from edgeq.device.port import find_port, open_port
from edgeq.device.protocol import ATTEMPTS, Command, Hello, Link, NoAnswer
from edgeq.errors import DeviceError
from edgeq.resources import DEVICE
from tests.c_models import DIGITS, STRICT, TESTS, shell, sources
from tests.serial_line import CLOCKS, SERIAL, Faults, Line, host_board, line

IMAGE = 27_648  # bytes: 96 x 96 pixels, RGB


@pytest.fixture(scope="session")
def digits() -> edgeq.CompiledModel:
    return edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", run_check=False)


@pytest.fixture(scope="session")
def program(digits: edgeq.CompiledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return host_board(digits, tmp_path_factory.mktemp("serial"))


@pytest.fixture
def link(program: Path) -> Iterator[Link]:
    """A conversation over a good line."""
    with line(program) as there, open_port(there.tty) as port:
        yield Link(port, there.tty, timeout=0.2, run_time=1)


@pytest.fixture(scope="module")
def expected(digits: edgeq.CompiledModel) -> dict[str, np.ndarray]:
    """Of 20 images: under "in" and "out" network input and output, under a number the output of that layer."""
    x = digits.stored(np.load(DIGITS / "test.npz")["image"][:20].astype(np.float32))
    layers = digits.library.trace(x)
    found = {str(i): layers[record["output"]] for i, record in enumerate(digits.manifest["layers"])}
    return {"in": next(iter(x.values())), "out": next(iter(digits.library.run(x).values())), **found}


def frame(link: Link, command: Command, payload: bytes = b"", session: int | None = None) -> bytes:
    """The next request as it goes over the line; of another session where one is given."""
    own, link.session = link.session, link.session if session is None else session
    try:
        return link._frame(command, payload)
    finally:
        link.session = own


def exchange(link: Link, data: bytes, seconds: float = 0.2) -> list[bytes]:
    """The intact messages that come back for bytes on the line."""
    link.port.write(data)
    end, got = time.monotonic() + seconds, b""
    while time.monotonic() < end:
        got += link.port.read(link.port.in_waiting or 1)
    messages = [cobs.decode(f) for f in got.split(b"\0") if f]
    assert all(zlib.crc32(m[:-4]) == int.from_bytes(m[-4:], "little") for m in messages)
    return [m[:-4] for m in messages]


# ---------------------------------------------------------------- commands


def test_hello_says_what_runs_there(link: Link, digits: edgeq.CompiledModel) -> None:
    m = digits.manifest
    assert link.hello == Hello(
        1, 0, 1024, int(m["model_hash"], 16), 25_000_000, 1_000_000, m["arena_bytes"], len(m["inputs"]), len(m["outputs"]),
        len(m["layers"]), "digits", m["edgeq"], m["target"], "host", None, 0xFFFFFFFF,
    )  # fmt: skip


def test_inputs_outputs_and_every_layer(link: Link, expected: dict[str, np.ndarray]) -> None:
    n = link.hello.layers
    for i in range(3):
        for ask in (link.run, lambda: link.crcs(0, n), lambda: link.counts(0, n), lambda: link.output(0, 0, 0)):
            link.write(0, expected["in"][i].tobytes())
            answer = ask()
            assert link.read(0, expected["out"][i].nbytes) == expected["out"][i].tobytes()
            if len(answer) == n and answer[0] != 1:
                assert list(answer) == [zlib.crc32(expected[str(k)][i].tobytes()) for k in range(n)]
    for k in range(n):
        link.write(0, expected["in"][4].tobytes())
        data = expected[str(k)][4].tobytes()[:1000]
        assert link.output(k, 3, len(data) - 3) == data[3:]
    link.write(0, expected["in"][4].tobytes())
    assert link.crcs(n - 2, 2) == tuple(zlib.crc32(expected[str(k)][4].tobytes()) for k in (n - 2, n - 1))
    assert link.stack() == 1234
    assert link.retries == 0


def test_counts_are_those_of_the_layers(link: Link) -> None:
    """The board of the tests takes one count more each time that its counter is restarted."""
    assert link.counts(0, link.hello.layers) == tuple(range(1, 1 + link.hello.layers))
    assert link.counts(2, 3) == (3, 4, 5)
    least, most = link.run(5)
    assert most - least == 4


@pytest.mark.parametrize(
    ("command", "payload", "status"),
    [
        (Command.HELLO, b"x", "wrong length"), (Command.WRITE, bytes(5), "wrong length"),
        (Command.READ, bytes(9), "wrong length"), (Command.RUN, b"", "wrong length"), (Command.RUN, bytes(2), "out of range"),
        (Command.WRITE, b"\1\0" + bytes(5), "out of range"), (Command.WRITE, bytes(2) + b"\x40\0\0\0x", "out of range"),
        (Command.WRITE, b"\0\0\xff\xff\xff\xffxx", "out of range"), (Command.READ, bytes(6) + b"\xff\xff", "out of range"),
        (Command.READ, b"\0\0\xff\xff\xff\xff\2\0", "out of range"), (Command.CRCS, b"\0\0\xff\xff", "out of range"),
        (Command.COUNTS, b"\x0c\0\1\0", "out of range"), (Command.OUTPUT, b"\x0c\0" + bytes(6), "out of range"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(link: Link, command: Command, payload: bytes, status: str) -> None:
    with pytest.raises(DeviceError, match=f"refused {command.name}: {status}"):
        link.request(command, payload)
    assert link.stack() == 1234


def test_an_unknown_command_is_refused_and_what_is_no_request_ignored(link: Link) -> None:
    for command in (0, Command.RESET + 1, 0x7F):
        (reply,) = exchange(link, frame(link, command))  # type: ignore[arg-type]
        assert reply[4:] == bytes([command | 0x80, 1])
    assert exchange(link, frame(link, Command.STACK | 0x80)) == []  # type: ignore[arg-type]
    assert link.stack() == 1234


def test_a_repeated_request_is_answered_again_and_not_carried_out_again(link: Link) -> None:
    for command, payload in ((Command.RUN, b"\1\0"), (Command.COUNTS, b"\0\0\1\0"), (Command.HELLO, b"")):
        once = frame(link, command, payload)
        replies = exchange(link, 3 * once)
        assert len(replies) == 3 and len(set(replies)) == 1
        assert exchange(link, once) == replies[:1]
        assert exchange(link, frame(link, command, payload)) != replies[:1]


# ---------------------------------------------------------------- both sides find each other again


def test_a_host_that_dies_within_a_frame(program: Path) -> None:
    with line(program) as there:
        with open_port(there.tty) as port:
            link = Link(port, there.tty)
            port.write(frame(link, Command.WRITE, bytes(60))[:-20])
        with open_port(there.tty) as port:
            assert Link(port, there.tty, timeout=0.2).stack() == 1234


@settings(max_examples=30, deadline=None)
@given(noise=st.binary(max_size=3000))
def test_any_bytes_before_a_request(program: Path, noise: bytes) -> None:
    with line(program) as there, open_port(there.tty) as port:
        port.write(noise)
        assert Link(port, there.tty, timeout=0.2).stack() == 1234


def test_a_board_that_resets_is_told_from_one_that_answers_late(link: Link, expected: dict[str, np.ndarray]) -> None:
    link.write(0, expected["in"][0].tobytes())
    exchange(link, frame(link, Command.RESET))
    with pytest.raises(DeviceError, match=r"the board was reset before it answered RUN"):
        link.run()
    link.write(0, expected["in"][0].tobytes())  # and goes on in a new session
    link.run()
    assert link.read(0, expected["out"][0].nbytes) == expected["out"][0].tobytes()


def test_a_fault_is_told_after_the_reset_once(program: Path) -> None:
    with line(program, EDGEQ_FAULT="0x1234") as there, open_port(there.tty) as port:
        link = Link(port, there.tty, timeout=0.2)
        assert link.hello.fault is None
        exchange(link, frame(link, Command.RESET))
        with pytest.raises(
            DeviceError, match=r"the core faulted \(undefined instruction\): .*pc=0x00001234.*in layer 0, at the command STACK"
        ):
            link.stack()
        assert link.say_hello().fault is None


def test_a_reply_that_comes_late_is_not_taken_for_the_next(link: Link, expected: dict[str, np.ndarray]) -> None:
    link.write(0, expected["in"][0].tobytes())
    link.run()
    link.port.write(frame(link, Command.READ, b"\0\0\1\0\0\0\4\0"))  # bytes 1 to 4, which nobody waits for
    time.sleep(0.1)
    assert link.read(0, 4) == expected["out"][0].tobytes()[:4] != expected["out"][0].tobytes()[1:5]


def test_reset_is_sent_until_the_board_has_forgotten_the_session(link: Link) -> None:
    assert link.say_hello().previous != 0
    link.reset()
    assert link.hello.previous == 0
    assert link.stack() == 1234


def test_another_hosts_requests_are_refused(link: Link) -> None:
    (reply,) = exchange(link, frame(link, Command.RUN, b"\1\0", session=link.session ^ 1))
    assert reply[5] == 4
    (reply,) = exchange(link, frame(link, Command.HELLO, session=0))
    assert reply[5] == 4
    assert link.stack() == 1234


def test_a_dead_board_is_given_up(tmp_path: Path) -> None:
    master, slave = os.openpty()
    with open_port(os.ttyname(slave)) as port:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=rf"no answer to HELLO in {ATTEMPTS} attempts at 921600 baud\n.*edgeq flash"):
            Link(port, "here", timeout=0.05)
        assert time.monotonic() - start < 5
    os.close(master)
    os.close(slave)


def test_a_port_that_vanishes_is_told(link: Link) -> None:
    link.port.close()
    with pytest.raises(DeviceError, match="the connection broke"):
        link.stack()


class Script:
    """A port on which every request is answered with the next of some bytes."""

    baudrate = 10_000_000

    def __init__(self, answers: list[bytes]):
        self.answers, self.data = answers, b""

    @property
    def in_waiting(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.data += self.answers.pop(0) if self.answers else b""

    def read(self, count: int) -> bytes:
        got, self.data = self.data[:count], self.data[count:]
        return got


@settings(max_examples=200, deadline=None)
@given(answers=st.lists(st.binary(max_size=80)), payload=st.binary(max_size=80), status=st.none() | st.integers(0, 255))
def test_whatever_answers_the_host_ends_with_an_error_or_a_hello(
    answers: list[bytes], payload: bytes, status: int | None
) -> None:
    """Bytes that are no frames, and intact frames with any status and payload."""
    port = Script(answers)

    def write(data: bytes) -> None:
        Script.write(port, data)
        if status is not None:
            request = cobs.decode(data.strip(b"\0"))
            message = request[:4] + bytes([request[4] | 0x80, status]) + payload
            port.data += b"\0" + cobs.encode(message + zlib.crc32(message).to_bytes(4, "little")) + b"\0"

    port.write = write  # type: ignore[method-assign]
    try:
        link = Link(port, "there", timeout=0.001)  # type: ignore[arg-type]
        assert link.hello.version == 1
        link.read(0, 10)
    except DeviceError as e:
        assert "there" in str(e)


# ---------------------------------------------------------------- transfers


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> tuple[edgeq.CompiledModel, Path]:
    """A model whose input is a picture of 27,648 bytes, and its program."""
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in (("x", (1, 3, 96, 96)), ("y", (1, 3, 1, 1)))]
    graph = helper.make_graph([helper.make_node("GlobalAveragePool", ["x"], ["y"])], "camera", value[:1], value[1:])
    folder = tmp_path_factory.mktemp("camera")
    file = folder / "camera.onnx"
    file.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    model = edgeq.compile_model(file, "random", run_check=False)
    return model, host_board(model, folder)


def pictures(model: edgeq.CompiledModel, count: int) -> tuple[list[bytes], list[bytes]]:
    """Pictures as stored, and the outputs."""
    ((name, port),) = model.inputs.items()
    x = np.random.default_rng(5).integers(-128, 128, (count, *port.stored)).astype(port.dtype)
    (y,) = model.library.run({name: x}).values()
    return [a.tobytes() for a in x], [a.tobytes() for a in y]


def test_a_picture_takes_few_frames_and_few_bytes_beside_its_own(camera: tuple[edgeq.CompiledModel, Path]) -> None:
    model, program = camera
    (x,), (y,) = pictures(model, 1)
    with line(program) as there, open_port(there.tty) as port:
        link = Link(port, there.tty)
        frames, wire = link.frames, link.bytes_out + link.bytes_in
        link.write(0, x)
        assert len(x) == IMAGE and link.frames - frames <= 28
        assert IMAGE / (link.bytes_out + link.bytes_in - wire) >= 0.96
        link.run()
        assert link.read(0, len(y)) == y


@pytest.mark.parametrize("payload", [256, 257, 300])
def test_smaller_frames_for_boards_with_little_ram(payload: int, digits: edgeq.CompiledModel, tmp_path: Path) -> None:
    program = host_board(digits, tmp_path, f"-DFRAME_PAYLOAD={payload}")
    with line(program) as there, open_port(there.tty) as port:
        link = Link(port, there.tty)
        assert link.hello.payload == payload and link.hello.board == "host"
        assert len(link.crcs(0, link.hello.layers)) == link.hello.layers
        assert len(link.output(0, 0, 64)) == 64
        assert link.retries == 0


# ---------------------------------------------------------------- a bad line

BAD = {  # faults, frames at least, whether nearly all must go well
    "drop": (Faults(drop=0.001), 600, True), "flip": (Faults(flip=0.001), 600, True),
    "double": (Faults(double=0.001), 600, True), "cut": (Faults(cut=0.001), 600, True),
    "late": (Faults(late=0.001), 600, True), "all": (Faults(0.0006, 0.0006, 0.0006, 0.0006, 0.0001), 700, True),
    "worst": (Faults(0.0024, 0.0024, 0.0024, 0.0024, 0.0004), 500, False),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_on_a_bad_line_every_answer_is_right_or_an_error(kind: str, program: Path, expected: dict[str, np.ndarray]) -> None:
    faults, frames, all_well = BAD[kind]
    right, failed = 0, 0
    with line(program, faults, seed=11) as there, open_port(there.tty) as port:
        link = None
        while link is None or link.frames < frames:
            i = (right + failed) % len(expected["in"])
            try:
                link = link or Link(port, there.tty, timeout=0.01, run_time=0.01)
                link.write(0, expected["in"][i].tobytes())
                crcs = link.crcs(0, link.hello.layers)
                out = link.read(0, expected["out"][i].nbytes)
                assert list(crcs) == [zlib.crc32(expected[str(k)][i].tobytes()) for k in range(link.hello.layers)]
                assert out == expected["out"][i].tobytes()
                right += 1
            except DeviceError:
                failed += 1
        assert there.faults[:5].sum() > 20
    assert right > 20 and (failed <= right // 10 or not all_well), (right, failed)


def test_on_a_bad_line_frames_become_smaller(camera: tuple[edgeq.CompiledModel, Path]) -> None:
    model, program = camera
    xs, ys = pictures(model, 2)
    with line(program, Faults(0.0004, 0.0004, 0.0004, 0.0004, 0.0002), seed=3) as there, open_port(there.tty) as port:
        link = Link(port, there.tty, timeout=0.01, run_time=0.05)
        for x, y in zip(xs, ys, strict=True):
            link.write(0, x)
            link.run()
            assert link.read(0, len(y)) == y
        assert link.piece < link.largest


# ---------------------------------------------------------------- ports


class Tty(serial.Serial):
    """A pseudo-terminal, which has no modem lines."""

    cts = dsr = ri = cd = property(lambda self: True)  # type: ignore[assignment]

    def _update_dtr_state(self) -> None:
        pass

    _update_rts_state = _update_dtr_state


class Served:
    """A tty behind a TCP port, for one connection: its bytes as they are, or by RFC 2217."""

    def __init__(self, there: Line, rfc2217: bool):
        self.tty, self.rfc2217, self.ended = Tty(there.tty, timeout=0.02), rfc2217, False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        with self.server, self.server.accept()[0] as connection, self.tty:
            manager = PortManager(self.tty, connection.makefile("wb", buffering=0)) if self.rfc2217 else None
            back = threading.Thread(target=self.send_back, args=(connection, manager))
            back.start()
            while data := connection.recv(4096):
                self.tty.write(b"".join(manager.filter(data)) if manager else data)
            self.ended = True
            back.join()

    def send_back(self, connection: socket.socket, manager: PortManager | None) -> None:
        while not self.ended:
            data = self.tty.read(self.tty.in_waiting or 1)
            connection.sendall(b"".join(manager.escape(data)) if manager else data)


@pytest.mark.filterwarnings("ignore:set.* is deprecated:DeprecationWarning")  # pyserial's
@pytest.mark.parametrize("kind", ["socket", "rfc2217"])
def test_ports_by_url(kind: str, program: Path, expected: dict[str, np.ndarray]) -> None:
    with line(program) as there:
        served = Served(there, kind == "rfc2217")
        with open_port(f"{kind}://{served.address}") as port:
            link = Link(port, kind)
            link.write(0, expected["in"][0].tobytes())
            link.run()
            assert link.read(0, expected["out"][0].nbytes) == expected["out"][0].tobytes()
        served.thread.join(10)
        assert not served.thread.is_alive()


def test_a_port_that_does_not_open_is_told(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [ListPortInfo("/dev/ttyACM7")]
    ports[0].vid, ports[0].pid, ports[0].description = 0x0483, 0x374B, "STM32 STLink"
    monkeypatch.setattr("edgeq.device.port.list_ports.comports", lambda: ports)
    with pytest.raises(
        DeviceError, match=r"/dev/nothing: there is no such port\n.*USB ports here: /dev/ttyACM7 \(STM32 STLink\)"
    ):
        open_port("/dev/nothing")
    with line(program) as there, open_port(there.tty), pytest.raises(DeviceError, match="in use by another program"):
        open_port(there.tty)
    with pytest.raises(DeviceError, match="the port does not open"):
        open_port("socket://127.0.0.1:1")
    with pytest.raises(DeviceError, match="the port does not open"):
        open_port("nonsense://there")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DeviceError, match=r"may not open the port\n.*usermod -aG dialout"):
        open_port("/dev/ttyS9")


def test_a_port_is_found_by_its_usb_id(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [ListPortInfo(name) for name in ("/dev/ttyS0", "/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyUSB0")]
    for port, vid, pid in zip(ports, (None, 0x0483, 0x1366, 0x0483), (None, 0x374B, 0x1015, 0x374B), strict=True):
        port.vid, port.pid = vid, pid
    monkeypatch.setattr("edgeq.device.port.list_ports.comports", lambda: ports)
    assert find_port(["1366:1015"], "nrf") == "/dev/ttyACM1"
    with pytest.raises(DeviceError, match=r"nucleo: 2 ports have its USB id: /dev/ttyACM0, /dev/ttyUSB0\n.*--port"):
        find_port(["0483:374b"], "nucleo")
    with pytest.raises(DeviceError, match=r"pico: no port has its USB id \(2e8a:000c\)\n.*--port NAME; USB ports here"):
        find_port(["2e8a:000c"], "pico")
    with pytest.raises(DeviceError, match=r"x: its USB id is not known"):
        find_port([], "x")


# ---------------------------------------------------------------- the program


def test_fuzzed(tmp_path: Path) -> None:
    """A short run; what is sent and what must hold is in fuzz.c."""
    files = [TESTS / "c" / "serial" / "fuzz.c", SERIAL / "frame.c", SERIAL / "probe.c"]
    flags = ["-std=c99", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined", *CLOCKS]
    shell(["clang", *flags, f"-I{SERIAL}", f"-I{DEVICE}", *files, "-o", tmp_path / "fuzz"])
    done = subprocess.run([tmp_path / "fuzz", "-runs=15000", "-seed=1", "-len_control=0", "-max_len=2000"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_compiles_without_warnings_and_needs_nothing(compiler: str, tmp_path: Path) -> None:
    """No allocation, no printing: what is not defined here is the board's, the model's, or memcpy and memset."""
    for file in sources(SERIAL):
        shell([compiler, *STRICT, "-O2", *CLOCKS, f"-I{DEVICE}", "-c", file, "-o", tmp_path / f"{file.stem}.o"])
    names = shell(["nm", *sorted(tmp_path.glob("*.o"))] if compiler != "arm-none-eabi-gcc" else
                  ["arm-none-eabi-nm", *sorted(tmp_path.glob("*.o"))]).decode().splitlines()  # fmt: skip
    defined = {n.split()[-1] for n in names if " U " not in n and n.strip()}
    needed = {n.split()[-1] for n in names if " U " in n} - defined
    allowed = {
        "memcpy",
        "memset",
        "device_model",
        "device_take_fault",
        "device_stack_used",
        "device_reset",
        "_GLOBAL_OFFSET_TABLE_",
    }
    assert {n for n in needed if not n.startswith("port_")} <= allowed
