"""The memory plan on random graphs: nothing live overlaps, the bound is a bound, the order is best."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeq import ops
from edgeq.errors import DoesNotFit, EdgeqError
from edgeq.ir import IntGraph, IntOp, Node, Tensor
from edgeq.numerics import LIMITS
from edgeq.ops._access import Access, windowed
from edgeq.ops._cases import random_linear
from edgeq.ops._window import Window
from edgeq.ops.add import AddOp
from edgeq.ops.alias import Alias
from edgeq.ops.concat import ConcatOp
from edgeq.ops.conv2d import Conv2d
from edgeq.ops.copy import Copy, Strides
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d
from edgeq.ops.lut import Lut
from edgeq.ops.max_pool import MaxPoolOp
from edgeq.plan import check_plan, make_plan
from edgeq.plan.bands import by_bands, region
from edgeq.plan.order import best_order, roots
from edgeq.plan.place import BUFFER, aligned, blocks, clashes, lower_bound, meetings, pack, place
from edgeq.reference import execute
from edgeq.targets import TARGETS

# operators of which an image can be computed by rows
BY_ROWS = {"add", "avg_pool", "conv2d", "copy", "depthwise_conv2d", "flip_sign", "lut", "max_pool", "mul", "prelu"}
GENERIC = TARGETS["generic"]
TABLE = np.zeros(256, np.int8)


def vector(name: str, n: int) -> Tensor:
    return Tensor(name, (n,), 1.0, 0)


@st.composite
def graphs(draw, max_nodes: int = 12):
    """Random graphs of tables, copies, joins and aliases; some tensors are outputs."""
    tensors = [vector("x", draw(st.integers(1, 300)))]
    if draw(st.booleans()):
        tensors.append(vector("x2", draw(st.integers(1, 300))))
    inputs = {t.name: t for t in tensors}
    nodes = []
    for i in range(draw(st.integers(1, max_nodes))):
        a = draw(st.sampled_from(tensors))
        kind = draw(st.sampled_from(["lut", "copy", "concat", "alias"]))
        if kind == "lut":
            op, ins, out = Lut(TABLE), (a,), vector(f"t{i}", a.elements)
        elif kind == "copy":
            n = draw(st.integers(1, a.elements))
            op, ins, out = Copy(Strides(0, (n,), (1,))), (a,), vector(f"t{i}", n)
        elif kind == "concat":
            b = draw(st.sampled_from(tensors))
            op, ins = ConcatOp(1, (a.elements, b.elements)), (a, b)
            out = vector(f"t{i}", a.elements + b.elements)
        else:
            offset = draw(st.integers(0, (a.elements - 1) // 4)) * 4
            n = draw(st.integers(1, a.elements - offset))
            op, ins, out = Alias(offset, n), (a,), vector(f"t{i}", n)
        nodes.append(Node(f"n{i}", op, ins, out))
        tensors.append(out)
    made = [n.output for n in nodes]
    chosen = draw(st.lists(st.sampled_from(made), min_size=1, max_size=2, unique_by=lambda t: t.name))
    outputs = {t.name: t for t in [made[-1], *chosen]}
    return IntGraph(tuple(nodes), inputs, outputs).validate()


def simulate(plan, seed: int = 0) -> None:
    """Runs the plan on one real arena, with labels instead of numbers, and sees that each node reads what was written."""
    arena = np.zeros(plan.arena_bytes, np.int64)
    rng = np.random.default_rng(seed)
    truth: dict[str, np.ndarray] = {}

    def view(t: Tensor) -> np.ndarray:
        return arena[plan.offsets[t.name] : plan.offsets[t.name] + t.elements]

    for t in plan.graph.inputs.values():
        truth[t.name] = rng.integers(1, 2**62, t.elements)
        view(t)[:] = truth[t.name]
    for step in plan.steps:
        node = step.node
        for t in node.inputs:
            np.testing.assert_array_equal(view(t), truth[t.name], err_msg=f"{node.name} reads {t.name}")
        if isinstance(node.op, Lut):  # labels change, as the values of a table do
            out = truth[node.inputs[0].name] + 1
        else:
            out = node.reference(*(truth[t.name][None] for t in node.inputs))[0]
        truth[node.output.name] = out
        view(node.output)[:] = out
    for t in plan.graph.outputs.values():
        np.testing.assert_array_equal(view(t), truth[t.name])


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_no_live_tensor_is_overwritten(graph):
    plan = make_plan(graph, GENERIC)
    simulate(plan)
    assert plan.lower_bound <= plan.arena_bytes


@settings(max_examples=60, deadline=None)
@given(graphs(max_nodes=6))
def test_the_lower_bound_is_below_the_best_of_all_placements(graph):
    plan = make_plan(graph, GENERIC)
    order = [s.node for s in plan.steps]
    groups = blocks(graph, order, {})
    shared = meetings(graph, order, {s.node.name: s.kernel.overlaps(s.node) for s in plan.steps if s.kernel})
    if len(groups) <= 6:
        sizes = []
        clash, extent = clashes(groups, shared), [max(r.end for r in b) for b in groups]
        for order in itertools.permutations(range(len(groups))):  # the best first fit over all orders is an optimal placement
            sizes.append(max(aligned(at + extent[i]) for i, at in pack(order, clash).items()))
        assert lower_bound(groups, shared) <= min(sizes) == plan.arena_bytes


@settings(max_examples=60, deadline=None)
@given(graphs(max_nodes=6))
def test_the_order_needs_no_more_than_any_other(graph):
    def peak(order) -> int:
        root = roots(graph)
        done: set[str] = set()
        live = {n for n in root if n in {t.name for t in graph.inputs.values()}}
        most = sum(-(-graph.tensors[n].bytes // 4) * 4 for n in live)
        kept = {root[t.name] for t in graph.outputs.values()}
        live &= kept | {root[t.name] for node in graph.nodes for t in node.inputs}  # an input nobody reads is free
        for node in order:
            out = node.output.name
            if root[out] == out:
                live.add(out)
            most = max(most, sum(-(-graph.tensors[n].bytes // 4) * 4 for n in live))
            done.add(node.name)
            readers = {n: [m for m in graph.nodes if any(root[t.name] == n for t in m.inputs)] for n in live}
            live = {n for n in live if n in kept or any(m.name not in done for m in readers[n])}
        return most

    def valid(order) -> bool:
        seen = {t.name for t in graph.inputs.values()}
        for node in order:
            if any(t.name not in seen for t in node.inputs):
                return False
            seen.add(node.output.name)
        return True

    everyone = [peak(p) for p in itertools.permutations(graph.nodes) if valid(p)]
    assert peak(best_order(graph, {}, {})) == min(everyone)


def test_a_residual_add_is_laid_over_one_operand_only():
    x, y, z = vector("x", 40), vector("y", 40), vector("z", 80)
    graph = IntGraph((Node("n0", Lut(TABLE), (x,), y), Node("n1", ConcatOp(1, (40, 40)), (x, y), z)), {"x": x}, {"z": z})
    plan = make_plan(graph, GENERIC)
    assert plan.arena_bytes == 80 == plan.lower_bound  # both operands already lie in their place
    assert (plan.offsets["x"], plan.offsets["y"]) == (0, 40)


def test_a_broken_plan_is_refused():
    x, y, z = vector("x", 40), vector("y", 40), vector("z", 80)
    graph = IntGraph(
        (Node("n0", Copy(Strides(0, (40,), (1,))), (x,), y), Node("n1", ConcatOp(1, (40, 40)), (x, y), z)),
        {"x": x}, {"z": z},
    )  # fmt: skip
    plan = make_plan(graph, GENERIC)
    for change in ({"y": plan.offsets["x"]}, {"y": plan.offsets["x"] + 36}, {"z": plan.offsets["z"] + 4}):
        with pytest.raises(EdgeqError, match="step"):
            check_plan(replace(plan, offsets={**plan.offsets, **change}))


def test_placement_is_the_same_every_time():
    x = vector("x", 33)
    nodes, last = [], x
    for i in range(8):
        out = vector(f"t{i}", 10 + 7 * i % 23)
        nodes.append(Node(f"n{i}", Copy(Strides(0, (min(out.elements, last.elements),), (1,))), (last,),
                          vector(f"t{i}", min(out.elements, last.elements))))  # fmt: skip
        last = nodes[-1].output
    graph = IntGraph(tuple(nodes), {"x": x}, {"y": last})
    groups = blocks(graph, nodes, {})
    assert place(groups, {}) == place(groups, {})


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_overlaps_lose_no_byte_and_none_is_missed(data):
    """Access against a machine that executes it: in each step all reads, then all writes."""
    steps = data.draw(st.integers(1, 5))
    reads = np.array(data.draw(st.lists(st.integers(-1, steps - 1), min_size=1, max_size=12)))
    writes = np.array(data.draw(st.lists(st.integers(0, steps - 1), min_size=1, max_size=12)))
    access = Access({0: reads}, writes)

    def survives(distance: int) -> bool:
        written: set[int] = set()
        for step in range(steps):
            if any(distance + b in written for b in np.flatnonzero(reads == step)):
                return False
            written |= set(np.flatnonzero(writes == step))
        return True

    distances = range(-len(reads), len(writes) + 1)
    assert [access.safe(0, d) for d in distances] == [survives(d) for d in distances]
    overlap = access.overlap(0)
    assert overlap.in_place == survives(0)
    assert all(survives(d) for d in distances if d >= overlap.least)
    assert overlap.least == 0 or not survives(overlap.least - 1)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_windows_are_read_as_late_as_they_are(data):
    """windowed() against the window's own patches."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    window = Window(data.draw(pair), data.draw(pair), data.draw(pair), data.draw(st.tuples(*[st.integers(0, 2)] * 4)))
    height, width = (data.draw(st.integers(reach, reach + 4)) for reach in window.reach)
    pixels = data.draw(st.integers(1, 3))
    access = windowed(window, (height, width), np.array([1, 0]), np.array([0, 1, 1]), pixels)
    sources = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    patches = window.patches(sources, 0)[0].reshape(-1, window.taps)
    last = np.full((height * width, 2), -1)
    for n, patch in enumerate(patches):
        for source in patch[patch > 0]:
            last[source - 1] = (n // pixels * 2 + 1, n // pixels * 2)
    np.testing.assert_array_equal(access.reads[0], last.ravel())
    groups = np.arange(len(patches)) // pixels
    np.testing.assert_array_equal(access.writes, (groups[:, None] * 2 + [0, 1, 1]).ravel())


# ---------------------------------------------------------------- bands of rows


@st.composite
def images(draw):
    """Random networks of convolutions, pools, tables and additions, some with branches, on small images."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    c = 4
    tensors = [Tensor("x", (draw(st.integers(6, 17)), draw(st.integers(2, 5)), c), 0.5, 0)]
    nodes: list[Node] = []
    for i in range(draw(st.integers(2, 6))):
        x = draw(st.sampled_from(tensors[-3:]))
        kind = draw(st.sampled_from(["conv", "conv", "depthwise", "pool", "lut", "add"]))
        kernel = (draw(st.integers(1, min(3, x.shape[0]))), draw(st.integers(1, min(2, x.shape[1]))))
        pads = tuple(draw(st.integers(0, k - 1)) for k in kernel * 2)
        window = Window(kernel, (draw(st.integers(1, 2)), 1), (1, 1), pads)
        shape = (*window.out_size(x.shape[:2]), c)
        inputs: tuple[Tensor, ...] = (x,)
        if kind == "conv":
            op: IntOp = Conv2d(*random_linear((c, *kernel, c), 1), window=window, groups=1, pad_value=0)
        elif kind == "depthwise":
            op = DepthwiseConv2d(*random_linear((c, *kernel, 1), 1), window=window, pad_value=0)
        elif kind == "pool":
            op = MaxPoolOp(window)
        else:
            shape = x.shape
            other = draw(st.sampled_from([t for t in tensors if t.shape == shape]))
            n = (x.elements,)
            op = Lut(rng.integers(-128, 128, 256).astype(np.int8)) if kind == "lut" else \
                AddOp((n, n), None, 0, 1, -128, 127, 1, 1)  # fmt: skip
            inputs = (x,) if kind == "lut" else (x, other)
        tensors.append(Tensor(f"t{i}", shape, 0.5, 0))
        nodes.append(Node(f"n{i}", op, inputs, tensors[-1]))
    last = [nodes[-1].output, *draw(st.lists(st.sampled_from(tensors[1:]), max_size=1))]
    return IntGraph(tuple(nodes), {"x": tensors[0]}, {t.name: t for t in last}).validate()


@settings(max_examples=150, deadline=None)
@given(images(), st.integers(1, 4))
def test_bands_of_rows_compute_the_same_and_nothing_twice(graph, height):
    x = {"x": np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs["x"].shape)).astype(np.int8)}
    expected = execute(graph, x)
    for last in graph.nodes:
        banded = by_bands(graph, last, height)
        if banded is None:
            continue
        got = execute(banded, x)
        for name in expected:
            np.testing.assert_array_equal(got[name], expected[name])
        rows: dict[str, list[int]] = {}
        for node in banded.nodes:
            if node.rows:
                rows.setdefault(node.part_of, []).extend(range(*node.rows))
        assert rows and all(r == sorted(set(r)) for r in rows.values())
        assert max(b - a for a, b in (n.rows for n in banded.nodes if n.part_of == last.name and n.rows)) == height


@settings(max_examples=25, deadline=None)
@given(images())
def test_plans_by_bands_are_sound(graph):
    """In one real arena, each byte labelled; make_plan has checked the plan too."""
    plan = make_plan(graph, GENERIC, "ram")
    arena = np.zeros(plan.arena_bytes, np.int8)
    x = np.random.default_rng(0).integers(-128, 128, graph.inputs["x"].elements).astype(np.int8)

    def view(t: Tensor) -> np.ndarray:
        return arena[plan.offsets[t.name] : plan.offsets[t.name] + t.elements]

    view(graph.inputs["x"])[:] = x
    for step in plan.steps:
        if step.kernel:
            out = step.node.reference(*(view(t).reshape(1, *t.shape).copy() for t in step.node.inputs))
            arena[step.scratch_offset : step.scratch_offset + step.scratch_bytes] = 77
            view(step.node.output)[:] = out.ravel()
    expected = execute(graph, {"x": x.reshape(1, *graph.inputs["x"].shape)})
    for t in graph.outputs.values():
        np.testing.assert_array_equal(view(t), expected[t.name].ravel())
    assert plan.arena_bytes <= make_plan(graph, GENERIC).arena_bytes


@pytest.mark.parametrize("op", ops.modules())
def test_rows_of_every_operator_are_those_of_the_whole(op):
    """Each case that can run by rows, in one, in few and in all: the operator for them, on the rows that it asks for."""
    ran = 0
    for node in ops.modules()[op].cases():
        if any(len(t.shape) != 3 for t in (*node.inputs, node.output)):
            continue
        rows = node.output.shape[0]
        rng = np.random.default_rng(ran)
        x = [rng.integers(*LIMITS[t.dtype], (1, *t.shape), t.dtype, endpoint=True) for t in node.inputs]
        whole = node.reference(*x)
        for first, end in {(0, 1), (rows - 1, rows), (rows // 3, rows // 2 + 1), (0, rows)}:
            found = node.op.by_rows(node.inputs, first, end)
            if found is None:
                continue
            made, (a, b) = found
            inputs = tuple(replace(t, shape=(b - a, *t.shape[1:])) for t in node.inputs)
            output = replace(node.output, shape=(end - first, *node.output.shape[1:]))
            made.validate(inputs, output)
            got = Node("rows", made, inputs, output).reference(*(v[:, a:b] for v in x))
            np.testing.assert_array_equal(got, whole[:, first:end], err_msg=f"{node}, rows {first} to {end}")
            ran += 1
    assert (ran > 0) == (op in BY_ROWS), f"{op}: {ran} cases ran by rows"


def test_a_plan_that_leaves_a_buffer_or_writes_to_the_callers_input_is_refused():
    x, y, z = vector("x", 40), vector("y", 40), vector("z", 40)
    graph = IntGraph((Node("n0", Lut(TABLE), (x,), y), Node("n1", Lut(TABLE), (y,), z)), {"x": x}, {"z": z})
    plan = make_plan(graph, GENERIC, io="external")
    assert plan.offsets["x"] == BUFFER and plan.offsets["z"] == 2 * BUFFER
    for change, message in (({"z": 2 * BUFFER + 4}, "or a buffer"), ({"y": BUFFER}, "an input of the caller"),
                            ({"y": 4}, "past the arena")):  # fmt: skip
        with pytest.raises(EdgeqError, match=message):
            check_plan(replace(plan, offsets={**plan.offsets, **change}))
    steps = (plan.steps[0], replace(plan.steps[1], scratch_offset=plan.arena_bytes, scratch_bytes=4))
    with pytest.raises(EdgeqError, match="past the arena"):  # though its output is in a buffer
        check_plan(replace(plan, steps=steps))


def test_other_rows_of_the_same_elements_are_no_rows():
    x, y, z = (Tensor(name, shape, 0.5, 0) for name, shape in (("x", (8, 4, 4)), ("y", (4, 8, 4)), ("z", (4, 8, 4))))
    graph = IntGraph((Node("n0", Lut(TABLE), (x,), y), Node("n1", Lut(TABLE), (y,), z)), {"x": x}, {"z": z}).validate()
    assert [n.name for n in region(graph, graph.nodes[1])] == ["n1"]
    make_plan(graph, GENERIC, "ram")


def test_a_limit_is_kept_or_refused():
    tall, x = Tensor("t", (64, 4, 16), 0.5, 0), Tensor("x", (64, 4, 4), 0.5, 0)
    wide = Conv2d(*random_linear((16, 3, 1, 4), 1), window=Window((3, 1), pads=(1, 0, 1, 0)), groups=1, pad_value=0)
    small = Conv2d(*random_linear((4, 3, 1, 16), 1), window=Window((3, 1), (4, 1), pads=(1, 0, 1, 0)), groups=1, pad_value=0)
    y = Tensor("y", (16, 4, 4), 0.5, 0)
    graph = IntGraph((Node("n0", wide, (x,), tall), Node("n1", small, (tall,), y)), {"x": x}, {"y": y})
    free, least = make_plan(graph, GENERIC), make_plan(graph, GENERIC, "ram")
    assert least.arena_bytes < 0.5 * free.arena_bytes
    assert make_plan(graph, GENERIC, ram=free.arena_bytes).graph.nodes == free.graph.nodes  # no bands where none are needed
    between = (free.arena_bytes + least.arena_bytes) // 2
    assert least.arena_bytes <= make_plan(graph, GENERIC, ram=between).arena_bytes <= between
    with pytest.raises(DoesNotFit, match=rf"{least.arena_bytes:,} bytes, \d+ over"):
        make_plan(graph, GENERIC, ram=x.bytes)
