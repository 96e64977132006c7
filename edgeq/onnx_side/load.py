"""Reading an ONNX file: everything that can be wrong with it is said here, before any work starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, inliner, numpy_helper

from edgeq.errors import BadInput, UnsupportedModel

MIN_OPSET = 11
BOUNDED = ("Clip",)  # operators whose constants may be infinite: no bound
MAX_ELEMENTS = 1 << 24  # of one tensor: far over any microcontroller, and far below this machine's memory
TYPE_NAMES = {v: k.lower() for k, v in TensorProto.DataType.items()}


def load_model(path: str | Path, shapes: Mapping[str, Sequence[int]] | None = None) -> onnx.ModelProto:
    """Reads and checks a float ONNX model; a symbolic batch becomes 1; `shapes` fixes inputs (ONNX name -> dims).

    Raises BadInput (missing, corrupt, non-finite weights, unfixed dimensions) or UnsupportedModel (opset, types).
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput("no such file", node=str(path), hint="the path of an .onnx file")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, UnicodeDecodeError) as e:
        raise BadInput(f"is not an ONNX file ({e})", node=str(path), hint="export the model again") from e
    if not model.graph.node:
        raise BadInput("has no nodes", node=str(path), hint="a model that computes something")
    _load_external(model, path)
    _check_opset(model, path)
    try:
        model = inliner.inline_local_functions(model)
        onnx.checker.check_model(model)
    except Exception as e:  # the checker's errors are of several unrelated types
        raise BadInput(f"is not a valid ONNX model: {_first_line(e)}", node=str(path), hint="export it again") from e
    _check_weights(model)
    _fix_shapes(model, dict(shapes or {}))
    return model


def _first_line(e: Exception) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    entries = [e for tensor in model.graph.initializer for e in tensor.external_data]
    try:
        missing = {e.value for e in entries if e.key == "location" and not (path.parent / e.value).is_file()}
    except (TypeError, ValueError) as e:  # bytes that are not text
        raise BadInput("names the file of its weights in bytes that are not text", node=str(path), hint="export again") from e
    if missing:
        name = sorted(missing)[0]
        raise BadInput(f"its weights are in {name!r}, which is missing", node=str(path),
                       hint=f"put {name} into {path.parent}, as exported")  # fmt: skip
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as e:
        raise BadInput(f"external weights cannot be read: {_first_line(e)}", node=str(path), hint="export again") from e


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    opset = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if not MIN_OPSET <= opset <= newest:
        raise UnsupportedModel(f"opset {opset}; {MIN_OPSET} to {newest} are supported", node=str(path),
                               hint=f"export with opset_version={max(MIN_OPSET, min(17, newest))}")  # fmt: skip


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set; 0 where the model names none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are not weights."""
    weights = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]


def dims_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """Dimensions of a value; symbolic ones by name ("?" where nameless)."""
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in value.type.tensor_type.shape.dim]


def input_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """ONNX input name -> fixed shape."""
    return {i.name: tuple(int(d) for d in dims_of(i)) for i in graph_inputs(model)}


def _check_weights(model: onnx.ModelProto) -> None:
    for tensor in _constants(model):
        users = [n for n in model.graph.node if tensor.name in n.input]
        user = next((n.name or n.op_type for n in users), "unused")
        check_size(f"weight {tensor.name!r}", tensor.dims)
        try:
            array = numpy_helper.to_array(tensor)
        except Exception as e:  # whatever its dims, type and data make onnx stumble over
            raise BadInput(f"weight {tensor.name!r} is damaged: {_first_line(e)}", node=user, hint="export again") from e
        if users and all(n.op_type in BOUNDED for n in users) and not np.isnan(array).any():
            continue
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array.ravel()))[0])
            raise BadInput(f"weight {tensor.name!r} has {array.ravel()[bad]} at element {bad}", node=user,
                           hint="train or export the model again; its weights must be finite")  # fmt: skip


def _constants(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Initializers, and the values of Constant nodes under their output's name."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for a in node.attribute:
            if node.op_type == "Constant" and a.HasField("t"):
                named = TensorProto()
                named.CopyFrom(a.t)
                named.name = node.output[0]
                yield named


def check_size(what: str, dims: Sequence[int | str]) -> None:
    """Raises UnsupportedModel where a tensor is too large to work on."""
    size = math.prod(d for d in dims if isinstance(d, int))
    if size > MAX_ELEMENTS:
        raise UnsupportedModel(f"has shape {tuple(dims)}, {size} elements; {MAX_ELEMENTS} are supported", node=what,
                               hint="a smaller input (--shape), or a model for a microcontroller")  # fmt: skip


def check_sizes(model: onnx.ModelProto) -> None:
    """check_size of every tensor whose shape is known."""
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        check_size(f"tensor {value.name!r}", dims_of(value))


def _fix_shapes(model: onnx.ModelProto, shapes: dict[str, Sequence[int]]) -> None:
    inputs = graph_inputs(model)
    for name in shapes:
        if name not in {i.name for i in inputs}:
            raise BadInput(f"the model has no input {name!r}", node="--shape",
                           hint=f"one of {', '.join(i.name for i in inputs)}")  # fmt: skip
    for value in inputs:
        kind = value.type.tensor_type.elem_type
        if kind != TensorProto.FLOAT:
            raise UnsupportedModel(f"is {TYPE_NAMES.get(kind, kind)}; float32 is supported", node=f"input {value.name!r}",
                                   hint="export the model with float32 inputs; for integer data see --input-range")  # fmt: skip
        if not value.type.tensor_type.HasField("shape"):
            raise BadInput("has no shape", node=f"input {value.name!r}", hint=f"--shape {value.name}=1,...")
        dims: list[int | str] = list(shapes.get(value.name, dims_of(value)))
        if dims and isinstance(dims[0], str):
            dims[0] = 1
        for axis, d in enumerate(dims):
            if isinstance(d, str) or d < 1:
                fixed = ",".join(str(v) if isinstance(v, int) and v > 0 else "N" for v in dims)
                raise BadInput(f"dimension {axis} is {d!r}, not a fixed size", node=f"input {value.name!r}",
                               hint=f"--shape {value.name}={fixed} with a number for each N")  # fmt: skip
        check_size(f"input {value.name!r}", dims)
        del value.type.tensor_type.shape.dim[:]
        for d in dims:
            value.type.tensor_type.shape.dim.add().dim_value = int(d)
    forget_shapes(model)


def forget_shapes(model: onnx.ModelProto) -> None:
    """Removes all shapes but the inputs', in place: they follow from those."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
