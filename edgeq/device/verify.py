"""Proves that a board computes what this machine computes, layer by layer, and names the first difference."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeq.calibrate import load_samples
from edgeq.check import stress
from edgeq.device.protocol import Link
from edgeq.errors import Mismatch
from edgeq.model import Arrays, BuiltModel


@dataclass(frozen=True)
class Verified:
    """inputs: on which board and host agreed; layers: whose outputs were compared by CRC; elements: output bytes compared."""

    inputs: int
    layers: int
    elements: int


def verify(link: Link, model: BuiltModel, feeds: Arrays, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Compares every output byte, and the CRC-32 of every layer's output, with the host library's on every sample.

    feeds: ONNX input name -> (N, *stored shape) integers. progress: called with (done, total). Raises Mismatch naming the
    first layer and element that differ.
    """
    count = len(next(iter(feeds.values())))
    elements = 0
    for i in range(count):
        sample = {name: x[i : i + 1] for name, x in feeds.items()}
        outputs, layers = model.library.run(sample), model.library.trace(sample)
        for layer, crc in zip(model.manifest["layers"], layer_crcs(link, model, sample), strict=True):
            expected = layers[layer["output"]][0]
            if crc != zlib.crc32(expected.tobytes()):
                raise _layer_mismatch(link, model, sample, i, layer, expected)
        for index, (name, expected) in enumerate(outputs.items()):
            got = np.frombuffer(link.read(index, expected.nbytes), expected.dtype).reshape(expected.shape)
            if not np.array_equal(got, expected):
                fact = f"{_first(got[0], expected[0], link)}, at input {i}, though every layer's output agrees"
                raise Mismatch(fact, node=f"output {name}", hint="memory was written after the run: report it with the model")
            elements += expected.size
        if progress:
            progress(i + 1, count)
    return Verified(count, len(model.manifest["layers"]), elements)


def inputs(model: BuiltModel, data: Any = None, count: int = 0) -> Arrays:
    """What to verify with: saturating, alternating and random inputs, then the first `count` samples of the data.

    data: as load_samples takes it. -> ONNX input name -> (N, *stored shape) integers. Raises BadInput.
    """
    feeds = stress({name: (port.stored, port.dtype) for name, port in model.inputs.items()})
    if data is None:
        return feeds
    samples = load_samples(data, {p["name"]: tuple(p["onnx_shape"]) for p in model.manifest["inputs"]})
    real = model.stored(samples.head(count).stack())
    return {name: np.concatenate([feeds[name], real[name]]) for name in feeds}


def load(link: Link, model: BuiltModel, sample: Arrays) -> None:
    """Writes the network's inputs. sample: ONNX input name -> (1, *stored shape)."""
    for index, name in enumerate(model.inputs):
        link.write(index, sample[name].tobytes())


def layer_crcs(link: Link, model: BuiltModel, sample: Arrays) -> list[int]:
    """CRC-32 of the output of every layer, in as many runs as their frames take."""
    count, batch = len(model.manifest["layers"]), link.piece // 4
    crcs: list[int] = []
    for first in range(0, max(count, 1), batch):  # a network may have no layers
        load(link, model, sample)
        crcs += link.crcs(first, min(batch, count - first))
    return crcs


def _layer_mismatch(
    link: Link, model: BuiltModel, sample: Arrays, index: int, layer: Mapping[str, Any], expected: np.ndarray
) -> Mismatch:
    """What to say of the first layer whose CRC differs: its first element that does."""
    node = f"{layer['name']} ({', '.join(layer['onnx_nodes']) or 'added by edgeq'})"
    start = 0
    while start < expected.nbytes:
        load(link, model, sample)
        part = expected.tobytes()[start : start + link.piece]
        got = link.output(layer["index"], start, len(part))
        if got != part:
            board = np.frombuffer(expected.tobytes()[:start] + got + expected.tobytes()[start + len(part) :], expected.dtype)
            fact = f"{layer['kernel']}: {_first(board.reshape(expected.shape), expected, link)}, at input {index}"
            return Mismatch(fact, node=node, hint="edgeq flash again; if it stays, report it with the model")
        start += len(part)
    return Mismatch(f"its output's CRC-32 differed at input {index}, and was right in the runs after it", node=node,
                    hint="runs are not repeatable: look at the board's supply, clock and memory")  # fmt: skip


def _first(board: np.ndarray, host: np.ndarray, link: Link) -> str:
    where = tuple(int(i) for i in np.argwhere(board != host)[0])
    return f"differs first at element {list(where)}: {link.where} {board[where]}, host {host[where]}"
