"""The ONNX project's own backend node tests, for every operator that has an import rule.

A case runs when edgeq compiles it, and its int8 output must then be within quantisation error of the expected
output; otherwise edgeq must refuse it with a reason that SKIPPED explains.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgeq import ops
from edgeq.compile import CompiledModel, compile_model
from edgeq.errors import BadInput, UnsupportedModel
from edgeq.numerics import dequantize
from edgeq.onnx_side.runner import Runner

# Which inputs are data, in each variant of a case; the others become initializers. Default: the first.
DATA_INPUTS: dict[str, list[tuple[int, ...]]] = {
    "Add": [(0, 1), (0,), (1,)],
    "Sub": [(0, 1), (0,), (1,)],
    "Mul": [(0, 1), (0,), (1,)],
    "Div": [(0,), (1,)],
    "MatMul": [(0,), (1,)],
    "Concat": [(0, 1)],
}
# The input whose 8-bit rounding counts as quantisation error where it is a constant.
WEIGHTS = {"Conv": 1, "Gemm": 1, "MatMul": None, "Add": None, "Sub": None, "Mul": None, "Div": 1, "BatchNormalization": 1}
# What edgeq says when it refuses a case -> (why that is right, the cases that may be refused so).
FLOAT_ONLY = "data that is not float32"
SKIPPED: dict[str, tuple[str, list[str]]] = {
    r"is u?int\d+; float32 is supported": (
        FLOAT_ONLY,
        ["test_*_[iu]*int8", "test_*int16", "test_*int32", "test_*int64", "test_cast*_INT?_to_*", "test_cast*_UINT?_to_*",
         "test_*_int8", "test_clip_*int8*", "test_*_pad", "test_pow_types_int*", "test_div_int32_trunc"],
    ),
    r"is (double|b?float\d\w*); float32 is supported": (FLOAT_ONLY, ["test_cast*"]),
    r"is undefined; float32 is supported": ("a sequence or an optional", ["test_identity_sequence", "test_identity_opt"]),
    r"values that are NaN, inf": ("data with NaN or inf", ["test_cast*_FLOAT_to_*"]),
    r"cannot load the model of opset 2[7-9]": ("an opset that onnxruntime does not know", ["test_cast_FLOAT_to_*"]),
    r"cast of run-time data to ONNX type \d+": ("a cast to a type that is not float", ["test_cast*"]),
    r"has rank 5; only 1-D and 2-D": ("3-D spatial data", ["test_*pool_3d_*"]),
    r"training mode": ("training mode", ["test_training_dropout*", "test_batchnorm_*_training_mode"]),
    r"output 2 \('\w+'\) is not supported": (
        "an output beside the first: Dropout's mask, MaxPool's indices", ["test_dropout_*_mask*", "test_maxpool_with_argmax_*"],
    ),
    r"dimension \d is 0, not a fixed size": ("an empty tensor", ["test_reshape_allowzero_*", "test_split_zero_size_*"]),
    r"selects nothing": ("an empty tensor", ["test_slice_start_out_of_bounds"]),
    r"divides (a constant of shape .*|a tensor) by a tensor": ("division by data", ["test_div*", "test_mvn_expanded*"]),
    r"constant of rank \d; a matrix|a constant left side": ("a stack of matrices as weights", ["test_matmul_*"]),
    r"output does not depend on its input": ("a model without input", ["test_constant"]),
    r"slope of shape": ("a slope for each element", ["test_prelu_example"]),
    r"exponent of shape": ("several exponents", ["test_pow*"]),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A backend test with some inputs turned into initializers. feeds: the inputs that are left."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    expected: list[np.ndarray]


def array_of(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


@functools.cache
def cases() -> dict[str, list[Case]]:
    """Operator -> its cases; those made of several operators, all supported, are under "expanded"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators overflow on purpose
        from onnx.backend.test.loader import load_model_tests  # takes seconds

        tests = load_model_tests(kind="node")
    found = defaultdict(list)
    for test in tests:
        nodes = [n.op_type for n in test.model.graph.node]
        if not nodes or not set(nodes) <= set(ops.rules()):
            continue
        key = nodes[0] if len(nodes) == 1 else "expanded"
        values = [[array_of(v) for v in part] for part in test.data_sets[0]]
        for data in DATA_INPUTS.get(key, [(0,)]):
            found[key].append(make_case(test.name, test.model, *values, data=data))
    return dict(found)


