"""The host's side of the serial protocol (SPEC.md, section 8): requests to the firmware of runtime_c/device/serial."""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

import serial
from cobs import cobs

from edgeq.device.board import boards
from edgeq.device.fault import Fault
from edgeq.errors import DeviceError

VERSION = 1
CRC, STATUS = 4, 5  # bytes of the CRC; where the status is in a message
LONGEST = 1 << 17  # bytes between two zeros that are kept
ATTEMPTS = 6  # times that a request is sent before the line counts as dead
NO_LAYER = 0xFFFFFFFF
LEAST_PAYLOAD = 256  # bytes, that every firmware takes
SMALLEST = 16  # bytes of data in a frame: on a bad line, frames become smaller down to this
REPLY = 0x80
HEADER = struct.Struct("<HHBB")  # session, id, command, status
HELLO = struct.Struct("<BHHIIIIHHH")
AT, PIECE = struct.Struct("<HI"), struct.Struct("<HIH")


class Command(IntEnum):
    """What the firmware can be asked for."""

    HELLO = 1
    WRITE = 2
    READ = 3
    RUN = 4
    CRCS = 5
    COUNTS = 6
    OUTPUT = 7
    STACK = 8
    RESET = 9


NO_SESSION = 4
REBUILD = "build and flash the firmware of this folder with this edgeq"
STATUS_WORDS = ("ok", "unknown command", "wrong length", "out of range", "no session")


class NoAnswer(DeviceError):
    """The board answered none of the attempts."""


@dataclass(frozen=True)
class Hello:
    """What the firmware says of itself. counter_hz: of the counter on the real board, whose core runs at clock_hz.

    previous: the session before this one, 0 where there was none since the reset; payload: bytes in a frame, at most.
    fault: what led to the reset; fault_layer: the layer in which, or NO_LAYER.
    """

    version: int
    previous: int
    payload: int
    model_hash: int
    clock_hz: int
    counter_hz: int
    arena_bytes: int
    inputs: int
    outputs: int
    layers: int
    model: str
    edgeq: str
    target: str
    board: str
    fault: Fault | None
    fault_layer: int

    @classmethod
    def parse(cls, data: bytes, where: str) -> Hello:
        """The reply's payload. Raises DeviceError where this edgeq cannot read it."""
        if data[:1] != bytes([VERSION]):
            raise DeviceError(f"the firmware speaks protocol version {data[0] if data else 'none'}, this edgeq {VERSION}",
                              node=where, hint=REBUILD)  # fmt: skip
        try:
            names, at = [], HELLO.size
            for _ in range(4):
                names.append(data[at + 1 : at + 1 + data[at]].decode(errors="replace"))
                at += 1 + data[at]
            words = struct.unpack_from("<10I", data, at) if at < len(data) else None
            values = (*HELLO.unpack_from(data), *names, Fault(*words[:-1]) if words else None, words[-1] if words else NO_LAYER)
        except (struct.error, IndexError) as e:
            raise DeviceError(f"a hello of {len(data)} bytes cannot be read ({e})", node=where, hint=REBUILD) from e
        hello = cls(*values)
        if hello.payload < LEAST_PAYLOAD:
            raise DeviceError(f"the firmware takes {hello.payload} bytes at a time, less than {LEAST_PAYLOAD}", node=where,
                              hint="FRAME_PAYLOAD in runtime_c/device/serial/frame.h")  # fmt: skip
        return hello


