"""The same graph by bands of rows: tensors that would be whole images hold only the rows that are still needed.

For a node `last`, it and the nodes before it are run band by band. A band computes some rows of last's output, and of every
tensor before it the rows that these take and that no earlier band computed. Rows that a later band takes again are moved
to the front of the memory where its new rows follow. Nothing is computed twice. The result is a graph like any other, with
the same outputs: planning, checking and emitting it need not know of bands.

Inference by patches is MCUNetV2's (Lin et al., 2021), which computes what patches share anew; rows that are kept are the
line buffers of image processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgeq.errors import QuantizationError, UnsupportedModel
from edgeq.ir import IntGraph, IntOp, Node, Tensor
from edgeq.ops._access import ALIGN
from edgeq.ops.alias import Alias
from edgeq.ops.copy import Copy, Strides
from edgeq.ops.join import Join

Span = tuple[int, int]  # rows, the end excluded


def region(graph: IntGraph, last: Node) -> tuple[Node, ...]:
    """The nodes that can run by rows with `last`, in order: it, and those before it whose output only they read."""
    chosen: set[str] = set()
    consumers, kept = graph.consumers(), {t.name for t in graph.outputs.values()}
    for node in reversed(graph.nodes):
        out = node.output.name
        inside = node is last or (out not in kept and consumers[out] and all(c.name in chosen for c in consumers[out]))
        if inside and all(map(_sliceable, (*node.inputs, node.output))) and _by_rows(node):
            chosen.add(node.name)
    return tuple(node for node in graph.nodes if node.name in chosen)


def _by_rows(node: Node) -> bool:
    """Whether its rows can be computed apart: not where input and output have the same elements in other rows."""
    found = node.op.by_rows(node.inputs, 0, 1)
    if found is None:
        return False
    try:
        found[0].validate([_rows(t, found[1], t.name) for t in node.inputs], _rows(node.output, (0, 1), node.output.name))
    except QuantizationError:
        return False
    return True


def _sliceable(tensor: Tensor) -> bool:
    """Whether it is an image (H, W, C) whose rows are aligned."""
    return len(tensor.shape) == 3 and tensor.bytes // tensor.shape[0] % ALIGN == 0


def by_bands(graph: IntGraph, last: Node, height: int) -> IntGraph | None:
    """The graph with region(graph, last) run in bands of so many rows of last's output; None where that cannot be."""
    nodes = region(graph, last)
    rows = last.output.shape[0]
    if last not in nodes or height >= rows:
        return None
    before = [n for n in graph.nodes[: graph.nodes.index(last)] if n not in nodes]
    after = graph.nodes[graph.nodes.index(last) + 1 :]
    try:
        made = _Bands(nodes, last, height).nodes()
    except _PaddingAlone:
        return None
    return replace(graph, nodes=(*before, *made, *after)).validate()


PUSHED = "pushed_rows"  # name of the node that copies a network input to where its rows are pushed


def with_pushed_rows(graph: IntGraph) -> IntGraph:
    """The graph with its input copied before anything reads it: by bands, the rows that a caller pushes.

    Raises UnsupportedModel where that cannot be.
    """
    if len(graph.inputs) != 1:
        raise UnsupportedModel(f"the model has {len(graph.inputs)} inputs", node="--io rows", hint="--io external")
    (x,) = graph.inputs.values()
    if not _sliceable(x):
        raise UnsupportedModel(f"the input is stored as {x.shape}; rows are of images (H, W, C) with a multiple of "
                               f"{ALIGN} bytes in a row", node="--io rows", hint="--io external")  # fmt: skip
    rows = replace(x, name=PUSHED)
    push = Node(PUSHED, Copy(Strides(0, (x.elements,), (1,))), (x,), rows)
    nodes = [replace(n, inputs=tuple(rows if t == x else t for t in n.inputs)) for n in graph.nodes]
    return replace(graph, nodes=(push, *nodes)).validate()


class _PaddingAlone(Exception):
    """A window of a band sees no row of its input."""


@dataclass
class _Held:
    """Rows of a tensor in memory, `first` the first of them."""

    tensor: Tensor
    first: int

    @property
    def end(self) -> int:
        return self.first + self.tensor.shape[0]


