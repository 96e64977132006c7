"""From float layers to integers: shared scales, requantisation at joins, proofs, bias correction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeq
from edgeq import ops
from edgeq.errors import BadInput, QuantizationError
from edgeq.ir import Tensor
from edgeq.ops.conv2d import Conv2d
from edgeq.quantize.weights import MAX_SHIFT, channel_frac_bits

RNG = np.random.default_rng(5)


def save(path, nodes, inputs: dict, outputs: list[str], weights: dict) -> str:
    """Writes an ONNX file; inputs: name -> shape."""
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, name=outs[0], **attributes) for op, ins, outs, attributes in nodes], "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * len(next(iter(inputs.values())))) for n in outputs],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "m.onnx")
    return str(path / "m.onnx")


def weight(*shape: int, scale: float = 0.3) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def conv(x: str, w: str, y: str) -> tuple:
    return ("Conv", [x, w], [y], {"pads": [1, 1, 1, 1]})


IMAGES = RNG.uniform(-1, 1, (20, 3, 6, 6)).astype(np.float32)


def test_a_join_shares_the_scale_of_inputs_that_nothing_else_reads(tmp_path):
    nodes = [
        conv("x", "w1", "a"), conv("x", "w2", "b"), ("Concat", ["a", "b"], ["c"], {"axis": 1}),
        ("Relu", ["b"], ["d"], {}),
    ]  # fmt: skip
    weights = {"w1": weight(4, 3, 3, 3), "w2": weight(4, 3, 3, 3, scale=3)}
    file = save(tmp_path, nodes, {"x": (1, 3, 6, 6)}, ["c", "d"], weights)
    model = edgeq.compile_model(file, IMAGES)
    by_onnx = {n.onnx_nodes[-1]: n for n in model.graph.nodes}
    a, c = by_onnx["a"].output, by_onnx["c"].output
    assert a.same_quantization(c)  # only the join reads a
    requantised = [n for n in model.graph.nodes if n.op.name == "lut" and n.onnx_nodes[-1] == "c"]
    assert len(requantised) == 1  # b has another reader and a larger scale: through a table


def test_every_shared_scale_is_shared(tmp_path):
    nodes = [conv("x", "w", "a"), ("MaxPool", ["a"], ["b"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
             ("Slice", ["b", "s", "e"], ["c"], {})]  # fmt: skip
    weights = {"w": weight(4, 3, 3, 3), "s": np.array([0, 1]), "e": np.array([1, 3])}
    model = edgeq.compile_model(save(tmp_path, nodes, {"x": (1, 3, 6, 6)}, ["c"], weights), IMAGES)
    outputs = [n.output for n in model.graph.nodes]
    assert all(t.same_quantization(outputs[0]) for t in outputs)


@pytest.mark.parametrize("method", ["mse", "minmax", "percentile", "kl"])
def test_every_method_compiles_and_stays_exact(tmp_path, method):
    file = save(tmp_path, [conv("x", "w", "y")], {"x": (1, 3, 6, 6)}, ["y"], {"w": weight(5, 3, 3, 3)})
    model = edgeq.compile_model(file, IMAGES, method=method)
    assert model.check is not None and model.manifest["method"] == method


def test_bias_correction_removes_the_mean_error_of_rounded_weights(tmp_path):
    file = save(tmp_path, [("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 64)}, ["y"], {"w": weight(64, 8)})
    x = RNG.uniform(0, 1, (200, 64)).astype(np.float32)  # a mean far from zero, as after a Relu
    model = edgeq.compile_model(file, x, run_check=False)
    op = model.graph.nodes[0].op
    exact = x @ numpy_helper.to_array(onnx.load(file).graph.initializer[0])
    step = model.graph.nodes[0].output.scale
    assert np.abs((model.run_reference(x) - exact).mean(0)).max() < step / 10
    frac = op.shift.astype(int) + model.graph.nodes[0].output.frac_bits
    uncorrected = -op.weight.astype(np.int64).sum(1) * model.graph.nodes[0].inputs[0].zero_point + (
        1 << op.shift.astype(np.int64) - 1
    )
    assert np.any(op.bias != uncorrected), "the correction does something"
    assert np.abs((op.bias - uncorrected) / np.exp2(frac)).max() < 0.2


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1.0, 1e6, 1e15])
def test_weights_of_any_magnitude(tmp_path, scale):
    nodes = [conv("x", "w", "a"), ("Relu", ["a"], ["y"], {})]
    file = save(tmp_path, nodes, {"x": (1, 3, 6, 6)}, ["y"], {"w": weight(4, 3, 3, 3, scale=scale)})
    model = edgeq.compile_model(file, IMAGES)
    assert model.layer_sqnr[-1].sqnr_db > 30


def test_one_channel_of_zeros_and_one_of_giants(tmp_path):
    w = weight(4, 3, 3, 3)
    w[1], w[2] = 0, w[2] * 1e4
    b = np.array([0.5, 1.5, -3.0, 100.0], np.float32)
    file = save(tmp_path, [("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 3, 6, 6)}, ["y"], {"w": w, "b": b})
    model = edgeq.compile_model(file, IMAGES)
    step = model.graph.nodes[0].output.scale
    assert np.abs(model.run(IMAGES)[:, 1] - 1.5).max() <= step  # a channel of bias alone


def test_channel_scales_leave_room_for_the_worst_sum():
    y = Tensor("y", (2,), 2.0**-4, 0)
    effective = np.full((2, 100_000), 1e-3)
    frac = channel_frac_bits(effective, np.zeros(2), y, "n")
    q = np.floor(effective * np.exp2(frac)[:, None] + 0.5)
    assert (np.abs(q).sum(1) * 256 < 2**30).all() and (frac - 4 <= MAX_SHIFT).all()
    with pytest.raises(QuantizationError, match=r"channel 0 .*frac_bits"):
        channel_frac_bits(np.full((1, 4), 1e3), np.zeros(1), Tensor("y", (1,), 2.0**-12, 0), "n")


def test_overflow_is_refused_in_every_linear_operator():
    for name in ("conv2d", "depthwise_conv2d", "fully_connected"):
        node = next(iter(ops.modules()[name].cases()))
        op = replace(node.op, bias=np.full_like(node.op.bias, 2**31 - 100))
        with pytest.raises(QuantizationError, match=r"channel \d+ can reach \d+, over 2\^31"):
            op.validate(node.inputs, node.output)


def test_overflow_bound_is_tight():
    node = next(n for n in ops.modules()["conv2d"].cases() if isinstance(n.op, Conv2d))
    worst = int(np.abs(node.op.weight.reshape(len(node.op.weight), -1).astype(int)).sum(1).max()) * 128
    fine = np.full_like(node.op.bias, 2**31 - 1 - worst)
    replace(node.op, bias=fine).validate(node.inputs, node.output)
    with pytest.raises(QuantizationError):
        replace(node.op, bias=fine + 1).validate(node.inputs, node.output)


def test_relu_bounds_use_all_eight_bits(tmp_path):
    nodes = [conv("x", "w", "a"), ("Clip", ["a", "lo", "hi"], ["y"], {})]
    weights = {"w": weight(4, 3, 3, 3, scale=2), "lo": np.float32(0), "hi": np.float32(6)}
    model = edgeq.compile_model(save(tmp_path, nodes, {"x": (1, 3, 6, 6)}, ["y"], weights), IMAGES)
    (node,) = model.graph.nodes
    assert node.output.zero_point == -128 and node.op.lo == -128
    assert model.run(IMAGES).max() <= 6.0


def test_declared_inputs(tmp_path):
    file = save(tmp_path, [conv("x", "w", "y")], {"x": (1, 3, 6, 6)}, ["y"], {"w": weight(4, 3, 3, 3)})
    model = edgeq.compile_model(file, IMAGES, inputs={"x": edgeq.InputSpec((-2, 2))})
    assert model.manifest["inputs"][0]["scale"] == pytest.approx(4 / 255)
    with pytest.raises(BadInput, match="no input 'z'"):
        edgeq.compile_model(file, IMAGES, inputs={"z": edgeq.InputSpec((-2, 2))})
    with pytest.raises(BadInput, match="must be lowest <= 0 <= highest"):
        edgeq.compile_model(file, IMAGES, inputs={"x": edgeq.InputSpec((1, 2))})


@pytest.mark.parametrize("clips", [[(-1, 0), (0.5, 0.7)], [(0.5, 0.7), (-1, 0)], [(-1, 1), (0.2, 3)], [(1, -1)]])
def test_clips_after_each_other_are_one_clamp(tmp_path, clips):
    nodes, weights, last = [conv("x", "w", "a")], {"w": weight(4, 3, 3, 3)}, "a"
    for i, (lo, hi) in enumerate(clips):
        weights |= {f"lo{i}": np.float32(lo), f"hi{i}": np.float32(hi)}
        nodes.append(("Clip", [last, f"lo{i}", f"hi{i}"], [f"c{i}"], {}))
        last = f"c{i}"
    model = edgeq.compile_model(save(tmp_path, nodes, {"x": (1, 3, 6, 6)}, [last], weights), IMAGES)
    assert len(model.graph.nodes) == 1
    exact = model.run_reference(IMAGES)
    for lo, hi in clips:
        exact = np.minimum(np.maximum(exact, lo), hi)
    assert np.abs(model.run(IMAGES) - exact).max() <= model.graph.nodes[0].output.scale / 2