def make_case(name: str, model: onnx.ModelProto, inputs: list, outputs: list, data: tuple[int, ...]) -> Case:
    own = onnx.ModelProto()
    own.CopyFrom(model)
    feeds = {}
    for i, (value, array) in enumerate(zip(model.graph.input, inputs, strict=True)):
        if i in data:
            feeds[value.name] = array
        else:
            own.graph.initializer.append(numpy_helper.from_array(array, value.name))
            own.graph.input.remove(value)
    return Case(name if len(data) == 1 == len(inputs) else f"{name}{list(data)}", own, feeds, outputs)


def samples_of(case: Case, one_by_one: bool) -> dict[str, np.ndarray]:
    """one_by_one: axis 0 is a batch, compiled as batch 1; otherwise it belongs to the one sample."""
    return {n: x if one_by_one or x.shape[:1] == (1,) else x[None] for n, x in case.feeds.items()}


def compiled(case: Case, folder: Path, one_by_one: bool = False, run_check: bool = False) -> CompiledModel:
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    samples = samples_of(case, one_by_one)
    calib = {n: np.concatenate([x, 0.5 * x]) for n, x in samples.items()}
    shapes = {n: (1, *x.shape[1:]) for n, x in case.feeds.items()} if one_by_one else None
    return compile_model(path, calib, method="minmax", shapes=shapes, run_check=run_check)


