"""conv2d kernels for Helium."""

from __future__ import annotations

import numpy as np

from edgeq.ir import Node, Shape
from edgeq.ops._access import Access, row_groups, windowed
from edgeq.ops._base import Array, Params
from edgeq.ops._mve import CHUNK, by_pairs, chunks, in_rows, matrix_cost, packed_linear, vector_cost
from edgeq.ops._window import Window
from edgeq.ops.conv2d import Conv1x1Kernel, Conv2d, Conv2dKernel

PATCH = 1024  # bytes of scratch that a tile should keep to


def geometry(node: Node) -> tuple[Window, Shape, Shape]:
    """Window, input shape and output shape as the kernel sees them."""
    assert isinstance(node.op, Conv2d)
    return in_rows(node.op.window, node.inputs[0].shape, node.output.shape)


class Conv2dMveKernel(Conv2dKernel):
    """Brings what a tile of windows covers to scratch, column by column, so that neighbours share it; then two pixels and
    four outputs at a time."""

    function = "edgeq_conv2d_mve"
    source = "edgeq_conv2d_mve.c"
    params_type = "edgeq_conv2d_mve_params"
    isa = "mve"

    def supports(self, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2d)
        return op.groups == 1 and geometry(node)[0].dilations[1] == 1

    def pitch(self, node: Node) -> int:
        """Bytes of a column of the window."""
        window, inputs, _ = geometry(node)
        return int(window.kernel[0] * inputs[2])

    def tile(self, node: Node) -> int:
        """Output pixels at a time: an even share of the row."""
        window, _, (_, out_w, _) = geometry(node)
        most = max(2, (PATCH // self.pitch(node) - window.kernel[1]) // window.strides[1] + 1)
        share = -(-out_w // -(-out_w // most))
        return min(out_w, share + share % 2)

    def covered(self, node: Node) -> int:
        """Columns that the windows of a tile cover."""
        window, _, _ = geometry(node)
        return (self.tile(node) - 1) * window.strides[1] + window.kernel[1]

    def columns(self, node: Node) -> int:
        """Columns of one row of the input that a vector scatters at a time; 0 where they are copied one by one."""
        channels = node.inputs[0].shape[2]
        return CHUNK // channels if channels <= 8 and self.offsets(node).max() < 256 else 0

    def offsets(self, node: Node) -> np.ndarray:
        """(16,) bytes from the first column, for each byte of a row of the input."""
        at, channels = np.arange(CHUNK), node.inputs[0].shape[2]
        return at // channels * self.pitch(node) + at % channels  # type: ignore[no-any-return]

    def params(self, node: Node) -> Params:
        op = node.op
        assert isinstance(op, Conv2d)
        window, inputs, output = geometry(node)
        columns = self.columns(node)
        by_columns = op.weight.transpose(0, 2, 1, 3).reshape(len(op.weight), -1)
        return {
            "window": window.params(inputs, output), "in_c": inputs[2], "out_c": output[2],
            "tile": self.tile(node), "columns": columns, "pad_value": op.pad_value,
            "offset": Array(self.offsets(node).astype(np.uint8) * (columns > 0)),
            **packed_linear(op, by_columns),
        }  # fmt: skip

    def cost(self, node: Node) -> float:
        op = node.op
        assert isinstance(op, Conv2d)
        window, inputs, (h, w, outputs) = geometry(node)
        tile, columns, inner = self.tile(node), self.columns(node), op.weight[0].size
        gather = 8 / columns if columns else 6 * chunks(inputs[2])
        whole = 60 + window.kernel[0] * (25 + self.covered(node) * gather) + matrix_cost(inner, outputs, tile)
        rest = 60 + window.kernel[0] * 25 + matrix_cost(inner, outputs, w % tile) if w % tile else 0
        return h * (w // tile * whole + rest)

    def access(self, node: Node) -> Access:
        window, inputs, outputs = geometry(node)
        reads, writes = np.zeros(inputs[2], int), np.zeros(outputs[2], int)
        return windowed(window, inputs, reads, writes, row_groups(outputs, self.tile(node)))

    def scratch(self, node: Node) -> int:
        return self.covered(node) * self.pitch(node) + CHUNK


class Conv1x1MveKernel(Conv2dMveKernel):
    """1x1 without padding: the pixel is the window."""

    function = "edgeq_conv2d_1x1_mve"

    def supports(self, node: Node) -> bool:
        if not Conv1x1Kernel().supports(node):
            return False
        window, inputs, _ = geometry(node)
        return inputs[2] % CHUNK == 0 or window.strides == (1, 1)

    def access(self, node: Node) -> Access:
        window, inputs, outputs = geometry(node)  # the pixels of a group are read again after some of it is written
        reads, writes = np.ones(inputs[2], int), np.zeros(outputs[2], int)
        group = 2 if by_pairs(inputs[2], outputs[2]) else outputs[1]
        return windowed(window, inputs, reads, writes, row_groups(outputs, group))

    def tile(self, node: Node) -> int:
        """The last pixels of the row: whose chunks would end behind the input."""
        _, (_, w, channels), _ = geometry(node)
        return min(w, -(-CHUNK * chunks(channels) // channels) - 1)

    def cost(self, node: Node) -> float:
        _, inputs, (h, w, outputs) = geometry(node)
        return h * (40 + matrix_cost(inputs[2], outputs, w) + 60 * (inputs[2] % CHUNK != 0))

    def scratch(self, node: Node) -> int:
        tile = self.tile(node)
        return tile * node.inputs[0].shape[2] + CHUNK if tile else 0


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