class Link:
    """A conversation with one board. Its methods raise DeviceError.

    port: open, with a short read timeout; where: its name, for messages. timeout: seconds to wait for a reply, beside the
    time that its bytes and a run take; run_time: seconds that a run of the model may take.
    """

    def __init__(self, port: serial.SerialBase, where: str, timeout: float = 0.5, run_time: float = 10):
        self.port, self.where, self.timeout, self.run_time = port, where, timeout, run_time
        self.session = self.id = 0
        self.largest = self.piece = SMALLEST  # payload in bytes, as the firmware and as the line allow
        self.received = bytearray()
        self.frames = self.retries = self.bytes_out = self.bytes_in = 0
        self.hello = self.say_hello()

    # ------------------------------------------------------------ commands

    def say_hello(self) -> Hello:
        """Begins a new session: what the board was asked before is over."""
        self.session = 1 + secrets.randbelow(0xFFFF)
        hello = Hello.parse(self.request(Command.HELLO), self.where)
        self.largest = self.piece = hello.payload
        return hello

    def write(self, tensor: int, data: bytes) -> None:
        """The stored bytes of a network input."""

        def send(start: int, room: int) -> int:
            part = data[start : start + room - AT.size]
            self.request(Command.WRITE, AT.pack(tensor, start) + part, 0)
            return len(part)

        self._in_pieces(len(data), send)

    def read(self, tensor: int, length: int) -> bytes:
        """The stored bytes of a network output."""
        data = bytearray()

        def fetch(start: int, room: int) -> int:
            size = min(length - start, room)
            data.extend(self.request(Command.READ, PIECE.pack(tensor, start, size), size))
            return size

        self._in_pieces(length, fetch)
        return bytes(data)

    def run(self, times: int = 1) -> tuple[int, int]:
        """Runs the model; from the second time on, its input is what the run before left there. -> least and most counts."""
        least, most = struct.unpack("<II", self.request(Command.RUN, struct.pack("<H", times), 8, times))
        return least, most

    def crcs(self, first: int, count: int) -> tuple[int, ...]:
        """A run. -> CRC-32 of the output of each of these layers, which are at most hello.payload / 4."""
        return self._numbers(Command.CRCS, first, count, count)

    def counts(self, first: int, count: int) -> tuple[int, ...]:
        """A run. -> the counter over each of these layers, at most hello.payload / 4 - 1, less what counting itself takes."""
        empty, *counts = self._numbers(Command.COUNTS, first, count, count + 1)
        return tuple(max(c - empty, 0) for c in counts)

    def output(self, layer: int, offset: int, length: int) -> bytes:
        """A run. -> bytes of a layer's output, at most hello.payload."""
        return self.request(Command.OUTPUT, PIECE.pack(layer, offset, length), length, 1)

    def stack(self) -> int:
        """The stack's high-water mark in bytes, from the reset on."""
        (used,) = struct.unpack("<I", self.request(Command.STACK, b"", 4))
        return used

    def reset(self) -> None:
        """Resets the board and begins a new session."""
        for _ in range(ATTEMPTS):
            self._send(self._frame(Command.RESET, b""))  # which is not answered
            self.hello = self.say_hello()
            if self.hello.previous == 0:
                return
        raise DeviceError(f"was told {ATTEMPTS} times to reset and did not", node=self.where, hint="press its reset button")

    # ------------------------------------------------------------ requests and replies

    def request(self, command: Command, payload: bytes = b"", size: int | None = None, runs: int = 0) -> bytes:
        """The reply's payload. size: the bytes it must have; runs: how often the model runs for it. Raises NoAnswer."""
        frame = self._frame(command, payload)
        for attempt in range(ATTEMPTS):
            self.retries += attempt > 0
            self._send(frame)
            reply = self._receive(command, self._patience(len(frame)) + runs * self.run_time)
            if reply is not None:
                return self._checked(command, reply, size)
        fact = f"no answer to {command.name} in {ATTEMPTS} attempts at {self.port.baudrate} baud"
        raise NoAnswer(fact, node=self.where, hint="is this the port and the rate, and is the firmware flashed (edgeq flash)?")

    def _patience(self, length: int) -> float:
        """Seconds to wait for the reply to a request of so many bytes."""
        return self.timeout + 10 * (length + 2 * self.largest) / self.port.baudrate

    def _frame(self, command: Command, payload: bytes) -> bytes:
        self.id = (self.id + 1) & 0xFFFF
        message = HEADER.pack(self.session, self.id, command, 0) + payload
        return b"\0" + cobs.encode(message + zlib.crc32(message).to_bytes(CRC, "little")) + b"\0"

    def _send(self, frame: bytes) -> None:
        with self._guard():
            self.port.write(frame)
        self.frames += 1
        self.bytes_out += len(frame)

    def _receive(self, command: Command, seconds: float) -> bytes | None:
        """The message that answers the last request, if it comes in time."""
        wanted = HEADER.pack(self.session, self.id, command | REPLY, 0)[:STATUS]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._guard():
                data = self.port.read(self.port.in_waiting or 1)
            self.bytes_in += len(data)
            self.received += data
            *frames, self.received = self.received.split(b"\0")
            for message in map(_decode, map(bytes, frames)):
                if message is not None and message.startswith(wanted):
                    return message
            del self.received[:-LONGEST]
        return None

    def _checked(self, command: Command, reply: bytes, size: int | None) -> bytes:
        status, payload = reply[STATUS], reply[HEADER.size :]
        if status == NO_SESSION and command is not Command.HELLO:
            raise self._reset_error(command)
        if status:
            word = STATUS_WORDS[status] if status < len(STATUS_WORDS) else f"status {status}"
            raise DeviceError(f"refused {command.name}: {word}", node=self.where, hint=REBUILD)
        if size is not None and len(payload) != size:
            fact = f"answered {command.name} with {len(payload)} bytes, expected {size}"
            raise DeviceError(fact, node=self.where, hint=REBUILD)
        return payload

    def _reset_error(self, command: Command) -> DeviceError:
        """What to say of a board that no longer knows this session."""
        self.hello = self.say_hello()
        if self.hello.fault is None:
            return DeviceError(f"the board was reset before it answered {command.name}", node=self.where,
                               hint="again; if it recurs, look at its supply, watchdog and reset line")  # fmt: skip
        board, layer = boards().get(self.hello.board), self.hello.fault_layer
        fault = self.hello.fault.explain(board.ram if board else None)
        where = "outside of layers" if layer == NO_LAYER else f"in layer {layer}"
        return DeviceError(f"{fault}; {where}, at the command {command.name}", node=self.where,
                           hint="arm-none-eabi-addr2line -fpe FIRMWARE.elf ADDRESS names the line of an address")  # fmt: skip

    def _numbers(self, command: Command, first: int, count: int, numbers: int) -> tuple[int, ...]:
        return struct.unpack(f"<{numbers}I", self.request(command, struct.pack("<HH", first, count), 4 * numbers, 1))

    def _in_pieces(self, length: int, transfer: Callable[[int, int], int]) -> None:
        """Calls transfer(start, largest payload) -> bytes done; with smaller ones where the line loses too many frames."""
        done = 0
        while done < length:
            try:
                done += transfer(done, self.piece)
            except NoAnswer:
                if self.piece == SMALLEST:
                    raise
                self.stack()  # raises where nobody is there at all
                self.piece = max(self.piece // 2, SMALLEST)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:  # SerialException is one
            raise DeviceError(f"the connection broke ({e})", node=self.where, hint="is the board still plugged in?") from e


def _decode(frame: bytes) -> bytes | None:
    """The message in a frame, or None where it is damaged."""
    try:
        message = cobs.decode(frame)
    except cobs.DecodeError:
        return None
    body, crc = message[:-CRC], message[-CRC:]
    return body if len(body) >= HEADER.size and zlib.crc32(body).to_bytes(CRC, "little") == crc else None
