"""SPEC.md is complete, and enough: operators written again from its formulas, in plain integers on the generated constants."""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import numpy as np
import pytest

import edgeq
from edgeq import ops
from edgeq.device import protocol
from edgeq.ops._base import Array
from edgeq.quantize.weights import MinMaxWeights
from edgeq.resources import DEVICE, ROOT

SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")
SECTIONS = {int(n): text for n, text in re.findall(r"^## (\d+)\..*?\n(.*?)(?=^## \d|\Z)", SPEC, re.M | re.S)}
OPERATORS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", SECTIONS[2], re.M | re.S))
DIGITS = ROOT / "examples" / "digits"


@pytest.fixture(scope="module")
def digits() -> edgeq.CompiledModel:
    return edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", run_check=False)


def test_every_operator_has_its_section_with_its_kernels():
    assert list(OPERATORS) == list(ops.modules())
    for name in ops.modules():
        named = set(re.findall(r"`(edgeq_\w+)`", OPERATORS[name]))
        assert named == {k.function for k in ops.kernels(name)}, name


def kind(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(sorted({f"list of {kind(v)}" for v in value})) or "list"
    return {dict: "object", int: "int", float: "number", str: "string", type(None): "null"}[type(value)]


def test_every_manifest_key_is_listed_with_its_type(digits):
    listed = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", SECTIONS[5], re.M))
    found: dict[str, set[str]] = {}

    def walk(path: str, value: Any) -> None:
        key = path.replace("outputs[]", "inputs[]")
        found.setdefault(key, set()).add("map" if listed.get(key) == "map" else kind(value))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and listed.get(key) != "map":
                for name, part in item.items():
                    walk(f"{path}{'[]' if isinstance(value, list) else ''}.{name}", part)

    for name in digits.manifest:
        walk(name, digits.manifest[name])
    assert list(found) == list(listed)
    for key, kinds in found.items():
        allowed = {*listed[key].split(" or "), *(["int"] if listed[key] == "number" else [])}
        assert kinds <= {*allowed, "list"}, key


def test_every_macro_function_and_file_is_named(digits):
    header = digits.files["digits.h"]
    for macro in re.findall(r"#define (\w+)", header.replace("DIGITS_", "NAME_")):
        assert f"`{macro}`" in SPEC or f"`{re.sub('NAME_(IN|OUT)PUT', '..', macro)}`" in SPEC or macro == "NAME_H"
    for function in re.findall(r"(\w+)\(", header.replace("digits_", "NAME_").split("#define NAME_LAYERS")[-1]):
        assert f"{function}(" in SPEC or function in "SCALE ZERO_POINT"
    for file in [*digits.files, digits.manifest["float_model"]]:
        assert f"`{file.replace('digits', 'NAME')}`" in SPEC or file.startswith("edgeq_")


def test_the_protocols_numbers_are_the_codes():
    numbers = dict(re.findall(r"^\| ([A-Z]+) \| (\d+) \|", SECTIONS[8], re.M))
    assert {name: int(n) for name, n in numbers.items()} == {c.name: c.value for c in protocol.Command}
    source = (DEVICE / "serial" / "protocol.c").read_text()
    (names,) = re.findall(r"enum \{ HELLO = 1, (.*), REPLY = 0x80 \};", source)
    assert ["HELLO", *names.split(", ")] == [c.name for c in protocol.Command]
    _, _, statuses, _ = SECTIONS[8].split("\n### 8.")[1:]
    assert list(map(int, re.findall(r"^\| (\d) \|", statuses, re.M))) == list(range(len(protocol.STATUS_WORDS)))
    rows = re.findall(r"^\| (\d+)(?:(?:, | \.\. )(\d+))? \|", SECTIONS[8].split("Payload of HELLO")[1], re.M)
    spans = [(int(a), int(b or a)) for a, b in rows]
    sizes = [struct.calcsize(f"<{c}") for c in protocol.HELLO.format[1:]]
    assert [b - a + 1 for a, b in spans] == sizes and [a for a, _ in spans] == [sum(sizes[:i]) for i in range(len(sizes))]


# ---------------------------------------------------------------- enough: section 2 again


def requantize(acc: int, p: dict[str, Any], shift: int) -> int:
    assert abs(acc) < 2**31
    return min(max(acc >> shift, p["lo"]), p["hi"])


def windows(w: dict[str, int]):
    """For each output pixel, for each tap: (iy, ix)."""
    for oy, ox in np.ndindex(w["out_h"], w["out_w"]):
        top, left = oy * w["stride_h"] - w["pad_top"], ox * w["stride_w"] - w["pad_left"]
        taps = np.ndindex(w["kernel_h"], w["kernel_w"])
        yield [(top + i * w["dilation_h"], left + j * w["dilation_w"]) for i, j in taps]


def read(x: list[int], w: dict[str, int], tap: tuple[int, int], channels: int, c: int, outside: int) -> int:
    inside = 0 <= tap[0] < w["in_h"] and 0 <= tap[1] < w["in_w"]
    return x[(tap[0] * w["in_w"] + tap[1]) * channels + c] if inside else outside


def conv2d(p, x):
    w, n, of_group = p["window"], p["in_c"] // p["groups"], p["out_c"] // p["groups"]
    for taps in windows(w):
        for o in range(p["out_c"]):
            first, acc = o // of_group * n, p["bias"][o]
            for t, tap in enumerate(taps):
                for c in range(n):
                    q = read(x, w, tap, p["in_c"], first + c, p["pad_value"])
                    acc += p["weight"][(o * len(taps) + t) * n + c] * q
            yield requantize(acc, p, p["shift"][o])


def depthwise_conv2d(p, x):
    w, out_c = p["window"], p["in_c"] * p["multiplier"]
    for taps in windows(w):
        for o in range(out_c):
            q = [read(x, w, tap, p["in_c"], o // p["multiplier"], p["pad_value"]) for tap in taps]
            acc = p["bias"][o] + sum(p["weight"][t * out_c + o] * v for t, v in enumerate(q))
            yield requantize(acc, p, p["shift"][o])


def fully_connected(p, x):
    for o in range(p["out_n"]):
        acc = p["bias"][o] + sum(p["weight"][o * p["in_n"] + k] * x[k] for k in range(p["in_n"]))
        yield requantize(acc, p, p["shift"][o])


def avg_pool(p, x):
    w, z = p["window"], p["zero_point"]
    for taps in windows(w):
        for c in range(p["channels"]):
            total = sum(read(x, w, tap, p["channels"], c, z) - z for tap in taps)
            if "pre_shift" in p:
                acc = ((total + 2 ** p["pre_shift"] // 2) >> p["pre_shift"]) * p["m"] + p["bias"]
            else:
                k = sum(-p["border_top"] <= iy < w["in_h"] + p["border_bottom"]
                        and -p["border_left"] <= ix < w["in_w"] + p["border_right"] for iy, ix in taps)  # fmt: skip
                acc = total * p["m"][k] + p["bias"]
            yield requantize(acc, p, p["shift"])


def add(p, x1, x2=None):
    whole = {"size": [1, 1, 1, p.get("n")], "step_1": [0, 0, 0, 1], "step_2": [0, 0, 0, 1]}
    fields, walk = p.get("add", p), p.get("walk", whole)
    for index in np.ndindex(*walk["size"]):
        at_1, at_2 = (sum(i * s for i, s in zip(index, walk[step], strict=True)) for step in ("step_1", "step_2"))
        acc = fields["m1"] * x1[at_1] + fields["m2"] * (p["constant"] if x2 is None else x2)[at_2] + fields["bias"]
        yield requantize(acc, fields, fields["shift"])


def softmax(p, x):
    for row in (x[i : i + p["n"]] for i in range(0, len(x), p["n"])):
        top = max(row)
        e = [p["table"][top - q] for q in row]
        total = sum(e)
        yield from (min((512 * v + total) // (2 * total) - 128, 127) for v in e)


def plain(v: Any) -> Any:
    if isinstance(v, dict):
        return {name: plain(x) for name, x in v.items()}
    return v.data.ravel().tolist() if isinstance(v, Array) else v


@pytest.mark.parametrize("again", [conv2d, depthwise_conv2d, fully_connected, avg_pool, add, softmax], ids=lambda f: f.__name__)
def test_formulas_give_the_references_bytes(again):
    rng, compared = np.random.default_rng(0), 0
    for node in ops.modules()[again.__name__].cases():
        if max(node.macs, *(t.elements for t in node.inputs)) > 20000:
            continue
        given = [rng.integers(-128, 128, (2, *t.shape)).astype(np.int8) for t in node.inputs]
        given = [np.concatenate([a, a[:1] * 0 + rng.choice([-128, 127])]) for a in given]  # and all at one end
        expected = node.reference(*given)
        for kernel in (k for k in ops.kernels(again.__name__) if k.isa == "c" and k.supports(node)):
            for i, wanted in enumerate(expected):
                flat = [x[i].ravel().tolist() for x in given]
                assert list(again(plain(kernel.params(node)), *flat)) == wanted.ravel().tolist()
                compared += 1
    assert compared > 30


def test_folding_gives_the_compilers_constants(digits):
    """Section 1.4, without bias correction."""
    layers = {layer.output: layer for layer in digits.float_graph.layers if hasattr(layer.op, "weight")}
    for node in (n for n in digits.graph.nodes if n.output.name in layers):
        layer, x, y = layers[node.output.name], node.inputs[0], node.output
        op = layer.op.quantize(MinMaxWeights({}), layer, node.inputs, y)
        for o, shift in enumerate(op.shift.tolist()):
            resolution = 2.0 ** (shift + y.frac_bits)
            weight = [math.floor(v * x.scale * resolution + 0.5) for v in layer.op.weight[o].ravel().tolist()]
            bias = math.floor(float(layer.op.bias[o]) * resolution + 0.5)
            assert op.weight[o].ravel().tolist() == weight
            assert op.bias[o] == bias - x.zero_point * sum(weight) + y.zero_point * 2**shift + math.floor(2.0 ** (shift - 1))


@pytest.mark.parametrize("n", [1, 2, 10, 700, 20000])
@pytest.mark.parametrize("scale", [2.0**-7, 0.0625, 0.3, 4.0])
def test_softmax_is_within_its_error_bound(n, scale):
    table = [math.floor(65535 * math.exp(-d * scale) + 0.5) for d in range(256)]
    assert table == ops.modules()["softmax"].exp_table(scale).tolist()
    bound = 1 / 512 + (n + 1) / 131070
    for second in (-128, 16, 60, 127):
        row = [127] + [second] * (n - 1)
        real = [math.exp((q - 127) * scale) for q in row]
        for q, r in list(zip(softmax({"n": n, "table": table}, row), real, strict=True))[:2]:
            assert abs((q + 128) / 256 - r / sum(real)) <= (max(bound, 1 / 256) if q == 127 else bound)
