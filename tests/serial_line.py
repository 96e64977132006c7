"""A board that is a process of this machine, and a serial line to it that loses, changes, repeats and delays bytes."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeq.emit import device_model
from edgeq.model import BuiltModel
from edgeq.resources import DEVICE
from tests.c_models import STRICT, TESTS, shell, sources

SERIAL = DEVICE / "serial"
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
CLOCKS = ("-DBOARD_CLOCK_HZ=25000000U", "-DBOARD_COUNTER_HZ=1000000U")
READ = 4096
LATE_SECONDS = 0.02


def host_board(model: BuiltModel, folder: Path, *flags: str) -> Path:
    """The serial program with a model, compiled for this machine with sanitizers. It talks over stdin and stdout."""
    library = model.save(folder / model.name)
    (folder / "device_model.c").write_text(device_model(model.manifest, "host"))
    files = [*sources(library), folder / "device_model.c", *sources(SERIAL), TESTS / "c" / "serial" / "board.c"]
    include = [f"-I{path}" for path in (library, DEVICE, SERIAL)]
    program = folder / "board"
    shell(["clang", *STRICT, *SANITIZE, *CLOCKS, *flags, "-DEDGEQ_HOOKS=1", *include, *files, "-o", program])
    return program


@dataclass(frozen=True)
class Faults:
    """What happens to a byte, each with this probability. cut: it is lost with the rest of its frame; late: all wait for it."""

    drop: float = 0
    flip: float = 0
    double: float = 0
    cut: float = 0
    late: float = 0


DROP, FLIP, DOUBLE, CUT, LATE, NONE = range(6)


@dataclass
class Line:
    """tty: where the host finds the board. faults: done to bytes so far, by kind."""

    tty: str
    faults: np.ndarray


@contextmanager
def line(program: Path, faults: Faults = Faults(), seed: int = 0, **environment: str) -> Iterator[Line]:
    """The program of host_board, running, at the end of a line. Fails where a sanitizer found something in it."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}) as board:
        assert board.stdin and board.stdout
        try:
            with relay(board.stdout.fileno(), board.stdin.fileno(), faults, seed) as there:
                yield there
        finally:
            board.stdin.close()  # which ends the program
            assert board.wait(10) == 0


@contextmanager
def relay(source: int, to: int, faults: Faults, seed: int) -> Iterator[Line]:
    """A line to what writes to one descriptor and reads from the other."""
    master, slave = os.openpty()
    tty.setraw(slave)
    there, stop = Line(os.ttyname(slave), np.zeros(NONE + 1, np.int64)), threading.Event()
    threads = [threading.Thread(target=pump, args=(there, stop, *ends, faults, 2 * seed + i))
               for i, ends in enumerate([(master, to), (source, master)])]  # fmt: skip
    try:
        for thread in threads:
            thread.start()
        yield there
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        os.close(master)
        os.close(slave)


def pump(there: Line, stop: threading.Event, source: int, to: int, faults: Faults, seed: int) -> None:
    """Carries bytes from one descriptor to another. Which suffer depends on the seed alone."""
    rng = np.random.default_rng(seed)
    limits = np.cumsum([faults.drop, faults.flip, faults.double, faults.cut, faults.late])
    cutting = False
    while not stop.is_set():
        if not select.select([source], [], [], 0.02)[0]:
            continue
        data = os.read(source, READ)
        if not data:
            return
        kinds = np.searchsorted(limits, rng.random(len(data)), side="right")
        there.faults += np.bincount(kinds, minlength=NONE + 1)
        out = bytearray()
        for byte, kind in zip(data, kinds.tolist(), strict=True):
            cutting = (cutting or kind == CUT) and byte != 0
            if kind == LATE:
                time.sleep(LATE_SECONDS)
            if not cutting and kind != DROP:
                out += bytes([byte ^ 1 << len(out) % 8 if kind == FLIP else byte]) * (2 if kind == DOUBLE else 1)
        while out:
            del out[: os.write(to, out)]
