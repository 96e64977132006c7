"""Packing for Helium's matrix-vector product (runtime_c/kernels/edgeq_linear_mve.h) and its
cost, and for depthwise convolution; the cost of a broadcast."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from edgeq.ir import Node, Shape
from edgeq.ops._base import Array, Params
from edgeq.ops._binary import BinaryOp, walk
from edgeq.ops._linear import LinearOp
from edgeq.ops._window import MAX_FIELD, Window

CHUNK, BLOCK = 16, 4  # inputs and outputs that the matrix-vector product takes at a time
LANES = 16  # that depthwise convolution takes at a time
ROW = 128  # pixels of a 1x1 convolution at a time, where a row is read again for each block of outputs
MAX_SUM = 255  # of weights' magnitudes: times 128 it fits 16 bits


def chunks(inputs: int) -> int:
    """Vectors of 16 that hold so many inputs."""
    return -(-inputs // CHUNK)


def by_pairs(inputs: int, outputs: int) -> bool:
    """Whether a matrix product takes two pixels after the other, rather than all for one block of outputs."""
    return chunks(inputs) > 1 and outputs % BLOCK == 0


def in_rows(window: Window, inputs: Shape, output: Shape) -> tuple[Window, Shape, Shape]:
    """The same convolution, seen as one row where it can be: kernels are fast along rows. Taps keep their order."""
    (h, w, c), (oh, _, o) = inputs, output
    if window.kernel == (1, 1) and window.strides == (1, 1) and not window.padded and h * w <= MAX_FIELD:
        row = h * w if by_pairs(c, o) else max(n for n in range(1, ROW + 1) if h * w % n == 0)
        return Window((1, 1)), (h * w // row, row, c), (h * w // row, row, o)
    if w == window.kernel[1] == 1 and not window.pads[1] + window.pads[3]:  # the image lies on its side
        top, _, bottom, _ = window.pads
        turned = replace(window, kernel=window.kernel[::-1], strides=window.strides[::-1],
                         dilations=window.dilations[::-1], pads=(0, top, 0, bottom))  # fmt: skip
        return turned, (1, h, c), (1, oh, o)
    return window, inputs, output


def packed_linear(op: LinearOp, weight: np.ndarray, groups: int = 1) -> Params:
    """The fields chunks, weight, lo and hi of the params structs. weight: (O, inputs) int8, the columns as the kernel has
    its inputs.

    The stream is int8 (groups, blocks, 32 + 64 * chunks): four biases (int32), (chunks, 4, 16) weights, four negated
    shifts (int32). Zeros fill up.
    """
    outputs, inputs = len(weight) // groups, weight.shape[1]
    blocks, n = -(-outputs // BLOCK), chunks(inputs)
    full = np.zeros((groups, blocks * BLOCK, n * CHUNK), np.int8)
    full[:, :outputs, :inputs] = weight.reshape(groups, outputs, inputs)
    packed = full.reshape(groups, blocks, BLOCK, n, CHUNK).transpose(0, 1, 3, 2, 4).reshape(groups, blocks, -1)

    def words(x: np.ndarray) -> np.ndarray:
        """(O,) -> (groups, blocks, 16): the bytes of four int32."""
        filled = np.zeros((groups, blocks * BLOCK), "<i4")
        filled[:, :outputs] = x.reshape(groups, outputs)
        return filled.view(np.int8).reshape(groups, blocks, 16)

    stream = np.concatenate([words(op.bias), packed, words(-op.shift.astype(np.int32))], -1)
    return {"chunks": n, "weight": Array(np.ascontiguousarray(stream)), "lo": op.lo, "hi": op.hi}


def vector_cost(inputs: int, outputs: int) -> float:
    """Instructions for one pixel."""
    n = chunks(inputs)
    return 50 + -(-outputs // (2 * BLOCK)) * (17 * n + 30 + n / 2)


def matrix_cost(inputs: int, outputs: int, pixels: int) -> float:
    """Instructions for so many pixels."""
    n, blocks = chunks(inputs), -(-outputs // BLOCK)
    if n == 1 and outputs % BLOCK == 0:
        return blocks * (20.0 + 15 * pixels)
    block = 14 * n + (16 - 2 * n if n < 4 else 19 + n // 2)
    return pixels // 2 * (30.0 + blocks * block) + pixels % 2 * vector_cost(inputs, outputs)


def lane_order() -> list[int]:
    """Lanes in the order in which Helium's widening leaves them in four vectors."""
    return [first + 4 * i for first in (0, 2, 1, 3) for i in range(4)]


def tap_groups(weight: np.ndarray) -> tuple[list[int], list[int]]:
    """Taps of (C, taps) int8 in an order, and the numbers of groups of three, two and one taps that they form in it.

    In no channel can the products of a group leave 16 bits. As many groups of three as a greedy choice finds: the
    heaviest tap left, with the two that are heavy but fit.
    """
    size = np.abs(weight.astype(np.int64))
    groups: list[list[tuple[int, ...]]] = [[], [], []]
    left = sorted(range(weight.shape[1]), key=lambda t: (-size[:, t].max(), t))
    for k in (3, 2, 1):
        for first in list(left):
            if first not in left or len(left) < k:
                continue
            others = [t for t in left if t != first]
            fits = [(int(total), rest) for rest in combinations(others, k - 1)
                    if (total := size[:, [first, *rest]].sum(1).max()) <= MAX_SUM]  # fmt: skip
            if fits or k == 1:
                chosen = (first, *max(fits)[1]) if k > 1 else (first,)
                groups[3 - k].append(chosen)
                left = [t for t in left if t not in chosen]
    order = [t for same in groups for group in same for t in group]
    return order, [len(same) for same in groups]


def rows_cost(node: Node, step: int) -> float:
    """Instructions of a broadcast; step: of four elements."""
    assert isinstance(node.op, BinaryOp)
    row = walk(*node.op.shapes)[0][-1]
    return 50 + node.output.elements / row * (47.0 + step * -(-row // 4))
