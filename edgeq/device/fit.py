"""Whether a model has room on a board: estimated before any compiler runs, and exactly where the linker found it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeq.device.board import Board, boards
from edgeq.errors import DoesNotFit

# bytes of a program in runtime_c/device with start-up code and port.c, of the smallest there is on any board
PROGRAMS = {"serial": {"flash": 3200, "ram": 2376}, "mlperf-tiny": {"flash": 6800, "ram": 460}}
LAYER_BYTES = 90  # of flash: a layer's parameters, its calls, what the program is told of it
BAND_BYTES = 45  # of flash: the same for one more band of rows, which mostly shares its parameters


@dataclass(frozen=True)
class Need:
    """Bytes of what a model needs, by what they are for."""

    flash: Mapping[str, int]
    ram: Mapping[str, int]

    def over(self, board: Board) -> dict[str, int]:
        """Region -> bytes by which the board has too few."""
        short = {"flash": sum(self.flash.values()) - board.flash.size, "RAM": sum(self.ram.values()) - board.ram.size}
        return {region: bytes_ for region, bytes_ in short.items() if bytes_ > 0}


@dataclass(frozen=True)
class Demand:
    """What a model asks of any board: bytes, and how many layers, and steps where some run by bands of rows.

    app: one of PROGRAMS; buffers: RAM that it takes besides.
    """

    constants: int
    code: int
    layers: int
    steps: int
    arena: int
    app: str = "serial"
    buffers: int = 0

    @classmethod
    def of(cls, manifest: Mapping[str, Any], app: str = "serial", buffers: int = 0) -> Demand:
        m = manifest
        return cls(m["constant_bytes"], m["code_bytes"], len(m["layers"]), len(m["steps"]), m["arena_bytes"], app, buffers)

    def on(self, board: Board) -> Need:
        """Estimated."""
        program = PROGRAMS[self.app]
        calls = LAYER_BYTES * self.layers + BAND_BYTES * (self.steps - self.layers)
        kernels, stack = self.code + calls, board.stack.size + board.stack.fault_size
        return Need({"constants": self.constants, "kernels": kernels, "program": program["flash"]},
                    {"arena": self.arena, "stack": stack, "program": program["ram"] + self.buffers})  # fmt: skip


def check_fit(model: str, board: Board, demand: Demand) -> None:
    """Raises DoesNotFit saying by how many bytes in which region, and on which boards there is room."""
    need = demand.on(board)
    if over := need.over(board):
        facts = [f"{bytes_:,} bytes of {region} too many: {_sum(need.flash if region == 'flash' else need.ram)} of "
                 f"{(board.flash if region == 'flash' else board.ram).size:,}" for region, bytes_ in over.items()]  # fmt: skip
        fits = [b.name for b in boards().values() if not demand.on(b).over(b)]
        hints = [f"--optimize {'ram' if region == 'RAM' else 'size'}" for region in over]
        hint = ", ".join([*hints, f"a board with room: {', '.join(fits)}" if fits else "a smaller model"])
        raise DoesNotFit(f"does not fit {board.name}: {'; '.join(facts)} (estimated)", node=model, hint=hint)


def _sum(parts: Mapping[str, int]) -> str:
    return f"{' + '.join(f'{name} {bytes_:,}' for name, bytes_ in parts.items())} = {sum(parts.values()):,}"


def overflow(messages: str, where: str) -> DoesNotFit | None:
    """What the linker says of regions that are too small."""
    over = re.findall(r"region [`'](\w+)' overflowed by (\d+) bytes", messages)
    if not over:
        return None
    facts = [f"{int(bytes_):,} bytes of {region} too many" for region, bytes_ in over]
    return DoesNotFit(f"does not fit: {', '.join(facts)}", node=where, hint="--optimize size, a smaller model or another board")
