"""Cleaning the float model: what folds is folded before anything is quantised. The float output stays the same."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import onnx
import onnxslim
from onnx import helper, numpy_helper

from edgeq.errors import UnsupportedModel
from edgeq.onnx_side.load import check_sizes, forget_shapes

LINEAR = ("Conv", "Gemm")


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Folds constants, BatchNorm, pads and affine steps; infers all shapes. Raises UnsupportedModel."""
    try:
        check_sizes(onnx.shape_inference.infer_shapes(model))  # before anything of that size is computed
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            slim = onnxslim.slim(constants_as_weights(model))
        forget_shapes(slim)  # onnxslim's own are wrong for a Split into uneven parts
        slim = onnx.shape_inference.infer_shapes(slim, strict_mode=True, data_prop=True)
        check_sizes(slim)
    except UnsupportedModel:
        raise
    except Exception as e:  # shape inference and folding raise whatever the node at fault makes them raise
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UnsupportedModel(f"the model cannot be simplified: {reason}", hint="run it in onnxruntime first") from e
    if not slim.graph.node:
        raise UnsupportedModel("the model's output does not depend on its input", hint="check the export")
    slim = split_row_biases(matmul_to_gemm(slim))
    slim = fold_affine(slim)
    forget_shapes(slim)
    return onnx.shape_inference.infer_shapes(slim, data_prop=True)