class _Bands:
    """computed, taken: by node name, the rows that each band computes of its output, and takes of each of its inputs."""

    def __init__(self, region: Sequence[Node], last: Node, height: int):
        self.region, self.last = region, last
        self.count = -(-last.output.shape[0] // height)
        self.readers: dict[str, list[Node]] = {}
        for node in region:
            for name in {t.name for t in node.inputs}:
                self.readers.setdefault(name, []).append(node)
        self.computed: dict[str, list[Span]] = {}
        self.taken: dict[str, list[Span]] = {}
        for node in reversed(region):
            self.computed[node.name] = self._spans(node, height)
            self.taken[node.name] = [self._takes(node, span) for span in self.computed[node.name]]
        self.held: dict[str, _Held] = {}
        self.parts: dict[tuple[str, int, Span], Tensor] = {}
        self.pieces: list[Tensor] = []
        self.newest: Tensor

    def _spans(self, node: Node, height: int) -> list[Span]:
        rows = node.output.shape[0]
        if node is self.last:
            return [(a, min(a + height, rows)) for a in range(0, rows, height)]
        spans, done = [], 0
        for band in range(self.count):
            first = max(done, self._first_taken(node.output.name, band) or 0)
            done = max(done, *(self.taken[n.name][band][1] for n in self.readers[node.output.name]))
            spans.append((min(first, done), done))
        return spans

    def _first_taken(self, tensor: str, band: int) -> int | None:
        """The first row that this band or a later one takes, if any."""
        return min((a for n in self.readers[tensor] for a, b in self.taken[n.name][band:] if a < b), default=None)

    def _takes(self, node: Node, span: Span) -> Span:
        return self._rows_of(node, span)[1] if span[0] < span[1] else (0, 0)

    def _rows_of(self, node: Node, span: Span) -> tuple[IntOp, Span]:
        found = node.op.by_rows(node.inputs, *span)
        if found is None:
            raise _PaddingAlone
        return found

    def nodes(self) -> Iterator[Node]:
        """The bands' nodes in order."""
        written = {n.output.name for n in self.region}
        sources = {t.name: t for n in self.region for t in n.inputs if t.name not in written}
        for tensor in sources.values():  # all parts at once, so that rows are free as soon as they were read
            for band in range(self.count):
                yield from self._share(tensor.name, _Held(tensor, 0), band)
        for band in range(self.count):
            for node in self.region:
                yield from self._compute(node, band)
        name = self.last.name
        yield replace(self.last, name=f"{name}_rows", op=Join(), inputs=tuple(self.pieces), part_of=name)

    def _compute(self, node: Node, band: int) -> Iterator[Node]:
        """The new rows of the node's output, behind those that were kept; then the parts that the band takes."""
        span, name = self.computed[node.name][band], node.output.name
        held = self.held.pop(name, None)
        if span[0] < span[1]:
            op, taken = self._rows_of(node, span)
            inputs = tuple(self.parts[t.name, band, taken] for t in node.inputs)
            new = _rows(node.output, span, f"{name}_b{band}")
            made = replace(node, name=f"{node.name}_b{band}", op=op, inputs=inputs, output=new, part_of=node.name, rows=span)
            if node is self.last:
                self.pieces.append(new)
                yield made
                return
            if held is None:
                yield made
                held = _Held(new, span[0])
            else:
                size = held.tensor.elements
                kept = replace(held.tensor, name=f"{name}_b{band}_kept")
                whole = _rows(node.output, (held.first, span[1]), f"{name}_b{band}_rows")
                copy = Copy(Strides(0, (size,), (1,)))
                yield replace(made, name=f"{made.name}_kept", op=copy, inputs=(held.tensor,), output=kept, rows=None)
                yield made
                yield replace(made, name=f"{made.name}_rows", op=Join(), inputs=(kept, new), output=whole, rows=None)
                held = _Held(whole, held.first)
        if held is not None:
            yield from self._share(name, held, band)
            first = self._first_taken(name, band + 1)
            if first is not None and first < held.end:
                yield from self._part(held, (max(first, held.first), held.end), f"{name}_b{band}_held")
                self.held[name] = _Held(self.newest, max(first, held.first))

    def _share(self, name: str, held: _Held, band: int) -> Iterator[Node]:
        """The parts of a tensor that the band takes."""
        for i, span in enumerate(dict.fromkeys(self.taken[n.name][band] for n in self.readers[name])):
            if span[0] < span[1]:
                yield from self._part(held, span, f"{name}_b{band}_in{i}")
                self.parts[name, band, span] = self.newest

    def _part(self, held: _Held, span: Span, name: str) -> Iterator[Node]:
        """Sets self.newest to those rows."""
        self.newest = held.tensor
        if span != (held.first, held.end):
            self.newest = _rows(held.tensor, span, name)
            offset = (span[0] - held.first) * (held.tensor.elements // held.tensor.shape[0])
            yield Node(name, Alias(offset, self.newest.elements), (held.tensor,), self.newest, part_of=held.tensor.name)


def _rows(tensor: Tensor, span: Span, name: str) -> Tensor:
    return replace(tensor, name=name, shape=(span[1] - span[0], *tensor.shape[1:]))
