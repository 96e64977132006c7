"""Broken ONNX files, made from good ones by a seed, through the whole pipeline: a process of its own, as C++ may crash.

    python tests/fuzz_import.py FIRST COUNT

prints a line for each seed: what was done to the file, and "compiled", the EdgeqError, or "ESCAPED" and the exception.
The line starts before the work does, so that a seed that kills the process is the last one printed.
"""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgeq import ops
from edgeq.compile import compile_model
from edgeq.errors import EdgeqError

ROOT = Path(__file__).resolve().parents[1]
MODELS = [ROOT / "examples/digits/digits.onnx", *sorted((ROOT / "tests/models").glob("*.onnx"))]
NUMBERS = [-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 5, 1000, 2**15, 2**31, 2**40, 2**62]
MEMORY = 4 << 30

# ---------------------------------------------------------------- bytes


def flip(data: bytearray, r: random.Random) -> None:
    for _ in range(r.choice([1, 3, 20])):
        data[r.randrange(len(data))] ^= 1 << r.randrange(8)


def truncate(data: bytearray, r: random.Random) -> None:
    del data[r.randrange(len(data)) :]


def cut(data: bytearray, r: random.Random) -> None:
    at = r.randrange(len(data))
    del data[at : at + r.choice([1, 2, 100])]


def repeat(data: bytearray, r: random.Random) -> None:
    at = r.randrange(len(data))
    data[at:at] = data[at : at + r.choice([1, 8, 500])]


def head(data: bytearray, r: random.Random) -> None:
    """Near the start: names, types and lengths rather than weights."""
    data[r.randrange(min(400, len(data)))] = r.randrange(256)


# ---------------------------------------------------------------- structure


def name_of(model: onnx.ModelProto, r: random.Random) -> str:
    graph = model.graph
    names = [o for n in graph.node for o in n.output] + [t.name for t in graph.initializer] + [i.name for i in graph.input]
    return r.choice([*names, "", "nonexistent"])


def an_attribute(model: onnx.ModelProto, r: random.Random) -> onnx.AttributeProto:
    return r.choice([a for n in model.graph.node for a in n.attribute])


def drop_attribute(model: onnx.ModelProto, r: random.Random) -> None:
    node = r.choice([n for n in model.graph.node if n.attribute])
    node.attribute.remove(r.choice(node.attribute))


def change_attribute(model: onnx.ModelProto, r: random.Random) -> None:
    a = an_attribute(model, r)
    if a.ints:
        a.ints[r.randrange(len(a.ints))] = r.choice(NUMBERS)
    elif a.type == onnx.AttributeProto.INT:
        a.i = r.choice(NUMBERS)
    elif a.type == onnx.AttributeProto.FLOAT:
        a.f = r.choice([float("nan"), float("inf"), -1.0, 0.0, 1e30])
    else:
        a.s = r.choice([b"", b"SAME_UPPER", b"\xff\xfe"])


def resize_attribute(model: onnx.ModelProto, r: random.Random) -> None:
    a = an_attribute(model, r)
    if a.ints and r.random() < 0.5:
        a.ints.pop()
    else:
        a.ints.append(r.choice(NUMBERS))


def retype_attribute(model: onnx.ModelProto, r: random.Random) -> None:
    an_attribute(model, r).type = r.randrange(15)


def rename_attribute(model: onnx.ModelProto, r: random.Random) -> None:
    an_attribute(model, r).name = r.choice(["axis", "pads", "strides", "perm", "nonsense", ""])


def rewire(model: onnx.ModelProto, r: random.Random) -> None:
    node = r.choice([n for n in model.graph.node if n.input])
    node.input[r.randrange(len(node.input))] = name_of(model, r)


def rename_output(model: onnx.ModelProto, r: random.Random) -> None:
    node = r.choice(model.graph.node)
    node.output[0] = name_of(model, r)


def add_input(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.node).input.append(name_of(model, r))


