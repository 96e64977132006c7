"""The five MLPerf Tiny models at default settings: exact, accurate, small."""

from __future__ import annotations

import numpy as np
import pytest

from edgeq.check import stress_inputs
from edgeq.reference import execute
from tests.shared import compiled, float_outputs, loader, needs_models, onnx_file

pytestmark = needs_models
TASKS = ["ic01", "kws01", "vww01", "ad01", "sww01"]


@pytest.mark.parametrize("task", TASKS)
def test_c_equals_the_reference_on_the_dev_split_and_random_inputs(task):
    model = compiled(task)
    x = loader().load(task, "dev")["x"]
    feeds = model.stored(x)
    stress = stress_inputs(model.graph, random=200, seed=7)
    for data in (feeds, stress):
        got = model.library.run(data)
        for name, tensor in model.graph.outputs.items():
            n = len(got[name])
            for start in range(0, n, 256):
                part = {k: v[start : start + 256] for k, v in data.items()}
                expected = execute(model.graph, part)[tensor.name]
                np.testing.assert_array_equal(got[name][start : start + 256], expected)


# floors: the table of the design, up to "activation scale by MSE"; SQNR as the models' README defines it
@pytest.mark.parametrize(
    ("task", "floor_db", "logits"),
    [("ic01", 25, True), ("kws01", 21, True), ("sww01", 33, True), ("vww01", 28, False), ("ad01", 35, False)],
)
def test_output_sqnr(task, floor_db, logits):
    x = loader().load(task, "dev")["x"]
    model = compiled(task, logits)
    exact = float_outputs(onnx_file(task, logits), x)
    got = np.asarray(model.run(x)).reshape(exact.shape)
    db = loader().sqnr_logits(task, exact, got) if logits else loader().sqnr(exact, got)
    assert db >= floor_db


@pytest.mark.parametrize("task", TASKS)
def test_quality_is_within_1_5_points_of_float(task):
    sets = [loader().load(t, "dev") for t in ([task, "ic_extra"] if task == "ic01" else [task])]
    model = compiled(task)
    exact, got = [], []
    for d in sets:
        exact.append(float_outputs(onnx_file(task), d["x"]))
        got.append(np.asarray(model.run(d["x"])).reshape(exact[-1].shape))
    d = sets[0] if len(sets) == 1 else {"x": None, "y": np.concatenate([s["y"] for s in sets])}
    quality = loader().quality
    loss = quality(task, d, np.concatenate(exact)) - quality(task, d, np.concatenate(got))
    assert loss <= 0.015


@pytest.mark.parametrize(
    ("task", "limit"), [("ic01", 52_000), ("kws01", 17_000), ("vww01", 57_000), ("ad01", 1_500), ("sww01", 7_000)]
)
def test_arena(task, limit):
    assert compiled(task).manifest["arena_bytes"] <= limit


@pytest.mark.parametrize(("task", "limit"), [("ic01", 52_000), ("kws01", 17_000), ("vww01", 57_000), ("ad01", 1_500)])
def test_helium_kernels_are_chosen_and_exact_here(task, limit):
    """compile_model checks the generated code on this machine."""
    import edgeq

    calib = loader().load(task, "calib")["x"]
    manifest = edgeq.compile_model(onnx_file(task), calib, target="cortex-m55").manifest
    assert manifest["arena_bytes"] <= limit
    assert all(x["scratch_bytes"] <= 2048 for x in manifest["layers"])
    most = [x["kernel"] for x in manifest["layers"] if x["macs"]]
    assert all(kernel.endswith(("_mve", "_sparse_v7m")) for kernel in most)  # the latter where nearly all weights are 0


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_copied_or_reshaped(task):
    assert not {n.op.name for n in compiled(task).graph.nodes} & {"copy", "alias"}


def test_camera_bytes_go_in_as_they_are():
    import edgeq

    d = loader().load("vww01", "dev")
    raw = np.load(onnx_file("vww01").parent / "vww01.npz")["dev_x"][:20]
    spec = {"input_1": edgeq.InputSpec((0, 1), "uint8")}
    model = edgeq.compile_model(onnx_file("vww01"), loader().load("vww01", "calib")["x"][:20], inputs=spec)
    assert model.manifest["inputs"][0] | {"offset": 0} == model.manifest["inputs"][0] | {
        "dtype": "uint8", "zero_point": 0, "offset": 0,
    }  # fmt: skip
    exact = model.run(d["x"][:20])
    scale = model.manifest["outputs"][0]["scale"]
    np.testing.assert_allclose((model.run(raw).astype(np.float32) + 128) * scale, exact)
