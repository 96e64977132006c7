"""The grid of single layers, and a firmware that runs many pieces of C, each on a layer's input, and counts each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from counting import Counts
from firmware import build_and_run

from edgeq.ir import Node, QuantContext, Shape
from edgeq.ops._cases import activation, random_linear
from edgeq.ops._window import Window
from edgeq.ops.add import AddOp
from edgeq.ops.avg_pool import AvgPoolLayer
from edgeq.ops.conv2d import Conv2d
from edgeq.ops.depthwise_conv2d import DepthwiseConv2d
from edgeq.ops.fully_connected import FullyConnected
from edgeq.ops.lut import Lut
from edgeq.ops.max_pool import MaxPoolOp

SAME = (1, 1, 1, 1)
WORKSPACE = 1 << 16


def conv(shape: Shape, channels: int, window: Window) -> Node:
    """Shifts differ by channel; the clamp is int8's, as after a ReLU whose zero point is -128."""
    x = activation(shape, -128)
    weight, bias, shift, _, _ = random_linear((channels, *window.kernel, shape[2]), 1)
    op = Conv2d(weight, bias, shift, -128, 127, window=window, groups=1, pad_value=x.zero_point)
    return Node("layer", op, (x,), activation((*window.out_size(shape[:2]), channels), name="y"))  # type: ignore[arg-type]


def depthwise(shape: Shape, window: Window) -> Node:
    """As conv."""
    x = activation(shape, -128)
    weight, bias, shift, _, _ = random_linear((shape[2], *window.kernel, 1), 1)
    op = DepthwiseConv2d(weight, bias, shift, -128, 127, window=window, pad_value=x.zero_point)
    return Node("layer", op, (x,), activation((*window.out_size(shape[:2]), shape[2]), name="y"))  # type: ignore[arg-type]


def fully_connected(k: int, outputs: int) -> Node:
    """One shift: CMSIS-NN's kernel knows no other."""
    weight, bias, shift, _, _ = random_linear((outputs, k), 0)
    op = FullyConnected(weight, bias, shift, -128, 127)
    return Node("layer", op, (activation((k,), -128),), activation((outputs,), name="y"))


def average(shape: Shape, window: Window) -> Node:
    """Same scale and zero point on both sides."""
    x, y = activation(shape, -128), activation((*window.out_size(shape[:2]), shape[2]), -128, name="y")  # type: ignore[arg-type]
    op = AvgPoolLayer(window).quantize(QuantContext(), None, (x,), y)  # type: ignore[arg-type]
    return Node("layer", op, (x,), y)


def maximum(shape: Shape, window: Window) -> Node:
    """Max pooling."""
    y = activation((*window.out_size(shape[:2]), shape[2]), name="y")  # type: ignore[arg-type]
    return Node("layer", MaxPoolOp(window), (activation(shape),), y)


def add(shape: Shape) -> Node:
    """Scales 2 : 1, a residual's usual case."""
    x, x1, y = activation(shape), activation(shape, name="x1"), activation(shape, name="y")
    return Node("layer", AddOp((shape, shape), None, 1, 1, -128, 127, 2, 1), (x, x1), y)


def lut(shape: Shape) -> Node:
    """A table."""
    table = np.random.default_rng(0).integers(-128, 128, 256).astype(np.int8)
    return Node("layer", Lut(table), (activation(shape),), activation(shape, name="y"))