def constants_as_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which numbers in Constant nodes are initializers; onnxslim would make a value_float float64."""
    copy = _copy(model)
    kept = []
    for node in copy.graph.node:
        value = _number(node)
        if value is None:
            kept.append(node)
        else:
            copy.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy


def _number(node: onnx.NodeProto) -> np.ndarray | None:
    """The value of a Constant node that holds floats or integers, else None."""
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for a in node.attribute if node.op_type == "Constant" else ():
        if a.name in types:
            return np.array(helper.get_attribute_value(a), types[a.name])
        if a.name == "value":
            return np.asarray(numpy_helper.to_array(a.t))
    return None


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


class _Editor:
    """A model under edit: producers, consumers and constants by name."""

    def __init__(self, model: onnx.ModelProto):
        self.model = _copy(model)
        self.graph = self.model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.outputs = {o.name for o in self.graph.output}
        values = (*self.graph.value_info, *self.graph.input, *self.graph.output)
        self.shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads `name`, where it is read once and is not an output."""
        users = [n for n in self.graph.node for i in n.input if i == name]
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def set_constant(self, near: str, array: np.ndarray) -> str:
        """Adds a constant under a new name."""
        name, i = near, 0
        while name in self.constants:
            name, i = f"{near}_folded{i}", i + 1
        self.constants[name] = array
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def finish(self) -> onnx.ModelProto:
        """The model without unused constants."""
        used = {i for n in self.graph.node for i in n.input} | self.outputs
        kept = [t for t in self.graph.initializer if t.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        return self.model


def matmul_to_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """MatMul by a constant matrix becomes Gemm, which can take a bias; more than two axes are reshaped around it."""
    edit = _Editor(model)
    nodes = []
    for node in edit.graph.node:
        weight = edit.constants.get(node.input[1]) if node.op_type == "MatMul" else None
        rank = len(edit.shapes.get(node.input[0], [])) if node.input else 0
        if weight is None or weight.ndim != 2 or rank < 2 or node.input[0] in edit.constants:
            nodes.append(node)
            continue
        shape = edit.shapes[node.input[0]]
        if rank == 2:
            nodes.append(helper.make_node("Gemm", node.input, node.output, node.name))
            continue
        inner_in, inner_out = f"{node.output[0]}/rows", f"{node.output[0]}/gemm"
        to_rows = edit.set_constant(f"{node.name}/to_rows", np.array([-1, shape[-1]], np.int64))
        back = edit.set_constant(f"{node.name}/back", np.array([*shape[:-1], weight.shape[1]], np.int64))
        nodes += [
            helper.make_node("Reshape", [node.input[0], to_rows], [inner_in], f"{node.name}/to_rows"),
            helper.make_node("Gemm", [inner_in, node.input[1]], [inner_out], node.name),
            helper.make_node("Reshape", [inner_out, back], node.output, f"{node.name}/back"),
        ]
    del edit.graph.node[:]
    edit.graph.node.extend(nodes)
    return edit.finish()


def split_row_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """A Gemm whose bias differs between rows becomes a Gemm and an Add; onnxslim makes such of MatMul and Add."""
    edit = _Editor(model)
    nodes = []
    for node in edit.graph.node:
        nodes.append(node)
        bias = edit.constants.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is None or bias.ndim < 2 or len(bias) == 1:
            continue
        rows = edit.set_constant(node.input[2], bias * np.float32(_attribute(node, "beta", 1.0)))
        del node.input[2]
        result, node.output[0] = node.output[0], f"{node.output[0]}/gemm"
        nodes.append(helper.make_node("Add", [node.output[0], rows], [result], f"{node.name}/bias"))
    del edit.graph.node[:]
    edit.graph.node.extend(nodes)
    return edit.finish()


def fold_affine(model: onnx.ModelProto) -> onnx.ModelProto:
    """Folds Mul, Add, Sub, Div by constants per output channel, and BatchNormalization, into the Conv or Gemm before."""
    edit = _Editor(model)
    for node in edit.graph.node:
        if node.op_type not in LINEAR or node.input[1] not in edit.constants:
            continue
        if len(node.input) > 2 and node.input[2] and node.input[2] not in edit.constants:
            continue
        while (after := _after(edit, node)) is not None:
            last, follower = after
            steps = _affine(edit, node, last.output[0], follower)
            if steps is None:
                break
            _absorb(edit, node, *steps)
            last.output[0] = follower.output[0]
            del follower.input[:]
            follower.op_type = "Dropped"
    kept = [n for n in edit.graph.node if n.op_type != "Dropped"]
    del edit.graph.node[:]
    edit.graph.node.extend(kept)
    return edit.finish()


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((float(helper.get_attribute_value(a)) for a in node.attribute if a.name == name), default)


def _channels(node: onnx.NodeProto, weight: np.ndarray) -> int:
    return len(weight) if node.op_type == "Conv" or _attribute(node, "transB", 0) else weight.shape[1]


def _after(edit: _Editor, node: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """(last, follower): the only consumer of the node's result, which `last` gives: the node itself, or the Reshape after
    a Gemm that keeps its rows."""
    follower = edit.only_consumer(node.output[0])
    if follower is None or follower.op_type != "Reshape" or node.op_type != "Gemm":
        return None if follower is None else (node, follower)
    if edit.shapes.get(follower.output[0], [])[-1:] != [_channels(node, edit.constants[node.input[1]])]:
        return None
    after = edit.only_consumer(follower.output[0])
    return None if after is None else (follower, after)


def _affine(edit: _Editor, node: onnx.NodeProto, result: str, follower: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, offset), each (O,) float64, of a follower that is affine per output channel of `node`; else None.

    result: the tensor that the follower reads, the node's own or that in another shape.
    """
    channels = _channels(node, edit.constants[node.input[1]])
    rank = len(edit.shapes.get(result, []))
    axis = 1 if node.op_type == "Conv" else rank - 1
    if follower.op_type == "BatchNormalization":
        arrays = [edit.constants.get(i) for i in follower.input[1:5]]
        if axis != 1 or any(a is None for a in arrays) or _attribute(follower, "training_mode", 0):
            return None
        gamma, beta, mean, var = (np.asarray(a, np.float64) for a in arrays)
        scale = gamma / np.sqrt(var + _attribute(follower, "epsilon", 1e-5))
        return scale, beta - mean * scale
    if follower.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    first = follower.input[0] == result
    other = edit.constants.get(follower.input[1 if first else 0])
    if other is None or not rank or (follower.op_type == "Div" and not first):
        return None
    wide = [0] * (rank - other.ndim) + list(other.shape) if other.ndim <= rank else [0] * (rank + 1)
    if len(wide) != rank or any(n > 1 and a != axis for a, n in enumerate(wide)):
        return None
    value = np.broadcast_to(other.astype(np.float64).reshape(-1), (channels,))
    one, zero = np.ones(channels), np.zeros(channels)
    if follower.op_type == "Mul":
        return value, zero
    if follower.op_type == "Div":
        return 1 / value, zero
    if follower.op_type == "Add":
        return one, value
    return (one, -value) if first else (-one, value)


def _absorb(edit: _Editor, node: onnx.NodeProto, scale: np.ndarray, offset: np.ndarray) -> None:
    weight = edit.constants[node.input[1]]
    bias = edit.constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(len(scale), np.float32)
    if node.op_type == "Gemm":
        bias = bias * _attribute(node, "beta", 1.0)
        for a in [a for a in node.attribute if a.name == "beta"]:
            node.attribute.remove(a)
    along_rows = node.op_type == "Conv" or bool(_attribute(node, "transB", 0))
    shape = (-1,) + (1,) * (weight.ndim - 1) if along_rows else (1, -1)
    new_weight = (weight * scale.reshape(shape)).astype(np.float32)
    new_bias = (np.broadcast_to(bias.reshape(-1), scale.shape) * scale + offset).astype(np.float32)
    names = [edit.set_constant(node.input[1], new_weight), edit.set_constant(f"{node.output[0]}/bias", new_bias)]
    inputs = [node.input[0], *names]
    del node.input[:]
    node.input.extend(inputs)
