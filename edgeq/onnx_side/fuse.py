"""Fusing layers of a FloatGraph: clamps into the layer before, functions of one tensor into one table, dead code out."""

from __future__ import annotations

import re
from dataclasses import replace

from edgeq.ir import FloatGraph, Layer, LayerOp
from edgeq.ops.lut import Expr, Unary, substitute


def fuse(graph: FloatGraph) -> FloatGraph:
    """The same function with fewer layers. Numbers at the tensors that remain are unchanged."""
    changed = True
    while changed:
        graph, a = _merge_unary(graph)
        graph, b = _merge_binary(graph)
        graph, c = _drop_dead(graph)
        changed = a or b or c
    return _named(graph)


def kind(op: LayerOp) -> str:
    """conv2d of a Conv2dLayer, avg_pool of an AvgPoolLayer."""
    return re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(op).__name__.removesuffix("Layer")).lower()


def _named(graph: FloatGraph) -> FloatGraph:
    """The graph with its layers and their outputs named by what they are after fusing: t3_conv2d."""
    names = {t: t for t in graph.inputs.values()}
    names |= {x.output: f"t{i}_{kind(x.op)}" for i, x in enumerate(graph.layers)}
    layers = [replace(x, name=names[x.output], inputs=tuple(names[t] for t in x.inputs), output=names[x.output])
              for x in graph.layers]  # fmt: skip
    tensors = {names[n]: replace(t, name=names[n]) for n, t in graph.tensors.items()}
    outputs = {onnx_name: names[t] for onnx_name, t in graph.outputs.items()}
    return replace(graph, tensors=tensors, layers=tuple(layers), outputs=outputs)


def _with_layers(graph: FloatGraph, layers: list[Layer]) -> FloatGraph:
    used = {*graph.inputs.values(), *(layer.output for layer in layers)}
    return replace(graph, layers=tuple(layers), tensors={n: t for n, t in graph.tensors.items() if n in used})


def _merge_unary(graph: FloatGraph) -> tuple[FloatGraph, bool]:
    """Absorbs each Unary into the layer that feeds only it: as its clamp, or as one longer function."""
    producers = {layer.output: layer for layer in graph.layers}
    consumers = graph.consumers()
    for layer in graph.layers:
        before = producers.get(layer.inputs[0])
        if not isinstance(layer.op, Unary) or before is None:
            continue
        if len(consumers[before.output]) > 1 or before.output in graph.outputs.values():
            continue
        clamp = layer.op.as_clamp()
        if isinstance(before.op, Unary):
            op = Unary(substitute(layer.op.expr, x=before.op.expr))
        elif clamp is not None:
            op = before.op.with_clamp(*clamp)  # type: ignore[assignment]
        else:
            continue
        if op is None:
            continue
        nodes = tuple(dict.fromkeys((*before.onnx_nodes, *layer.onnx_nodes)))
        merged = Layer(before.name, op, before.inputs, layer.output, nodes)
        layers = [merged if x is before else x for x in graph.layers if x is not layer]
        return _with_layers(graph, layers), True
    return graph, False


def _function_of(graph: FloatGraph, producers: dict[str, Layer], tensor: str) -> list[tuple[str, Expr, tuple[str, ...]]]:
    """(root, expression, ONNX nodes) for each way to see `tensor` as a function of a tensor before it; itself first."""
    found: list[tuple[str, Expr, tuple[str, ...]]] = [(tensor, "x", ())]
    while isinstance((layer := producers.get(found[-1][0])), Layer) and isinstance(layer.op, Unary):
        _, expr, nodes = found[-1]
        found.append((layer.inputs[0], substitute(expr, x=layer.op.expr), (*layer.onnx_nodes, *nodes)))
    return found


def _merge_binary(graph: FloatGraph) -> tuple[FloatGraph, bool]:
    """x * f(x) and its kin: a binary layer whose operands are functions of one tensor is a function of that tensor."""
    producers = {layer.output: layer for layer in graph.layers}
    for layer in graph.layers:
        function = layer.op.as_function()
        if function is None:
            continue
        right = {root: (expr, nodes) for root, expr, nodes in _function_of(graph, producers, layer.inputs[1])}
        for root, expr, nodes in _function_of(graph, producers, layer.inputs[0]):
            if root in right:
                other, more = right[root]
                names = tuple(dict.fromkeys((*nodes, *more, *layer.onnx_nodes)))
                op = Unary(substitute(function, x=expr, y=other))
                merged = Layer(layer.name, op, (root,), layer.output, names)
                return _with_layers(graph, [merged if x is layer else x for x in graph.layers]), True
    return graph, False


def _drop_dead(graph: FloatGraph) -> tuple[FloatGraph, bool]:
    consumers, outputs = graph.consumers(), set(graph.outputs.values())
    layers = [x for x in graph.layers if consumers[x.output] or x.output in outputs]
    return _with_layers(graph, layers), len(layers) < len(graph.layers)
