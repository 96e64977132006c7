"""The bit-exact check: compiled C against the numpy reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeq.build import HostLibrary
from edgeq.errors import Mismatch
from edgeq.ir import IntGraph
from edgeq.numerics import LIMITS
from edgeq.reference import execute

RANDOM_VECTORS = 16
CHUNK = 16  # samples held by the reference at a time

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class CheckResult:
    """vectors: inputs on which C and reference agreed in every output byte; elements: output bytes compared."""

    vectors: int
    elements: int


def stress_inputs(graph: IntGraph, random: int = RANDOM_VECTORS, seed: int = 0) -> Feeds:
    """As stress, for the network's inputs."""
    return stress({name: (t.shape, t.dtype) for name, t in graph.inputs.items()}, random, seed)


def stress(inputs: Mapping[str, tuple[tuple[int, ...], str]], random: int = RANDOM_VECTORS, seed: int = 0) -> Feeds:
    """Random and saturating inputs: all lowest, all highest, both alternating, and `random` uniform ones.

    inputs: name -> (stored shape, dtype).
    """
    rng = np.random.default_rng(seed)
    feeds = {}
    for name, (shape, dtype) in inputs.items():
        (lo, hi), size = LIMITS[dtype], math.prod(shape)
        stripes = np.where(np.arange(size) % 2, lo, hi)
        fixed = np.stack([np.full(size, lo), np.full(size, hi), stripes, stripes[::-1]])
        data = np.concatenate([fixed, rng.integers(lo, hi + 1, (random, size))])
        feeds[name] = data.reshape(-1, *shape).astype(dtype)
    return feeds


def check(
    graph: IntGraph, library: HostLibrary, feeds: Mapping[str, np.ndarray],
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:  # fmt: skip
    """Compares every output byte on every sample. Raises Mismatch naming the first layer and element that differ.

    feeds: ONNX input name -> (N, *stored shape) integers. progress: called with (done, total).
    """
    count = len(next(iter(feeds.values())))
    elements = 0
    for start in range(0, count, CHUNK):
        part = {name: x[start : start + CHUNK] for name, x in feeds.items()}
        expected, got = execute(graph, part), library.run(part)
        for name, tensor in graph.outputs.items():
            elements += got[name].size
            if not np.array_equal(got[name], expected[tensor.name].reshape(got[name].shape)):
                _explain(graph, library, part)
        if progress:
            progress(min(start + CHUNK, count), count)
    return CheckResult(count, elements)


def _explain(graph: IntGraph, library: HostLibrary, feeds: Mapping[str, np.ndarray]) -> None:
    expected, got = execute(graph, feeds, keep=True), library.trace(feeds)
    nodes = {n.output.name: n for n in graph.nodes}
    for record in library.manifest["layers"]:
        a, b = expected[record["output"]], got[record["output"]]
        if not np.array_equal(a, b):
            where = tuple(int(i) for i in np.argwhere(a != b)[0])
            node = nodes[record["output"]]
            raise Mismatch(
                f"{record['kernel']} differs from the reference first at sample {where[0]}, element {list(where[1:])}: "
                f"C {b[where]}, reference {a[where]}; {int((a != b).sum())} of {a.size} elements differ",
                node=f"{node.name} ({', '.join(node.onnx_nodes)})",
                hint="report this with the model: it is a defect of edgeq or of the compiler",
            )
    raise Mismatch("an output differs though every layer agrees when traced: memory is clobbered between layers",
                   node=library.name, hint="report this with the model")  # fmt: skip