def outputs_of(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """onnxruntime's."""
    names = [o.name for o in model.graph.output]
    values = Runner(model, names)(feeds)
    return [values[n] for n in names]


def rounded_weights(case: Case) -> onnx.ModelProto | None:
    """The model with its weight off by the worst 8-bit rounding with a power-of-two scale: 1/128 of the largest."""
    node = case.model.graph.node[0]
    if len(case.model.graph.node) > 1 or node.op_type not in WEIGHTS:
        return None
    index = WEIGHTS[node.op_type]
    name = next((n for n in node.input if n not in case.feeds), "") if index is None else node.input[index]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            w = numpy_helper.to_array(tensor).astype(np.float64)
            own = 1 / w if node.op_type == "Div" else w  # what is rounded
            own = own + np.sign(own) * np.abs(own).max() / 128
            w = 1 / own if node.op_type == "Div" else w + np.abs(w).max() / 128
            tensor.CopyFrom(numpy_helper.from_array(w.astype(np.float32), name))
            return model
    return None


def worst(case: Case, model: CompiledModel, one_by_one: bool) -> float:
    """Largest error of the int8 outputs over what quantisation explains.

    That is: the effect of the input's rounding, exactly, by onnxruntime on the rounded input; the effect of the
    weight's; and 1 step of the output (half a step for its own rounding, the rest for one inside, as of a requantised operand).
    """
    samples = samples_of(case, one_by_one)
    seen = {n: dequantize(model.inputs[n].load(q), model.inputs[n].scale, model.inputs[n].zero_point)
            .reshape(case.feeds[n].shape) for n, q in model.stored(samples).items()}  # fmt: skip
    exact = outputs_of(case.model, seen)
    rounded = rounded_weights(case)
    slack = [np.zeros_like(y) for y in exact]
    if rounded is not None:  # linear in the weight, with coefficients |x|
        size = {n: np.abs(x) for n, x in seen.items()}
        slack = [np.abs(a - b) for a, b in zip(outputs_of(rounded, size), outputs_of(case.model, size), strict=True)]
    got = model.run_reference(samples)
    got = got if isinstance(got, dict) else {next(iter(model.outputs)): got}
    ratios = []
    for (name, port), expected, y, s in zip(model.outputs.items(), case.expected, exact, slack, strict=True):
        error = np.abs(got[name].reshape(expected.shape) - expected.astype(np.float64))
        ratios.append(error / (np.abs(y - expected.astype(np.float64)) + s + 1.001 * port.scale))
    return float(max(r.max() for r in ratios))


def run(case: Case, folder: Path, run_check: bool = False) -> float | str:
    """The worst error, or edgeq's refusal."""
    try:
        try:
            return worst(case, compiled(case, folder, run_check=run_check), False)
        except UnsupportedModel as e:
            if "batch of" not in str(e):
                raise
        return worst(case, compiled(case, folder, True, run_check), True)
    except (UnsupportedModel, BadInput) as e:
        return str(e)


def explanation(case: Case, refusal: str) -> str | None:
    """The key in SKIPPED that explains it."""
    name = case.name.partition("[")[0]
    for pattern, (_, globs) in SKIPPED.items():
        if re.search(pattern, refusal) and any(fnmatch(name, g) for g in globs):
            return pattern
    return None


OPERATORS = [*ops.rules(), "expanded"]


@pytest.mark.parametrize("op", OPERATORS)
def test_int8_output_is_within_quantisation_error(op: str, tmp_path: Path) -> None:
    results = {case.name: run(case, tmp_path, run_check=True) for case in cases()[op]}
    assert {name: r for name, r in results.items() if isinstance(r, float) and not r <= 1} == {}


def test_skips_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the skipped cases with reasons, and finds every reason still in use."""
    ran, skipped, used, unexplained = Counter[str](), defaultdict(list), set(), {}
    for op in OPERATORS:
        for case in cases()[op]:
            refusal = run(case, tmp_path)
            if isinstance(refusal, float):
                ran[op] += 1
                continue
            pattern = explanation(case, refusal)
            if pattern is None:
                unexplained[case.name] = refusal.splitlines()[0]
                continue
            used.add(pattern)
            skipped[SKIPPED[pattern][0]].append(case.name)
    with capsys.disabled():
        print(f"\nONNX backend node tests: {sum(ran.values())} cases run, {sum(map(len, skipped.values()))} skipped:")
        for reason, names in sorted(skipped.items()):
            print(f"  {reason} ({len(names)}): {', '.join(sorted(set(names)))}")
    assert not unexplained, f"compile these, or explain them in SKIPPED: {unexplained}"
    assert used == set(SKIPPED)
    assert [op for op in OPERATORS if not ran[op]] == ["Cast", "Constant"]  # all hold NaN or another type; no input


def changed(attributes: dict[str, Any]) -> Any:
    """A mutant: the import rule with some of its arguments replaced; a function is applied to the argument."""

    def mutate(fn: Any) -> Any:
        @functools.wraps(fn)
        def mutant(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(fn).bind(*args, **kwargs)
            bound.apply_defaults()
            for name, value in attributes.items():
                bound.arguments[name] = value(bound.arguments[name]) if callable(value) else value
            return fn(*bound.args, **bound.kwargs)

        return mutant

    return mutate


def reverse(items: Any) -> Any:
    return items and items[::-1]


MUTANTS = {
    "AveragePool": {"count_include_pad": lambda n: 1 - n},
    "BatchNormalization": {"epsilon": 1.0},
    "Clip": {"hi": None},
    "Concat": {"inputs": reverse},
    "Conv": {"pads": lambda p: p and [0, p[1], p[0] + p[2], p[3]]},
    "Elu": {"alpha": 1.0},
    "Gemm": {"beta": 1.0},
    "HardSigmoid": {"beta": 0.55},
    "LeakyRelu": {"alpha": 0.12},
    "MaxPool": {"auto_pad": "SAME_LOWER"},
    "Pad": {"mode": "edge"},
    "ReduceMean": {"axes": lambda a: np.array([2])},
    "Softmax": {"axis": 0},
}


@pytest.mark.parametrize("op", MUTANTS)
def test_the_tolerance_tells_a_wrong_operator(op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small mistake in an import rule fails a case by number, not only by a shape that does not fit."""
    rule = ops.rules()[op]
    monkeypatch.setitem(ops.rules(), op, replace(rule, fn=changed(MUTANTS[op])(rule.fn)))
    results = [run(case, tmp_path) for case in cases()[op]]
    assert max(r for r in results if isinstance(r, float)) > 1.5