GRID = {
    "conv 3x3 32x32 3->16": conv((32, 32, 3), 16, Window((3, 3), pads=SAME)),
    "conv 3x3 32x32 16->16": conv((32, 32, 16), 16, Window((3, 3), pads=SAME)),
    "conv 3x3 16x16 32->32": conv((16, 16, 32), 32, Window((3, 3), pads=SAME)),
    "conv 3x3 8x8 64->64": conv((8, 8, 64), 64, Window((3, 3), pads=SAME)),
    "conv 3x3 /2 32x32 16->32": conv((32, 32, 16), 32, Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
    "conv 3x3 /2 96x96 3->8": conv((96, 96, 3), 8, Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
    "conv 5x5 28x28 1->8": conv((28, 28, 1), 8, Window((5, 5), pads=(2, 2, 2, 2))),
    "conv 10x4 /2 49x10 1->64": conv((49, 10, 1), 64, Window((10, 4), (2, 2), pads=(4, 1, 5, 1))),
    "conv 1x3 1x98 40->64": conv((1, 98, 40), 64, Window((1, 3), pads=(0, 1, 0, 1))),
    "conv 1x1 48x48 8->16": conv((48, 48, 8), 16, Window((1, 1))),
    "conv 1x1 24x24 16->32": conv((24, 24, 16), 32, Window((1, 1))),
    "conv 1x1 24x24 32->32": conv((24, 24, 32), 32, Window((1, 1))),
    "conv 1x1 25x5 64->64": conv((25, 5, 64), 64, Window((1, 1))),
    "conv 1x1 6x6 128->128": conv((6, 6, 128), 128, Window((1, 1))),
    "conv 1x1 3x3 256->256": conv((3, 3, 256), 256, Window((1, 1))),
    "conv 1x1 /2 32x32 16->32": conv((32, 32, 16), 32, Window((1, 1), (2, 2))),
    "depthwise 3x3 48x48x8": depthwise((48, 48, 8), Window((3, 3), pads=SAME)),
    "depthwise 3x3 /2 48x48x16": depthwise((48, 48, 16), Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
    "depthwise 3x3 25x5x64": depthwise((25, 5, 64), Window((3, 3), pads=SAME)),
    "depthwise 3x3 3x3x256": depthwise((3, 3, 256), Window((3, 3), pads=SAME)),
    "depthwise 5x1 28x1x128": depthwise((28, 1, 128), Window((5, 1))),
    "fully connected 640->128": fully_connected(640, 128),
    "fully connected 128->128": fully_connected(128, 128),
    "fully connected 8->128": fully_connected(8, 128),
    "fully connected 256->2": fully_connected(256, 2),
    "add 32x32x16": add((32, 32, 16)),
    "average pool 8x8x64": average((8, 8, 64), Window((8, 8))),
    "average pool 2x2 /2 32x32x16": average((32, 32, 16), Window((2, 2), (2, 2))),
    "max pool 2x2 /2 32x32x16": maximum((32, 32, 16), Window((2, 2), (2, 2))),
    "max pool 3x3 /2 32x32x16": maximum((32, 32, 16), Window((3, 3), (2, 2), pads=(0, 0, 1, 1))),
    "lut 32x32x16": lut((32, 32, 16)),
}


@dataclass(frozen=True)
class Job:
    """C to be counted. declare: at file level; call: statements over in0, in1, out and workspace."""

    node: Node
    declare: str
    call: str

    def inputs(self) -> list[np.ndarray]:
        """(1, *shape) each, random."""
        rng = np.random.default_rng(1)
        return [rng.integers(-128, 128, (1, *t.shape)).astype(np.int8) for t in self.node.inputs]

    def expected(self) -> np.ndarray:
        """The reference's output."""
        return self.node.reference(*self.inputs())


def run_jobs(
    core: str, jobs: Sequence[Job], headers: Iterable[str], files: Mapping[str, str], sources: Iterable[Path] = (),
    include: Iterable[Path] = (),
) -> list[tuple[np.ndarray, Counts]]:  # fmt: skip
    """Each job's output and counts, from one firmware. files: name -> text, compiled with it; sources: more of them."""
    size = max(t.bytes for job in jobs for t in (*job.node.inputs, job.node.output))
    parts = ['#include "semihost.h"', *(f'#include "{h}"' for h in headers),
             *(f"static int8_t {b}[{size}] __attribute__((aligned(16)));" for b in ("in0", "in1", "out")),
             f"static int8_t workspace[{WORKSPACE}] __attribute__((aligned(16)));"]  # fmt: skip
    body = []
    for i, job in enumerate(jobs):
        parts += [job.declare, f"__attribute__((noinline)) static void run_{i}(void) {{ {job.call} }}"]
        body += [f"semihost_read(in{k}, {t.bytes});" for k, t in enumerate(job.node.inputs)]
        body += [f"COUNT_BEGIN(); run_{i}(); COUNT_END();", f"semihost_write(out, {job.node.output.bytes});"]
    main = "\n".join([*parts, "int main(void) {", *body, "(void)in1; (void)workspace;", "return 0;", "}\n"])
    with tempfile.TemporaryDirectory(prefix="edgeq_grid_") as name:
        folder = Path(name)
        for file, text in {**files, "main.c": main}.items():
            (folder / file).write_text(text)
        data = b"".join(x.tobytes() for job in jobs for x in job.inputs())
        run = build_and_run(core, [*folder.glob("*.c"), *sources], [folder, *include], data)
    outputs, at = [], 0
    for job in jobs:
        shape = (1, *job.node.output.shape)
        outputs.append(np.frombuffer(run.output, np.int8, job.node.output.elements, at).reshape(shape))
        at += job.node.output.bytes
    return list(zip(outputs, run.counts, strict=True))
