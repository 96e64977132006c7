"""The whole pipeline on one page: an ONNX file in, checked C out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeq.calibrate import Samples, load_samples, observe
from edgeq.check import CheckResult, check, stress_inputs
from edgeq.device.board import Board, boards, find_board
from edgeq.device.fit import Demand, Need, check_fit
from edgeq.emit import Emission, amalgamate, emit, prefix
from edgeq.errors import BadInput
from edgeq.evaluate import Evaluation, LayerMeter, LayerSqnr, evaluate, run_float
from edgeq.ir import FloatGraph, IntGraph
from edgeq.manifest import describe
from edgeq.model import BuiltModel, Data
from edgeq.onnx_side.importer import import_graph
from edgeq.onnx_side.load import input_shapes, load_model
from edgeq.onnx_side.runner import Runner
from edgeq.onnx_side.simplify import simplify
from edgeq.plan import Plan, make_plan
from edgeq.quantize import InputSpec, QuantOptions, quantize
from edgeq.reference import execute
from edgeq.report import render_report
from edgeq.targets import Target
from edgeq.targets import target as find_target

SQNR_SAMPLES = 16  # calibration samples on which the build's summary measures SQNR
CHECKED_SAMPLES = 1000  # calibration samples on which the C is compared with the reference
Progress = Callable[[str, int, int], None] | None


@dataclass(frozen=True, eq=False)
class CompiledModel(BuiltModel):
    """A model fresh from the compiler: with its graphs and plan beside the files."""

    float_graph: FloatGraph = field(kw_only=True)
    graph: IntGraph = field(kw_only=True)
    plan: Plan = field(kw_only=True)
    layer_sqnr: tuple[LayerSqnr, ...] = field(kw_only=True, default=())
    check: CheckResult | None = field(kw_only=True, default=None)

    def run_reference(self, x: Data) -> Any:
        """As run, by the numpy reference."""
        outputs = execute(self.graph, self.stored(x))
        return self.outside({n: outputs[t.name] for n, t in self.graph.outputs.items()}, x)

    def evaluate(self, data: Any, labels: str | np.ndarray | None = None, progress: Any = None) -> Evaluation:
        """See evaluate_model."""
        return evaluate_model(self, data, labels, progress)


def compile_model(
    path: str | Path, calib: Any, target: str | None = None, name: str | None = None, method: str = "mse",
    inputs: Mapping[str, InputSpec] | None = None, shapes: Mapping[str, Sequence[int]] | None = None,
    io_layout: str = "channels_last", single_file: bool = False, run_check: bool = True, progress: Progress = None,
    optimize: str = "speed", ram: int | None = None, io: str = "arena", board: str | None = None,
) -> CompiledModel:  # fmt: skip
    """Compiles an ONNX model to integer C and proves it against the reference.

    calib: calibration data, as load_samples takes it. board: what it must fit (edgeq.device.boards). target: see
    edgeq.targets (default: the board's, or generic). name: C prefix (default: the file's). method: how ranges are chosen
    (edgeq.quantize.METHODS). inputs: ONNX input name -> declared range and dtype. shapes: ONNX input name -> fixed shape.
    optimize: one of edgeq.targets.OPTIMIZE. ram: bytes that the arena may take. io: where inputs and outputs are, in the
    "arena" or "external", in buffers of the caller, or "rows": the input is pushed by rows. progress: called with (stage,
    done, total). Raises EdgeqError.
    """
    place, code_for = place_and_target(board, target)
    tell = progress or (lambda stage, done, total: None)
    model, layers, samples, runner, graph = quantized(path, calib, method, inputs or {}, shapes, io_layout, tell)
    plan = make_plan(graph, code_for, optimize, ram, io)
    emission = emit(plan, prefix(name or Path(path).stem), Path(path).name)
    files = amalgamate(emission.name, emission.files) if single_file else emission.files
    manifest = describe(emission, plan, layers, Path(path), method=method, io_layout=io_layout)
    if place:
        check_fit(emission.name, place, Demand.of(manifest))
        manifest["board"] = place.name
    built = CompiledModel(files, model.SerializeToString(deterministic=True), manifest,
                          float_graph=layers, graph=graph, plan=plan)  # fmt: skip
    sqnr = measure(built, runner, samples.head(SQNR_SAMPLES))
    result = verify(built, samples.head(CHECKED_SAMPLES), tell) if run_check else None
    return with_report(replace(built, layer_sqnr=sqnr, check=result))


Tell = Callable[[str, int, int], None]


def quantized(
    path: str | Path, calib: Any, method: str, inputs: Mapping[str, InputSpec], shapes: Mapping[str, Sequence[int]] | None,
    io_layout: str, tell: Tell,
) -> tuple[onnx.ModelProto, FloatGraph, Samples, Runner, IntGraph]:  # fmt: skip
    """The front half, which no target matters to: ONNX file and calibration data in, integer graph out."""
    model = simplify(load_model(path, shapes))
    layers = import_graph(model, io_layout)
    samples = load_samples(calib, input_shapes(model))
    check_declared(inputs, model)
    runner = Runner(model, observable(layers))
    seen = observe(runner, samples, observable(layers), lambda done, total: tell("calibrating", done, total))
    return model, layers, samples, runner, quantize(layers, seen, QuantOptions(method, dict(inputs)))


@dataclass(frozen=True)
class Fit:
    """What a model takes of a board. optimize: how it was planned; instructions: estimated, of one run."""

    board: Board
    need: Need
    optimize: str
    instructions: float


def fit(
    path: str | Path, calib: Any, method: str = "mse", inputs: Mapping[str, InputSpec] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None, progress: Progress = None,
) -> list[Fit]:  # fmt: skip
    """What the model would take of every board, with the serial program; for RAM where it would not fit for speed.

    Arguments as of compile_model. Estimated: no compiler runs. Raises EdgeqError.
    """
    tell = progress or (lambda stage, done, total: None)
    graph = quantized(path, calib, method, inputs or {}, shapes, "channels_last", tell)[-1]
    known: dict[tuple[str, str], tuple[Plan, Emission]] = {}

    def on(board: Board, optimize: str) -> Fit:
        key = board.targets[0], optimize
        if key not in known:
            plan = make_plan(graph, find_target(key[0]), optimize)
            known[key] = plan, emit(plan, prefix(Path(path).stem))
        plan, e = known[key]
        demand = Demand(e.flash_data, e.code, len(e.layers), len(e.steps), plan.arena_bytes)
        return Fit(board, demand.on(board), optimize, plan.cost)

    found = []
    for done, board in enumerate(boards().values()):
        tell("planning", done, len(boards()))
        best = on(board, "speed")
        if "RAM" in best.need.over(board):
            best = min(best, on(board, "ram"), key=lambda f: sum(f.need.over(board).values()))
        found.append(best)
    tell("planning", len(boards()), len(boards()))
    return found


def place_and_target(board: str | None, target: str | None) -> tuple[Board | None, Target]:
    """What the C is for. Raises BadInput where the board does not run the target's code."""
    if board is None:
        return None, find_target(target or "generic")
    place = find_board(board)
    return place, find_target(target) if target == "generic" else place.runs(find_target(target or place.targets[0]))


