"""ONNX graph -> FloatGraph. Every operator's own import rule does the work; this walks the nodes and keeps memory order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeq import ops
from edgeq.errors import UnsupportedModel
from edgeq.ir import FloatGraph, FloatTensor, Layer, LayerOp, Shape, size_of
from edgeq.onnx_side.fuse import fuse, kind
from edgeq.onnx_side.load import dims_of, graph_inputs, opset_of
from edgeq.ops._base import GraphBuilder, Operand, Unsupported, View
from edgeq.ops.alias import AliasLayer
from edgeq.ops.copy import CopyLayer, factor


@dataclass(frozen=True)
class Problem:
    """A node that cannot be compiled."""

    node: str
    op: str
    reason: str


def import_graph(model: onnx.ModelProto, io_layout: str = "channels_last") -> FloatGraph:
    """The fused FloatGraph of a simplified model.

    io_layout "onnx" keeps inputs and outputs in the ONNX memory order; "channels_last" stores an image or sequence
    input channels-last where that saves copies. Raises UnsupportedModel listing every node that has no rule.
    """
    graph = fuse(_Importer(model, False, io_layout == "onnx").run())
    if io_layout == "onnx" or copied(graph) == 0:
        return graph
    other = fuse(_Importer(model, True, False).run())
    return other if copied(other) < copied(graph) else graph


def find_problems(model: onnx.ModelProto) -> list[Problem]:
    """Every node that cannot be compiled, with the reason; empty where all can."""
    importer = _Importer(model, False, False)
    importer.walk()
    return importer.problems


def copied(graph: FloatGraph) -> int:
    """Elements moved by copies."""
    return sum(size_of(graph.tensors[layer.output].shape) for layer in graph.layers if isinstance(layer.op, CopyLayer))


def identifier(name: str, fallback: str = "tensor") -> str:
    """A C identifier resembling `name`."""
    text = re.sub(r"\W+", "_", name).strip("_") or fallback
    return f"_{text}" if text[0].isdigit() else text


class _Importer(GraphBuilder):
    def __init__(self, model: onnx.ModelProto, inputs_last: bool, io_onnx: bool):
        self.model, self.io_onnx = model, io_onnx
        self.opset = opset_of(model)
        self.tensors: dict[str, FloatTensor] = {}
        self.layers: list[Layer] = []
        self.problems: list[Problem] = []
        self.arranged: dict[Any, str] = {}
        self.current = ""
        self.values: dict[str, Operand | None] = {t.name: _array(t) for t in model.graph.initializer}
        self.inputs: dict[str, str] = {}
        for value in graph_inputs(model):
            shape = tuple(int(d) for d in dims_of(value))
            axes = (_channels_last(shape) if inputs_last else None) or tuple(range(len(shape)))
            stored = tuple(shape[a] for a in axes)
            index = np.arange(size_of(shape)).reshape(stored).transpose(np.argsort(axes))
            name = self._new_name(identifier(value.name, "input"))
            self.tensors[name] = FloatTensor(name, _without_batch(stored), value.name, index)
            self.inputs[value.name] = name
            self.values[value.name] = View(name, index)

    def run(self) -> FloatGraph:
        self.walk()
        if self.problems:
            lines = "".join(f"\n  {p.node} ({p.op}): {p.reason}" for p in self.problems)
            raise UnsupportedModel(f"{len(self.problems)} node(s) cannot be compiled:{lines}",
                                   hint="`edgeq ops` lists what is supported")  # fmt: skip
        outputs = {}
        for value in self.model.graph.output:
            view = self.values.get(value.name)
            if not isinstance(view, View):
                raise UnsupportedModel("does not depend on the model's input", node=f"output {value.name!r}")
            outputs[value.name] = self._output(value.name, view)
        return FloatGraph(self.tensors, tuple(self.layers), self.inputs, outputs)

    def walk(self) -> None:
        """Applies the import rules in order, collecting problems."""
        graph = self.model.graph
        shapes = {v.name: dims_of(v) for v in (*graph.value_info, *graph.output)}
        wanted = {*(o.name for o in graph.output), *(i for n in graph.node for i in n.input)}
        for node in graph.node:
            self.current = node.name or node.output[0]
            self.outputs = len(node.output)
            results: Sequence[View] = ()
            try:
                results = self._apply(node)
                self._check_outputs(node, results, shapes, wanted)
            except Unsupported as e:
                self.problems.append(Problem(self.current, node.op_type, str(e)))
                results = ()
            for i, name in enumerate(node.output):
                self.values[name] = self._named(name, results[i]) if i < len(results) else None

    def _apply(self, node: onnx.NodeProto) -> tuple[View, ...]:
        rule = ops.rules().get(node.op_type)
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"domain {node.domain!r} is not supported")
        if rule is None:
            raise Unsupported("operator is not supported")
        operands: list[Operand | None] = []
        for name in node.input:
            operand = self.values.get(name) if name else None
            if name and operand is None:
                return ()  # comes from a node that is itself a problem, and is reported there
            operands.append(operand)
        if operands and not any(isinstance(o, View) for o in operands):
            raise Unsupported("all its inputs are constants, and it could not be folded into one")
        attributes = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        bound = rule.bind(operands, attributes)
        try:
            out = rule.fn(self, *bound.args[1:], **bound.kwargs)
        except Unsupported:
            raise
        except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as e:  # numpy on malformed attributes
            raise Unsupported(f"attributes or shapes do not fit: {e}") from e
        return out if isinstance(out, tuple) else (out,)

    def _check_outputs(
        self, node: onnx.NodeProto, results: Sequence[View], shapes: dict[str, list[int | str]], wanted: set[str]
    ) -> None:
        missing = [name for name in node.output[len(results) :] if name in wanted]
        if results and missing:
            raise Unsupported(f"output {list(node.output).index(missing[0]) + 1} ({missing[0]!r}) is not supported")
        for name, view in zip(node.output, results, strict=False):
            expected = shapes.get(name)
            if expected and all(isinstance(d, int) for d in expected) and view.shape != tuple(expected):
                raise Unsupported(f"ONNX infers output shape {tuple(expected)}, edgeq {view.shape}")

    def _named(self, name: str, view: View) -> View:
        """Notes that `view` is the ONNX tensor `name`, so that its values can be observed."""
        tensor = self.tensors[view.tensor]
        if tensor.onnx_name is None and _is_permutation(view.index, size_of(tensor.shape)):
            self.tensors[view.tensor] = replace(tensor, onnx_name=name, index=view.index)
        return view

    def _output(self, name: str, view: View) -> str:
        """The tensor of a graph output: in ONNX order, or that order channels-last where it already lies so."""
        last = None if self.io_onnx else _channels_last(view.shape)
        if last and np.array_equal(view.index.transpose(last).ravel(), np.arange(view.index.size)):
            axes: Sequence[int] = last
        else:
            axes = range(view.index.ndim)
        self.current = f"output {name}"
        stored = self.stored(view, axes, _without_batch(tuple(view.shape[a] for a in axes)))
        tensor = self.tensors[stored]
        order = tuple(view.shape[a] for a in axes)
        index = np.arange(view.index.size).reshape(order).transpose(np.argsort(axes))
        self.tensors[stored] = replace(tensor, onnx_name=tensor.onnx_name or name, index=index)
        return stored

    # ------------------------------------------------------------ GraphBuilder

    def shape_of(self, tensor: str) -> Shape:
        return self.tensors[tensor].shape

    def stored(self, view: View, axes: Sequence[int] | None = None, shape: Shape | None = None) -> str:
        axes = range(view.index.ndim) if axes is None else axes
        order = view.index.transpose(tuple(axes)).ravel()
        shape = shape or _without_batch(tuple(view.shape[a] for a in axes))
        tensor = self.tensors[view.tensor]
        if tensor.shape == shape and np.array_equal(order, np.arange(size_of(tensor.shape))):
            return tensor.name
        key = (tensor.name, order.tobytes(), shape)
        if key not in self.arranged:
            self.arranged[key] = self._arrange(view, tensor, order, shape, tuple(axes))
        return self.arranged[key]

    def _arrange(self, view: View, tensor: FloatTensor, order: np.ndarray, shape: Shape, axes: tuple[int, ...]) -> str:
        walk = factor(order)
        if walk is None:  # not one strided walk: first into ONNX order, and from there it is
            plain = factor(view.index.ravel())
            if plain is None:
                raise Unsupported(f"its input, of shape {view.shape}, lies in memory in an order no strided walk gives")
            first = self.add(CopyLayer(plain), [tensor.name], view.shape, np.arange(order.size).reshape(view.shape))
            return self.stored(first, axes, shape)
        aliases = walk.contiguous and walk.offset % 4 == 0  # kernels may read aligned words
        op: LayerOp = AliasLayer(walk.offset, order.size) if aliases else CopyLayer(walk)
        name = self.add(op, [tensor.name], shape, np.arange(order.size)).tensor
        if tensor.index is not None and _is_permutation(order, size_of(tensor.shape)):
            index = np.argsort(order)[tensor.index]
            self.tensors[name] = replace(self.tensors[name], onnx_name=tensor.onnx_name, index=index)
        return name

    def whole(self, view: View) -> View:
        if _is_permutation(view.index, size_of(self.tensors[view.tensor].shape)):
            return view
        name = self.stored(view, shape=_without_batch(view.shape))
        return View(name, np.arange(view.index.size).reshape(view.shape))

    def add(self, op: LayerOp, inputs: Sequence[str], shape: Shape, index: np.ndarray | None = None) -> View:
        name = self._new_name(f"t{len(self.layers)}_{kind(op)}")
        self.tensors[name] = FloatTensor(name, shape)
        self.layers.append(Layer(name, op, tuple(inputs), name, (self.current,)))
        return View(name, np.arange(size_of(shape)).reshape(1, *shape) if index is None else index)

    def _new_name(self, wanted: str) -> str:
        name, i = wanted, 1
        while name in self.tensors:
            name, i = f"{wanted}_{i}", i + 1
        return name


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    array = np.asarray(numpy_helper.to_array(tensor))
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _channels_last(shape: Shape) -> tuple[int, ...] | None:
    """The axes of one image or sequence in channels-last order, or None for other data."""
    return {3: (0, 2, 1), 4: (0, 2, 3, 1)}.get(len(shape)) if shape[:1] == (1,) else None


def _without_batch(shape: Shape) -> Shape:
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _is_permutation(index: np.ndarray, size: int) -> bool:
    return index.size == size and bool((np.bincount(index.ravel(), minlength=size) == 1).all())
