"""What every layer takes on a board: cycles there, instructions in QEMU, where time passes only as instructions do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeq.device.connect import Connection
from edgeq.device.protocol import Link
from edgeq.device.verify import inputs, load
from edgeq.model import Arrays, BuiltModel

RUNS = 5  # of which the least counts


@dataclass(frozen=True)
class LayerProfile:
    """count: in the profile's unit, the least of all runs; most: the greatest."""

    index: int
    name: str
    op: str
    kernel: str | None
    macs: int
    count: int
    most: int

    @property
    def per_mac(self) -> float | None:
        """Counts for a multiply-accumulate; None where there are none."""
        return self.count / self.macs if self.macs else None


@dataclass(frozen=True)
class Profile:
    """unit: cycles or instructions; step: how many make one count of the counter, so figures are multiples of it.

    count, most: of whole runs, least and greatest; seconds: of the fastest run, None in QEMU. stack_bytes: high-water mark
    since the reset.
    """

    board: str
    emulated: bool
    unit: str
    step: float
    runs: int
    count: int
    most: int
    seconds: float | None
    stack_bytes: int
    arena_bytes: int
    layers: tuple[LayerProfile, ...]

    def share(self, layer: LayerProfile) -> float:
        """The part of all layers' counts that is this one's, 0..1."""
        return layer.count / (sum(x.count for x in self.layers) or 1)


def profile(
    connection: Connection, sample: Arrays | None = None, runs: int = RUNS, progress: Callable[[int, int], None] | None = None
) -> Profile:
    """Runs the model `runs` times with the layers counted, and as often without.

    sample: ONNX input name -> (1, *stored shape) integers; by default random ones, since counts do not depend on values.
    progress: called with (done, total). Raises DeviceError.
    """
    link, model, hello = connection.link, connection.model, connection.link.hello
    if sample is None:
        sample = {name: x[-1:] for name, x in inputs(model).items()}
    rows = []
    for run in range(runs):
        rows.append(layer_counts(link, model, sample))
        if progress:
            progress(run + 1, runs)
    load(link, model, sample)
    least, most = link.run(runs)
    step = unit_step(connection)

    def units(counts: float) -> int:
        return round(counts * step)

    layers = tuple(
        LayerProfile(x["index"], x["name"], x["op"], x["kernel"], x["macs"], units(low), units(high))
        for x, low, high in zip(model.manifest["layers"], np.min(rows, 0), np.max(rows, 0), strict=True)
    )  # fmt: skip
    return Profile(
        hello.board, connection.emulated, "instructions" if connection.emulated else "cycles", step, runs, units(least),
        units(most), None if connection.emulated else least / hello.counter_hz, link.stack(), hello.arena_bytes, layers,
    )  # fmt: skip


def unit_step(connection: Connection) -> float:
    """Instructions, in QEMU, or cycles of the core that pass in one count."""
    hello = connection.link.hello
    if connection.emulated and connection.board:
        return connection.board.instructions_per_count
    return hello.clock_hz / hello.counter_hz


def layer_counts(link: Link, model: BuiltModel, sample: Arrays) -> list[int]:
    """The count of every layer, in as many runs as their frames take."""
    count, batch = len(model.manifest["layers"]), link.piece // 4 - 1
    counts: list[int] = []
    for first in range(0, count, batch):
        load(link, model, sample)
        counts += link.counts(first, min(batch, count - first))
    return counts