def measure(model: CompiledModel, runner: Runner, samples: Samples) -> tuple[LayerSqnr, ...]:
    """SQNR of every layer on a few samples, by the reference."""
    meter = LayerMeter(model, model.float_graph)
    meter.add(run_float(runner, samples), execute(model.graph, model.stored(samples.stack()), keep=True))
    return meter.result()


def verify(model: CompiledModel, samples: Samples, tell: Callable[[str, int, int], None]) -> CheckResult:
    """Compares the compiled C with the reference on the samples, random and saturating inputs. Raises Mismatch."""
    stored, stress = model.stored(samples.stack()), stress_inputs(model.graph)
    feeds = {name: np.concatenate([stress[name], stored[name]]) for name in stored}
    return check(model.graph, model.library, feeds, lambda done, total: tell("checking", done, total))


def with_report(model: CompiledModel) -> CompiledModel:
    """The model with report.html among its files, and every file's hash in the manifest."""
    files = {**model.files, "report.html": render_report(model)}
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())}
    hashes[model.manifest["float_model"]] = hashlib.sha256(model.float_model).hexdigest()
    return replace(model, files=files, manifest={**model.manifest, "files": dict(sorted(hashes.items()))})


def observable(graph: FloatGraph) -> list[str]:
    """The ONNX tensors that the graph's tensors stand for."""
    return list(dict.fromkeys(t.onnx_name for t in graph.tensors.values() if t.onnx_name is not None))


def check_declared(inputs: Mapping[str, InputSpec], model: onnx.ModelProto) -> None:
    """Raises BadInput where an input is declared that the model does not have."""
    names = input_shapes(model)
    for name in inputs:
        if name not in names:
            raise BadInput(f"the model has no input {name!r}", node="--input-range", hint=f"one of {', '.join(names)}")


def evaluate_model(model: BuiltModel, data: Any, labels: str | np.ndarray | None = None, progress: Any = None) -> Evaluation:
    """Float model against compiled C on `data` (as load_samples takes it).

    labels: (N,) class indices, or the name of such an array in the data's .npz. Raises BadInput.
    """
    float_model = onnx.load_from_string(model.float_model)
    graph = import_graph(float_model, model.manifest["io_layout"])
    samples = load_samples(data, input_shapes(float_model))
    if isinstance(labels, str):
        labels = load_labels(data, labels)
    if labels is not None and np.shape(labels) != (len(samples),):
        raise BadInput(f"labels have shape {np.shape(labels)}, expected ({len(samples)},)", node="--labels")
    return evaluate(model, graph, Runner(float_model, observable(graph)), samples, labels, progress)


def load_labels(data: Any, name: str) -> np.ndarray:
    """The array `name` of an .npz file. Raises BadInput."""
    try:
        with np.load(data, allow_pickle=False) as file:
            return np.asarray(file[name])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadInput(f"no labels {name!r} in it ({e})", node=str(data), hint="an .npz with inputs and labels") from e
