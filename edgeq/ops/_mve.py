"""Packing for Helium's matrix-vector product (runtime_c/kernels/edgeq_linear_mve.h) and its
cost, and for depthwise convolution; the cost of a broadcast."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._binary import BinaryOp, walk
from edgeq.ops._linear import LinearOp

CHUNK, BLOCK = 16, 4  # inputs and outputs that the matrix-vector product takes at a time
LANES = 16  # that depthwise convolution takes at a time
MAX_SUM = 255  # of weights' magnitudes: times 128 it fits 16 bits


def chunks(inputs: int) -> int:
    """Vectors of 16 that hold so many inputs."""
    return -(-inputs // CHUNK)


def packed_linear(op: LinearOp, groups: int = 1) -> Params:
    """The fields chunks, weight, requant, lo and hi of the params structs.

    weight: (groups, blocks, chunks, 4, 16); requant: (groups, blocks, 8): four biases, four negated shifts. Zeros fill up.
    """
    outputs = len(op.weight) // groups
    blocks, n = -(-outputs // BLOCK), chunks(op.weight[0].size)
    weight = np.zeros((groups, blocks * BLOCK, n * CHUNK), np.int8)
    weight[:, :outputs, : op.weight[0].size] = op.weight.reshape(groups, outputs, -1)
    weight = weight.reshape(groups, blocks, BLOCK, n, CHUNK).transpose(0, 1, 3, 2, 4)
    requant = np.zeros((groups, 2, blocks * BLOCK), np.int32)
    requant[:, 0, :outputs] = op.bias.reshape(groups, -1)
    requant[:, 1, :outputs] = -op.shift.astype(np.int32).reshape(groups, -1)
    requant_blocks = requant.reshape(groups, 2, blocks, BLOCK).transpose(0, 2, 1, 3)
    return {"chunks": n, "weight": Array(np.ascontiguousarray(weight)),
            "requant": Array(np.ascontiguousarray(requant_blocks)), "lo": op.lo, "hi": op.hi}  # fmt: skip


def linear_cost(inputs: int, outputs: int) -> float:
    """Instructions for one vector."""
    n, blocks = chunks(inputs), -(-outputs // BLOCK)
    held = n if n <= 5 else 2 + (n - 2) % 4  # chunks in registers
    streamed = n - held
    block = 8 * n + 10 + streamed + (streamed / 4 + 4 if n > 9 else 1 if n > 5 else 0)
    return 24 + blocks * block + (40 if outputs % BLOCK else 0)


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