def drop_input(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice([n for n in model.graph.node if n.input]).input.pop()


def change_operator(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.node).op_type = r.choice([*ops.rules(), "Loop", "LSTM", "NonZero", "Expand", "Nonsense", ""])


def change_domain(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.node).domain = r.choice(["com.microsoft", "x", "ai.onnx.ml"])


def remove_node(model: onnx.ModelProto, r: random.Random) -> None:
    model.graph.node.remove(r.choice(model.graph.node))


def repeat_node(model: onnx.ModelProto, r: random.Random) -> None:
    model.graph.node.insert(r.randrange(len(model.graph.node)), r.choice(model.graph.node))


def reorder(model: onnx.ModelProto, r: random.Random) -> None:
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    r.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def drop_weight(model: onnx.ModelProto, r: random.Random) -> None:
    model.graph.initializer.remove(r.choice(model.graph.initializer))


def reshape_weight(model: onnx.ModelProto, r: random.Random) -> None:
    tensor = r.choice(model.graph.initializer)
    if tensor.dims and r.random() < 0.7:
        tensor.dims[r.randrange(len(tensor.dims))] = r.choice(NUMBERS)
    else:
        tensor.dims.append(r.choice([1, 1, 2, 0]))


def transpose_weight(model: onnx.ModelProto, r: random.Random) -> None:
    """A tensor that is valid in itself, of a shape that does not fit."""
    tensor = r.choice([t for t in model.graph.initializer if t.dims and not t.external_data])
    array = numpy_helper.to_array(tensor)
    array = r.choice([array.T, array[:1], array[None], array.reshape(-1), array[:0]])
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def change_numbers(model: onnx.ModelProto, r: random.Random) -> None:
    """Weights that are huge, zero or not numbers; shapes, axes and bounds that are out of range."""
    tensor = r.choice([t for t in model.graph.initializer if not t.external_data])
    array = numpy_helper.to_array(tensor).copy()
    values = [float("nan"), float("inf"), 3e38, -3e38, 1e-42, 0.0] if array.dtype.kind == "f" else NUMBERS
    array.reshape(-1)[r.randrange(max(1, array.size)) :] = r.choice(values)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def change_type(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.initializer).data_type = r.randrange(25)


def reshape_input(model: onnx.ModelProto, r: random.Random) -> None:
    dims = r.choice(model.graph.input).type.tensor_type.shape.dim
    change = r.randrange(4)
    if change == 0:
        dims.add().dim_value = r.choice(NUMBERS)
    elif change == 1 and dims:
        del dims[-1]
    elif change == 2 and dims:
        r.choice(dims).dim_param = "H"
    elif dims:
        r.choice(dims).dim_value = r.choice(NUMBERS)


def retype_input(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.input).type.tensor_type.elem_type = r.randrange(25)


def break_input(model: onnx.ModelProto, r: random.Random) -> None:
    value = r.choice(model.graph.input)
    r.choice([value.ClearField, value.type.tensor_type.ClearField])(r.choice(["type", "name", "shape", "elem_type"]))


def change_output(model: onnx.ModelProto, r: random.Random) -> None:
    r.choice(model.graph.output).name = name_of(model, r)


def add_output(model: onnx.ModelProto, r: random.Random) -> None:
    model.graph.output.add().name = name_of(model, r)


def drop_all(model: onnx.ModelProto, r: random.Random) -> None:
    model.graph.ClearField(r.choice(["input", "output", "initializer", "name"]))


def change_opset(model: onnx.ModelProto, r: random.Random) -> None:
    model.opset_import[0].version = r.choice([0, 1, 7, 10, 11, 13, 18, 22, 99, 2**62])


def change_opset_domain(model: onnx.ModelProto, r: random.Random) -> None:
    model.opset_import[0].domain = r.choice(["x", "ai.onnx.ml", ""])


BYTES: list[Callable[[bytearray, random.Random], None]] = [flip, truncate, cut, repeat, head]
STRUCTURE: list[Callable[[onnx.ModelProto, random.Random], None]] = [
    drop_attribute, change_attribute, resize_attribute, retype_attribute, rename_attribute, rewire, rename_output, add_input,
    drop_input, change_operator, change_domain, remove_node, repeat_node, reorder, drop_weight, reshape_weight,
    transpose_weight, change_numbers, change_type, reshape_input, retype_input, break_input, change_output, add_output,
    drop_all, change_opset, change_opset_domain,
]  # fmt: skip


# ---------------------------------------------------------------- the run


def broken(seed: int) -> tuple[str, bytes]:
    """(what was done, the file)."""
    r = random.Random(seed)
    source = r.choice(MODELS)
    if r.random() < 0.3:
        data, change = bytearray(source.read_bytes()), r.choice(BYTES)
        change(data, r)
        return f"{source.stem} {change.__name__}", bytes(data)
    model = onnx.load(source, load_external_data=False)
    changes = r.choices(STRUCTURE, k=r.choice([1, 1, 2, 3]))
    for change in changes:
        with contextlib.suppress(IndexError, ValueError):  # where nothing is left of its kind
            change(model, r)
    return f"{source.stem} {'+'.join(c.__name__ for c in changes)}", model.SerializeToString()


def outcome(data: bytes, folder: Path) -> str:
    (folder / "model.onnx").write_bytes(data)
    try:
        compile_model(folder / "model.onnx", "random", run_check=False)
    except EdgeqError as e:
        return f"{type(e).__name__}: {str(e).splitlines()[0]}"
    except BaseException as e:
        where = e.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        return f"ESCAPED {type(e).__name__}: {str(e)[:300]!r} at {place}"
    return "compiled"


def main(first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as name:
        for data in MODELS[1].parent.glob("*.data"):
            shutil.copy(data, name)
        for seed in range(first, first + count):
            what, file = broken(seed)
            print(f"{seed}: {what}: ", end="", flush=True)
            print(outcome(file, Path(name)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
