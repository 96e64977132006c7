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
    rows: list[list[int]] = []
    for run in range(runs):
        row = layer_counts(link, model, sample)
        load(link, model, sample)
        rows.append([*row, *link.run()[:1]])
        if progress:
            progress(run + 1, runs)
    instructions = connection.board.instructions_per_count if connection.emulated and connection.board else None
    step = instructions or hello.clock_hz / hello.counter_hz
    least, most = ([round(count * step) for count in extreme(rows, 0)] for extreme in (np.min, np.max))
    layers = [LayerProfile(x["index"], x["name"], x["op"], x["kernel"], x["macs"], low, high)
              for x, low, high in zip(model.manifest["layers"], least[:-1], most[:-1], strict=True)]  # fmt: skip
    return Profile(
        board=hello.board, emulated=connection.emulated, unit="instructions" if instructions else "cycles", step=step,
        runs=runs, count=least[-1], most=most[-1], seconds=None if instructions else least[-1] / hello.clock_hz,
        stack_bytes=link.stack(), arena_bytes=hello.arena_bytes, layers=tuple(layers),
    )  # fmt: skip


def layer_counts(link: Link, model: BuiltModel, sample: Arrays) -> list[int]:
    """The count of every layer, in as many runs as their frames take."""
    count, batch = len(model.manifest["layers"]), link.piece // 4 - 1
    counts: list[int] = []
    for first in range(0, max(count, 1), batch):  # a network may have no layers
        load(link, model, sample)
        counts += link.counts(first, min(batch, count - first))
    return counts
