"""The host's side of MLPerf Tiny's serial interface, as the benchmark's own runner plays it: what it sends, what it makes of
the lines that come back, how long it waits. Written from reading benchmark/runner of github.com/mlcommons/tiny.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

LINE_SECONDS = 5.0  # without a line for so long the runner gives up
CHUNK = 31  # bytes in a `db` command
RETRIES = 3


class Stream(Protocol):
    """A serial port: read returns b"" where nothing comes for a while."""

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> Any: ...


class Runner:
    """One device. `lines` is what the last command was answered with, without empty lines."""

    def __init__(self, stream: Stream, seconds: float = LINE_SECONDS):
        self.stream, self.seconds = stream, seconds
        self.lines: list[str] = []

    def _line(self) -> str:
        """CR and NUL are dropped; a byte that is no UTF-8 is an error, as it ends the runner's reading thread."""
        text, last = "", time.monotonic()
        while True:
            char = self.stream.read(1).decode()
            if char == "\n":
                return text
            text += char.strip("\r\0")
            if char:
                last = time.monotonic()
            assert time.monotonic() - last < self.seconds, f"no line in {self.seconds:g} s; so far {text!r}"

    def send(self, command: str) -> list[str]:
        """Every answer ends in a line with m-ready; what comes later would be taken for the next command's answer."""
        self.stream.write(f"{command}%".encode())
        return self.answer()

    def answer(self) -> list[str]:
        """The lines up to m-ready."""
        self.lines = []
        while not (self.lines and "m-ready" in self.lines[-1]):
            self.lines += filter(None, [self._line()])
        return self.lines

    def _ask(self, command: str, pattern: str) -> dict[str, str]:
        for _ in range(RETRIES):
            found = [re.match(pattern, line) for line in self.send(command)]
            if any(found):
                return {m[1]: m[2] for m in found if m}
        raise AssertionError(f"{command}: {self.lines}")

    def identify(self) -> dict[str, str]:
        """name, profile and model."""
        return self._ask("name", r"^m-(name)-dut-\[([^]]+)]$") | self._ask("profile", r"^m-(model|profile)-\[([^]]+)]$")

    def load(self, data: bytes) -> None:
        self.send(f"db load {len(data)}")
        for start in range(0, len(data), CHUNK):
            self.send(f"db {data[start : start + CHUNK].hex()}")

    def infer(self, times: int, warmups: int) -> dict[str, Any]:
        """results: floats of the vector; elapsed: microseconds between the two stamps; end: the second."""
        results: list[float] = []
        stamps = []
        for line in self.send(f"infer {times} {warmups}"):
            if vector := re.match(r"^m-results-\[([^]]+)\]$", line):
                results = [float(x) for x in vector[1].split(",") if x.strip()]
            if stamp := re.match(r"^m-lap-us-([0-9]+)$", line):
                stamps.append(int(stamp[1]))
        assert results and len(stamps) == 2, self.lines
        return {"results": results, "elapsed": stamps[1] - stamps[0], "end": stamps[1]}

    def accuracy(self, files: Iterator[bytes]) -> list[list[float]]:
        """Results of each file (of ad01: window), one inference without warm-up."""
        out = []
        for data in files:
            self.load(data)
            out.append(self.infer(1, 0)["results"])
        return out

    def performance(self, files: Iterator[bytes], times: int, warmups: int) -> float:
        """The median over the files of inferences a second."""
        rates = []
        for data in files:
            self.load(data)
            elapsed = self.infer(times, warmups)["elapsed"]
            assert elapsed > 0
            rates.append(times / (elapsed / 1e6))
        return float(np.median(rates))


def windows(spectrogram: bytes, width: int = 2560, stride: int = 512) -> Iterator[bytes]:
    """An ad01 file as it is sent: overlapping windows, whose number of bytes and stride y_labels.csv has."""
    for start in range(0, len(spectrogram) - width + 1, stride):
        yield spectrogram[start : start + width]
