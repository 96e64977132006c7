"""Sliding windows: the geometry that convolutions and pools share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeq.errors import UnsupportedModel
from edgeq.ir import Shape
from edgeq.ops._base import Params, Unsupported

Pair = tuple[int, int]
MAX_FIELD = 32767  # of the C struct edgeq_window
MAX_PADDED = 1 << 24  # pixels of a padded input


@dataclass(frozen=True)
class Window:
    """A 2-D window. pads: (top, left, bottom, right). 1-D windows have height 1."""

    kernel: Pair
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil: bool = False  # pools: whether a last, partial window counts

    @property
    def reach(self) -> Pair:
        """Extent of the dilated kernel."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))  # type: ignore[return-value]

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def padded(self) -> bool:
        return any(self.pads)

    def out_size(self, size: Pair) -> Pair:
        """(H, W) of the output for an input of (H, W)."""
        out = []
        for a in (0, 1):
            room = size[a] + self.pads[a] + self.pads[a + 2] - self.reach[a]
            n = (-(-room // self.strides[a]) if self.ceil else room // self.strides[a]) + 1
            if self.ceil and (n - 1) * self.strides[a] >= size[a] + self.pads[a]:  # ONNX: starts in the end padding
                n -= 1
            out.append(n)
        return out[0], out[1]

    def by_rows(self, height: int, first: int, end: int) -> tuple[Window, tuple[int, int]] | None:
        """(The window over rows a..b of the input that makes rows first..end of the output, (a, b)); ranges exclude their end.

        None where it would see padding alone.
        """
        (top, left, _, right), stride = self.pads, self.strides[0]
        above, below = first * stride - top, (end - 1) * stride - top + self.reach[0]
        a, b = max(above, 0), min(below, height)
        return (replace(self, pads=(a - above, left, below - b, right)), (a, b)) if a < b else None

    def patches(self, x: np.ndarray, fill: int) -> np.ndarray:
        """(N, H, W, C) -> (N, OH, OW, kh, kw, C) read-only view of the array padded with `fill`."""
        (oh, ow), (rh, rw) = self.out_size((x.shape[1], x.shape[2])), self.reach
        top, left = self.pads[:2]
        bottom = max((oh - 1) * self.strides[0] + rh - x.shape[1] - top, 0)
        right = max((ow - 1) * self.strides[1] + rw - x.shape[2] - left, 0)
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (rh, rw), axis=(1, 2))
        windows = windows[:, :: self.strides[0], :: self.strides[1], :, :: self.dilations[0], :: self.dilations[1]]
        return windows[:, :oh, :ow].transpose(0, 1, 2, 4, 5, 3)

    def params(self, in_shape: Shape, out_shape: Shape) -> Params:
        """The geometry as fields of the C struct edgeq_window. Raises UnsupportedModel over its 16-bit fields."""
        if max(*in_shape, *out_shape) > MAX_FIELD:
            fact = f"a dimension of {max(*in_shape, *out_shape)} is over {MAX_FIELD}"
            raise UnsupportedModel(fact, hint="a smaller input")
        return {
            "in_h": in_shape[0], "in_w": in_shape[1], "out_h": out_shape[0], "out_w": out_shape[1],
            "kernel_h": self.kernel[0], "kernel_w": self.kernel[1],
            "stride_h": self.strides[0], "stride_w": self.strides[1],
            "dilation_h": self.dilations[0], "dilation_w": self.dilations[1],
            "pad_top": self.pads[0], "pad_left": self.pads[1],
        }  # fmt: skip


def window_of(
    spatial: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> Window:
    """A Window from ONNX attributes for input of spatial size (W,) or (H, W). Raises Unsupported."""
    rank = len(spatial)
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    kernel, pads = list(kernel_shape), list(pads or [0] * 2 * rank)
    if len(kernel) != rank:
        raise Unsupported(f"kernel_shape {kernel} does not match the {rank}-D input")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for size, k, s, d in zip(spatial, kernel, strides, dilations, strict=True):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            small, large = total // 2, total - total // 2
            begin.append(small if auto_pad == "SAME_UPPER" else large)
            end.append(large if auto_pad == "SAME_UPPER" else small)
        pads, ceil_mode = begin + end, 0
    elif auto_pad == "VALID":
        pads = [0] * 2 * rank
    elif auto_pad != "NOTSET":
        raise Unsupported(f"auto_pad {auto_pad!r} is not supported")
    if min(pads) < 0:
        raise Unsupported(f"negative pads {pads} are not supported")
    fields = [*kernel, *strides, *dilations]
    if (len(fields), len(pads)) != (3 * rank, 2 * rank) or min(fields) < 1 or max(fields) > MAX_FIELD:
        raise Unsupported(f"kernel {kernel}, strides {strides}, dilations {dilations}, pads {pads} are not a window")
    if math.prod(n + p + q for n, p, q in zip(spatial, pads, pads[rank:], strict=False)) > MAX_PADDED:
        raise Unsupported(f"pads {pads} are too large")
    if rank == 1:
        kernel, strides, dilations = [1, *kernel], [1, *strides], [1, *dilations]
        pads = [0, pads[0], 0, pads[1]]
        spatial = [1, *spatial]
    window = Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(pads), bool(ceil_mode))  # type: ignore[arg-type]
    if min(window.out_size((spatial[0], spatial[1]))) < 1:
        raise Unsupported(f"kernel {kernel} with dilations {dilations} does not fit input {list(spatial)} with pads {pads}")
    return window
