"""Packing for Helium's matrix-vector product (runtime_c/kernels/edgeq_linear_mve.h), and its cost."""

from __future__ import annotations

import numpy as np

from edgeq.ops._base import Array, Params
from edgeq.ops._linear import LinearOp

CHUNK, BLOCK = 16, 4  # inputs and outputs that the kernel takes at a time


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
    requant = requant.reshape(groups, 2, blocks, BLOCK).transpose(0, 2, 1, 3)
    return {"chunks": n, "weight": Array(np.ascontiguousarray(weight)), "requant": Array(np.ascontiguousarray(requant)),
            "lo": op.lo, "hi": op.hi}  # fmt: skip


def linear_cost(inputs: int, outputs: int) -> float:
    """Instructions for one vector."""
    n, blocks = chunks(inputs), -(-outputs // BLOCK)
    block = 8 * n + 10 if n <= 5 else 9 * n + n / 4 + 9
    return 20 + blocks * block + (20 if outputs % BLOCK else 0)
