"""Walks the float layers once, decides each tensor's scale, and lets every operator quantise itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgeq.calibrate.histogram import Histogram
from edgeq.calibrate.observe import Observations
from edgeq.errors import EdgeqError, QuantizationError
from edgeq.ir import FloatGraph, IntGraph, IntOp, Layer, LayerOp, Node, Tensor
from edgeq.numerics import LIMITS
from edgeq.ops.flip_sign import FlipSign
from edgeq.ops.lut import Unary
from edgeq.quantize.activations import choose_input, choose_range, declared_input
from edgeq.quantize.weights import MinMaxWeights

Quantization = tuple[float, int]  # scale, zero_point


@dataclass(frozen=True)
class InputSpec:
    """What the user declares of a network input. range: (lowest, highest) real value; dtype: int8 or uint8."""

    range: tuple[float, float] | None = None
    dtype: str = "int8"


@dataclass(frozen=True)
class QuantOptions:
    """method: how activation ranges are chosen (activations.METHODS); inputs: ONNX input name -> InputSpec."""

    method: str = "mse"
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)


def quantize(graph: FloatGraph, seen: Observations, options: QuantOptions) -> IntGraph:
    """The integer graph, validated. Raises QuantizationError or BadInput naming the node or input."""
    caps: dict[str, int] = {}
    while True:  # a layer that cannot reach its group's resolution lowers it, and the walk starts again
        lowering = _Lowering(graph, seen, options, caps)
        result = lowering.run()
        if result is not None:
            return result


def _groups(graph: FloatGraph) -> dict[str, str]:
    """Tensor -> representative of the tensors that share its scale: through layers that only move bytes.

    A join (several inputs) draws in only inputs that nothing else reads and whose scale is free; others are
    requantised at the join.
    """
    parent = {name: name for name in graph.tensors}
    pinned = {*graph.inputs.values(), *(x.output for x in graph.layers if x.op.fixed_output())}
    consumers, outputs = graph.consumers(), set(graph.outputs.values())

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for layer in graph.layers:
        if not layer.op.keeps_quantization:
            continue
        for name in dict.fromkeys(layer.inputs):
            free = len(consumers[name]) == 1 and name not in outputs and find(name) not in pinned
            if len(layer.inputs) == 1 or free:
                root, other = find(name), find(layer.output)
                if other in pinned:
                    root, other = other, root
                parent[other] = root
    return {name: find(name) for name in parent}


class _Lowering:
    def __init__(self, graph: FloatGraph, seen: Observations, options: QuantOptions, caps: dict[str, int]):
        self.graph, self.seen, self.options, self.caps = graph, seen, options, caps
        self.group = _groups(graph)
        means = {n: t.from_onnx(seen.means[t.onnx_name])[0] for n, t in graph.tensors.items() if t.onnx_name is not None}
        self.ctx = MinMaxWeights(means)
        self.never_negative: dict[str, bool] = {}
        self.chosen: dict[str, Quantization] = {}
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []

    def run(self) -> IntGraph | None:
        inputs = {}
        for name, tensor in self.graph.inputs.items():
            inputs[name] = self._input(name, tensor)
        self._find_never_negative()
        for layer in self.graph.layers:
            if not self._lower(layer):
                return None
        outputs = {name: self.tensors[t] for name, t in self.graph.outputs.items()}
        return IntGraph(tuple(self.nodes), inputs, outputs).validate()

    def _input(self, name: str, tensor: str) -> Tensor:
        spec = self.options.inputs.get(name, InputSpec())
        if spec.range:
            scale, zero_point = declared_input(*spec.range, spec.dtype, name)
        else:
            scale, zero_point = choose_input(
                self.seen.histograms[name], self.seen.grids[name], self.seen.extremes[name], spec.dtype
            )
        given = Tensor(tensor, self.graph.tensors[tensor].shape, scale, zero_point, spec.dtype)
        self.never_negative[tensor] = zero_point == LIMITS[spec.dtype][0]
        self.tensors[tensor] = given
        if spec.dtype == "uint8" and self.graph.consumers()[tensor]:
            signed = Tensor(f"{tensor}_int8", given.shape, scale, zero_point - 128)
            self._emit(FlipSign(), (given,), signed, ())
            self.tensors[tensor] = signed
        self.chosen[self.group[tensor]] = (self.tensors[tensor].scale, self.tensors[tensor].zero_point)
        return given

    def _find_never_negative(self) -> None:
        known = self.never_negative
        for layer in self.graph.layers:
            known[layer.output] = layer.op.never_negative([known[i] for i in layer.inputs])

    def _quantization(self, layer: Layer) -> Quantization:
        """Scale and zero point of the layer's output group, decided when its first tensor is reached."""
        group = self.group[layer.output]
        if group not in self.chosen:
            members = [n for n, g in self.group.items() if g == group]
            fixed = layer.op.fixed_output()
            if fixed is None:
                never_negative = all(self.never_negative[m] for m in members)
                fixed = choose_range(self._histogram(members, layer), never_negative, self.options.method,
                                     self.caps.get(group))  # fmt: skip
            self.chosen[group] = (2.0 ** -fixed[0], fixed[1])
        return self.chosen[group]

    def _histogram(self, members: list[str], layer: Layer) -> Histogram:
        names = dict.fromkeys(self.graph.tensors[m].onnx_name for m in members)
        found = [self.seen.histograms[n] for n in names if n is not None]
        if not found:
            raise QuantizationError("none of its values was observed", node=", ".join(layer.onnx_nodes))
        merged = found[0]
        for other in found[1:]:
            merged = merged.merged(other)
        return merged

    def _lower(self, layer: Layer) -> bool:
        """Adds the layer's node. False where its group's resolution had to be lowered first."""
        scale, zero_point = self._quantization(layer)
        output = Tensor(layer.output, self.graph.tensors[layer.output].shape, scale, zero_point)
        inputs = tuple(self.tensors[i] for i in layer.inputs)
        limit = layer.op.max_frac_bits(inputs)
        if limit is not None and output.frac_bits is not None and output.frac_bits > limit:
            self.caps[self.group[layer.output]] = limit
            return False
        if layer.op.keeps_quantization:
            inputs = tuple(self._requantized(layer, t, output) for t in inputs)
        try:
            self._emit(layer.op.quantize(self.ctx, layer, inputs, output), inputs, output, layer.onnx_nodes)
        except EdgeqError as e:
            raise type(e)(e.fact, node=e.node or ", ".join(layer.onnx_nodes), hint=e.hint) from e
        self.tensors[layer.output] = output
        return True

    def _requantized(self, layer: Layer, tensor: Tensor, output: Tensor) -> Tensor:
        """The tensor in the output's quantisation: itself, or through a table."""
        if tensor.same_quantization(output):
            return tensor
        new = replace(output, name=f"{layer.output}_in_{tensor.name}", shape=tensor.shape)
        if new.name not in self.tensors:
            identity: LayerOp = Unary("x")
            self._emit(identity.quantize(self.ctx, layer, (tensor,), new), (tensor,), new, layer.onnx_nodes)
            self.tensors[new.name] = new
        return new

    def _emit(self, op: IntOp, inputs: tuple[Tensor, ...], output: Tensor, onnx_nodes: tuple[str, ...]) -> None:
        op.validate(inputs, output)
        self.nodes.append(Node(f"l{len(self.nodes):02d}_{op.name}", op, inputs, output, onnx_nodes))
