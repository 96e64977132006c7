"""report.html: complete, self-contained, deterministic, and safe whatever the model's names are."""

from __future__ import annotations

import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgeq
from edgeq.compile import CompiledModel
from edgeq.plan.place import covered
from edgeq.report import BOX_W, drops, network, render_report, worst_drop
from edgeq.report_memory import memory_map, spans

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits"
MODELS = ROOT / "tests" / "models"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def digits() -> CompiledModel:
    return edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz")


def test_every_layer_is_in_network_table_and_charts(digits: CompiledModel) -> None:
    page = Page(digits.files["report.html"])
    for layer in digits.manifest["layers"]:
        assert f"{layer['index']}  {layer['op']}" in page.text  # its box
        assert ", ".join(layer["onnx_nodes"]) in page.text  # its row
        if layer["flash_bytes"]:
            assert f"{layer['flash_bytes']:,} B" in page.text
    for s in digits.layer_sqnr:
        assert (f"{s.sqnr_db:.1f} dB" if math.isfinite(s.sqnr_db) else "exact") in page.text
    assert f"{digits.plan.arena_bytes:,} B" in page.text and "bit-exact" in page.text


def test_it_is_self_contained(digits: CompiledModel) -> None:
    text = digits.files["report.html"]
    page = Page(text)
    assert not re.search(r"https?://|//[a-z]|@import|javascript:", text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href", "srcset"} & {name for name, _ in page.attributes}
    assert all(re.fullmatch(r"url\(#\w+\)", u) for u in re.findall(r"url\([^)]*\)", text))


def test_it_is_deterministic(digits: CompiledModel) -> None:
    again = edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz")
    assert again.files["report.html"] == digits.files["report.html"] == render_report(digits)


def test_unchecked_builds_say_so() -> None:
    model = edgeq.compile_model(MODELS / "conv_legacy.onnx", "random", run_check=False)
    assert "not checked" in Page(model.files["report.html"]).text


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda p: p.stem)
def test_every_test_model_has_a_report(path: Path) -> None:
    Page(edgeq.compile_model(path, "random", run_check=False).files["report.html"])


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    model = onnx.load(MODELS / "conv_legacy.onnx")
    evil = "</title></svg><script>alert('x')</script>\"onload=\"&\x00\u202e{{ 7*7 }}"
    for i, node in enumerate(model.graph.node):
        node.name = f"{evil}{i}"
    source, model.graph.input[0].name = model.graph.input[0].name, evil
    for node in model.graph.node:
        node.input[:] = [evil if n == source else n for n in node.input]
    path = tmp_path / "evil.onnx"
    onnx.save(model, path)
    text = edgeq.compile_model(path, "random", run_check=False).files["report.html"]
    page = Page(text)
    assert "script" not in page.tags and "onload" not in {name for name, _ in page.attributes}
    assert "<script>alert('x')</script>" in page.text  # shown, not run
    assert "\x00" not in text and "\u202e" not in text


def test_residual_is_drawn_around_its_layers(digits: CompiledModel) -> None:
    picture = network(digits.manifest["layers"], digits.plan)
    reads = sum(len(s.node.inputs) for s in digits.plan.steps) + len(digits.graph.outputs)
    assert len(picture["edges"]) == reads
    boxes = picture["boxes"]
    assert len({(b.x, b.y) for b in boxes}) == len(boxes)
    assert all(b.x >= 0 and b.x + BOX_W <= picture["width"] and b.y < picture["height"] for b in boxes)
    add = next(x for x in digits.manifest["layers"] if x["op"] == "add")
    paths = [e["path"] for e in picture["edges"] if e["title"].endswith(f"→ {add['output']}")]
    assert len(paths) == 2 and sum("V" in p for p in paths) == 1  # one straight down, one past the layers between


def test_memory_map_is_the_plan(digits: CompiledModel) -> None:
    plan, picture = digits.plan, memory_map(digits.plan)
    found = spans(plan)
    assert len(picture["rects"]) == len(found) == len(plan.graph.tensors) + sum(bool(s.scratch_bytes) for s in plan.steps)
    assert (
        picture["peak"]["bytes"]
        == max(covered((s.start, s.end) for s in found if s.first <= i <= s.last) for i in range(len(plan.steps)))
        <= plan.arena_bytes
    )
    for r in picture["rects"]:
        assert picture["left"] <= r["x"] and r["x"] + r["w"] <= picture["right"] + 0.1
        assert picture["top"] - 0.1 <= r["y"] and r["y"] + r["h"] <= picture["bottom"] + 0.1


def test_worst_drop_compares_with_the_inputs() -> None:
    layers = [{"name": "a", "inputs": ["x"], "output": "a"}, {"name": "view", "inputs": ["a"], "output": "v"},
              {"name": "b", "inputs": ["v"], "output": "b"}, {"name": "c", "inputs": ["a", "b"], "output": "c"}]  # fmt: skip
    sqnr = {"a": 40.0, "b": 33.0, "c": 30.0}
    assert drops(layers, sqnr) == {"b": 7.0, "c": 3.0} and worst_drop(layers, sqnr) == "b"
    assert worst_drop(layers, {}) is None and worst_drop([], {}) is None
    assert np.isfinite(list(drops(layers, {**sqnr, "a": math.inf}).values())).all()
