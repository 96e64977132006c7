"""The two graphs of the compiler: FloatGraph (layers over float tensors) and IntGraph (integer nodes).

Both are frozen values, in execution order, channels last. A tensor's `shape` leaves out the batch, which is always 1:
an image is (H, W, C), a sequence (1, W, C), a vector (K,). numpy arrays of tensors carry any batch N in front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeq.errors import UnsupportedModel
from edgeq.numerics import LIMITS, frac_bits_of

Shape = tuple[int, ...]


def size_of(shape: Shape) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)


# ---------------------------------------------------------------- float side


@dataclass(frozen=True, eq=False)
class FloatTensor:
    """One value of the float graph, as it will be stored.

    onnx_name: the ONNX tensor that holds the same numbers, or None where the model has none.
    index: int array of the ONNX tensor's shape; the ONNX element at i is stored.flat[index[i]].
    """

    name: str
    shape: Shape
    onnx_name: str | None = None
    index: np.ndarray | None = None

    def from_onnx(self, array: np.ndarray) -> np.ndarray:
        """ONNX-side float array (the tensor's ONNX shape, or with N samples stacked in front) -> (N, *shape) float32."""
        assert self.index is not None
        flat = array.reshape(-1, self.index.size)
        stored = np.empty_like(flat)
        stored[:, self.index.ravel()] = flat
        return stored.reshape(-1, *self.shape)

    def to_onnx(self, array: np.ndarray) -> np.ndarray:
        """(N, *shape) stored array -> (N, *ONNX shape without its leading batch of 1)."""
        assert self.index is not None
        shape = self.index.shape[1:] if self.index.shape[:1] == (1,) else self.index.shape
        return array.reshape(len(array), -1)[:, self.index.ravel()].reshape(len(array), *shape)


class LayerOp:
    """A float layer's meaning: a frozen dataclass in edgeq/ops with its attributes and float constants.

    Subclasses override what differs from these defaults.
    """

    onnx_ops: ClassVar[tuple[str, ...]] = ()
    keeps_quantization: ClassVar[bool] = False  # bytes are only moved or selected: inputs and output share one scale

    def with_clamp(self, lo: float, hi: float) -> LayerOp | None:
        """This layer with a following Relu/Clip to [lo, hi] absorbed, or None where it cannot be."""
        return None

    def as_function(self) -> object:
        """Of two inputs, element by element: the expression (edgeq/ops/lut.py) in "x" and "y", else None."""
        return None

    def never_negative(self, inputs: Sequence[bool]) -> bool:
        """Whether the output provably is never below zero, given the same of the inputs."""
        return False

    def fixed_output(self) -> tuple[int, int] | None:
        """(frac_bits, zero_point) where the operator's definition decides them."""
        return None

    def max_frac_bits(self, inputs: Sequence[Tensor]) -> int | None:
        """Finest output resolution the integer operator can produce from these inputs, or None."""
        return None

    def quantize(self, ctx: QuantContext, layer: Layer, inputs: Sequence[Tensor], output: Tensor) -> IntOp:
        """The integer operator for these quantised tensors. Raises QuantizationError."""
        raise NotImplementedError

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def params(self) -> int:
        """Number of learned parameters held."""
        return 0


class QuantContext:
    """What a quantisation rule may ask of the quantiser; implemented in edgeq/quantize, which ops must not import."""

    def weights(self, layer: Layer, effective: np.ndarray, bias: np.ndarray, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Rounds weights per output channel.

        effective: (O, ...) float64, real weight times input scale, so real accumulator = sum(effective * (q - zp));
        bias: (O,) float64. -> (int8 weights of the same shape, (O,) int accumulator frac_bits).
        """
        raise NotImplementedError

    def mean_input(self, layer: Layer) -> np.ndarray | None:
        """Mean over the calibration samples of the layer's first input, float64 of its stored shape, if it was observed."""
        return None


@dataclass(frozen=True, eq=False)
class Layer:
    """One float layer. `name` is unique and a C identifier; onnx_nodes are the ONNX nodes that it stands for."""

    name: str
    op: LayerOp
    inputs: tuple[str, ...]
    output: str
    onnx_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """Layers in execution order. inputs/outputs pair the ONNX graph's names with tensors."""

    tensors: Mapping[str, FloatTensor]
    layers: tuple[Layer, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def consumers(self) -> dict[str, list[Layer]]:
        """Tensor name -> layers that read it."""
        found: dict[str, list[Layer]] = {name: [] for name in self.tensors}
        for layer in self.layers:
            for name in dict.fromkeys(layer.inputs):
                found[name].append(layer)
        return found

    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(self.layer_macs(layer) for layer in self.layers)

    def layer_macs(self, layer: Layer) -> int:
        """Multiply-accumulates of one layer."""
        return layer.op.macs([self.tensors[i].shape for i in layer.inputs], self.tensors[layer.output].shape)


# ---------------------------------------------------------------- integer side


@dataclass(frozen=True)
class Tensor:
    """A quantised activation: real = (q - zero_point) * scale.

    Only a network input, and what is moved from it unchanged, may have a scale that is not a power of two.
    """

    name: str
    shape: Shape
    scale: float
    zero_point: int
    dtype: str = "int8"

    @property
    def frac_bits(self) -> int | None:
        """scale == 2^-frac_bits, or None for an input with any other real scale."""
        return frac_bits_of(self.scale)

    @property
    def elements(self) -> int:
        return size_of(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of memory held."""
        return self.elements * np.dtype(self.dtype).itemsize

    def same_quantization(self, other: Tensor) -> bool:
        return (self.scale, self.zero_point, self.dtype) == (other.scale, other.zero_point, other.dtype)


class IntOp:
    """An integer operator: a frozen dataclass in edgeq/ops. Its `reference` is the definition of its numbers."""

    name: ClassVar[str]  # the operator's name: the module's, the C header's and SPEC.md section's

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        """Inputs (N, *shape) in their dtypes -> output (N, *shape), exactly as every kernel computes it."""
        raise NotImplementedError

    def validate(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Checks shapes, and proves that no intermediate can leave int32. Raises QuantizationError."""

    def by_rows(self, inputs: Sequence[Tensor], first: int, end: int) -> tuple[IntOp, tuple[int, int]] | None:
        """(The operator that makes rows first..end of the output (H, W, C), the rows of every input that it takes), or None
        where the output cannot be made by rows. Row ranges exclude their end."""
        return None

    def macs(self, inputs: Sequence[Tensor], output: Tensor) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def weight_bytes(self) -> int:
        """Bytes of weights and biases themselves, before packing."""
        return 0


@dataclass(frozen=True, eq=False)
class Node:
    """One integer operation; `name` is unique and a C identifier. It reads each input and writes its whole output."""

    name: str
    op: IntOp
    inputs: tuple[Tensor, ...]
    output: Tensor
    onnx_nodes: tuple[str, ...] = ()
    part_of: str = ""  # the node of which this one makes some rows, or moves some
    rows: tuple[int, int] | None = None  # those that it makes, the end excluded

    @property
    def macs(self) -> int:
        return self.op.macs(self.inputs, self.output)

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        """The operator's reference on (N, *shape) arrays, shaped as the output."""
        out = self.op.reference(*inputs)
        return out.reshape(len(out), *self.output.shape)


@dataclass(frozen=True, eq=False)
class IntGraph:
    """Integer nodes in a valid execution order. inputs/outputs: ONNX name -> tensor."""

    nodes: tuple[Node, ...]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, inputs first, in order of definition."""
        return {t.name: t for t in (*self.inputs.values(), *(n.output for n in self.nodes))}

    def consumers(self) -> dict[str, list[Node]]:
        """Tensor name -> nodes that read it, in order."""
        found: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(t.name for t in node.inputs):
                found[name].append(node)
        return found

    def validate(self) -> IntGraph:
        """Checks single assignment, definition before use, dtypes, and every node's own rules. Returns self.

        Raises UnsupportedModel or QuantizationError naming the node.
        """
        known = {t.name: t for t in self.inputs.values()}
        for node in self.nodes:
            for t in node.inputs:
                if known.get(t.name) != t:
                    raise UnsupportedModel(f"reads {t.name!r} before it is written", node=node.name)
            if node.output.name in known:
                raise UnsupportedModel(f"writes {node.output.name!r} a second time", node=node.name)
            if node.output.dtype not in LIMITS:
                raise UnsupportedModel(f"has the unknown dtype {node.output.dtype!r}", node=node.name)
            if node.output.frac_bits is None and all(t.scale != node.output.scale for t in node.inputs):
                raise UnsupportedModel(f"output scale {node.output.scale} is not a power of two", node=node.name)
            node.op.validate(node.inputs, node.output)
            known[node.output.name] = node.output
        for name, t in self.outputs.items():
            if known.get(t.name) != t:
                raise UnsupportedModel(f"output {name!r} is never written")
        return self
