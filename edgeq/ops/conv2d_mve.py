"""conv2d kernels for Helium."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node
from edgeq.ops._base import Array, Params
from edgeq.ops._mve import CHUNK, chunks, matrix_cost, packed_linear, vector_cost
from edgeq.ops.conv2d import Conv1x1Kernel, Conv2d, Conv2dKernel

PATCH = 1024  # bytes of scratch that a tile should keep to


class Conv2dMveKernel(Conv2dKernel):
    """Brings what a tile of windows covers to scratch, column by column, so that neighbours share it; then two pixels and
    four outputs at a time. Reads the inputs of a tile before it writes the tile."""

    function = "edgeq_conv2d_mve"
    source = "edgeq_conv2d_mve.c"
    params_type = "edgeq_conv2d_mve_params"
    isa = "mve"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return op.groups == 1 and op.window.dilations[1] == 1

    def pitch(self, node: Node) -> int:
        """Bytes of a column of the window."""
        assert isinstance(node.op, Conv2d)
        return int(node.op.window.kernel[0] * node.inputs[0].shape[2])

    def tile(self, node: Node) -> int:
        """Output pixels at a time: an even share of the row."""
        assert isinstance(node.op, Conv2d)
        w, out_w = node.op.window, node.output.shape[1]
        most = max(2, (PATCH // self.pitch(node) - w.kernel[1]) // w.strides[1] + 1)
        share = -(-out_w // -(-out_w // most))
        return min(out_w, share + share % 2)

    def columns(self, node: Node) -> int:
        """Columns of one row of the input that a vector scatters at a time; 1 where they are copied one by one."""
        channels = node.inputs[0].shape[2]
        return CHUNK // channels if channels <= 8 and self.offsets(node).max() < 256 else 1

    def offsets(self, node: Node) -> np.ndarray:
        """(16,) bytes from the first column, for each byte of a row of the input."""
        at, channels = np.arange(CHUNK), node.inputs[0].shape[2]
        return at // channels * self.pitch(node) + at % channels  # type: ignore[no-any-return]

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        columns = self.columns(node)
        by_columns = op.weight.transpose(0, 2, 1, 3).reshape(len(op.weight), -1)
        return {
            "window": op.window.params(node.inputs[0].shape, node.output.shape),
            "in_c": node.inputs[0].shape[2], "out_c": node.output.shape[2],
            "tile": self.tile(node), "columns": columns, "pad_value": op.pad_value,
            "offset": Array(self.offsets(node).astype(np.uint8) * (columns > 1)),
            **packed_linear(op, by_columns),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        h, w, outputs = node.output.shape
        tile, columns, channels = self.tile(node), self.columns(node), node.inputs[0].shape[2]
        covered = (tile - 1) * op.window.strides[1] + op.window.kernel[1]
        gather = 8 / columns if columns > 1 else 6 * chunks(channels)
        per_tile = 60 + op.window.kernel[0] * (25 + covered * gather) + matrix_cost(op.weight[0].size, outputs, tile)
        return h * w / tile * per_tile

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        w = node.op.window
        return ((self.tile(node) - 1) * w.strides[1] + w.kernel[1]) * self.pitch(node) + CHUNK


class Conv1x1MveKernel(Conv2dMveKernel):
    """1x1 without padding, of whole vectors: the pixel is the window. Reads two pixels before it writes them."""

    function = "edgeq_conv2d_1x1_mve"
    uses_scratch = False

    def supports(self, node: Node) -> bool:
        return Conv1x1Kernel().supports(node) and node.inputs[0].shape[2] % CHUNK == 0

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        h, w, outputs = node.output.shape
        rows = 1 if op.window.strides == (1, 1) else h
        return rows * matrix_cost(node.inputs[0].shape[2], outputs, h * w // rows)

    def scratch(self, node: Node) -> int:
        return 0


class Conv2dAnyMveKernel(Conv2dKernel):
    """Groups and dilated rows: gathers each window into scratch, then eight outputs at a time."""

    function = "edgeq_conv2d_any_mve"
    source = "edgeq_conv2d_mve.c"
    params_type = "edgeq_conv2d_any_mve_params"
    isa = "mve"

    def supports(self, node: Node) -> bool:
        return not Conv2dMveKernel().supports(node)

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        kept = ("window", "in_c", "groups", "group_in", "group_out", "pad_value")
        fields = super().params(node)
        return {**{k: fields[k] for k in kept}, **packed_linear(op, op.weight.reshape(len(op.weight), -1), op.groups)}

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        inputs, taps = op.weight[0].size, op.window.taps
        gather = 20 + taps * (20 + 3 * chunks(inputs // taps))
        pixels = node.output.shape[0] * node.output.shape[1]
        return float(pixels * op.groups * (gather + vector_cost(inputs, len(op.weight) // op.groups)))

    def scratch(self, node: Node) -> int:
        assert isinstance(node.op, Conv2d)
        return CHUNK * chunks(node.op.weight[0].size)
