"""edgeq profile: counts that repeat, that do not depend on values, that add up, and that are drawn."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgeq.cli import main
from edgeq.device.board import emulated
from edgeq.device.connect import Connection, connect
from edgeq.device.profile import layer_counts
from edgeq.device.verify import inputs, load
from edgeq.errors import BadInput
from edgeq.model import BuiltModel
from edgeq.report_profile import add_profile
from edgeq.resources import HOST
from tests.device_models import built, some
from tests.serial_line import host_board, line

# Exact to an instruction on netduinoplus2, whose counter QEMU runs at 1 GHz; to 31 or more elsewhere. It also runs code for M3
# and M0.
CASES = [("netduinoplus2", "cortex-m4"), ("netduinoplus2", "cortex-m3"), ("netduinoplus2", "cortex-m"),
         *((b.name, b.targets[0]) for b in emulated().values() if b.name != "netduinoplus2")]  # fmt: skip
# Armv6-M has no conditional instructions: where these compare or clamp, the compiler branches.
BRANCH_ON_ARMV6M = {"edgeq_conv2d", "edgeq_conv2d_1x1", "edgeq_depthwise_conv2d", "edgeq_fully_connected", "edgeq_max_pool",
                    "edgeq_prelu", "edgeq_softmax", "edgeq_mul_broadcast"}  # fmt: skip


@contextmanager
def emulation(name: str, target: str, board: str, folder: Path) -> Iterator[Connection]:
    with connect(built(name, target).save(folder / name), board=board, emulated=True) as connection:
        yield connection


@pytest.mark.parametrize(("board", "target"), CASES)
@pytest.mark.parametrize("name", ["digits", "zoo", "two"])
def test_counts_repeat_and_do_not_depend_on_values(name: str, board: str, target: str, tmp_path: Path) -> None:
    with emulation(name, target, board, tmp_path) as c:
        feeds = inputs(c.model)
        rows = [layer_counts(c.link, c.model, some(feeds, i)) for i in (0, 1, 2, 2, 5, 9)]
        totals = []
        for i in (0, 1, 2, 2, 5, 9):
            load(c.link, c.model, some(feeds, i))
            totals.append(c.link.run())
        layers, v6m = c.model.manifest["layers"], target in ("cortex-m", "cortex-m0")
        steady = [i for i, x in enumerate(layers) if not (v6m and x["kernel"] in BRANCH_ON_ARMV6M)]
        counts = np.array(rows)
        assert rows[2] == rows[3] and totals[2] == totals[3] and totals[2][0] == totals[2][1]
        changing = [layers[i]["kernel"] for i in steady if np.ptp(counts[:, i])]
        assert changing == [], counts.T.tolist()
        assert len(steady) == len(layers) or v6m
        assert not np.ptp(totals) or v6m
        assert all(bool(n) for n, x in zip(rows[0], layers, strict=True) if x["macs"])
        assert all(n <= 5 for n, x in zip(rows[0], layers, strict=True) if not x["kernel"])
        assert abs(counts[2].sum() - totals[2][0]) * c.board.instructions_per_count < 60 * len(layers) + 300
        assert 100 < c.link.stack() <= c.record["stack"]["program"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return built("digits", "cortex-m4").save(tmp_path / "digits")


def test_profile_prints_layers_and_draws_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(folder), "--board", "netduinoplus2", "--emulate", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    layers = said["layers"]
    assert said["unit"] == "instructions" and said["step"] == 1 and said["seconds"] is None and said["emulated"] is True
    assert said["count"] == said["most"] >= sum(x["count"] for x in layers) > 0.99 * said["count"]
    assert [x["name"] for x in layers] == [x["name"] for x in BuiltModel.open(folder).manifest["layers"]]
    assert all(x["count"] == x["most"] for x in layers) and abs(sum(x["share"] for x in layers) - 1) < 1e-9
    assert all(x["per_mac"] == (x["count"] / x["macs"] if x["macs"] else None) for x in layers)
    assert said["firmware"]["flash"]["model"] > said["constant_bytes"]
    assert said["stack_bytes"] <= said["firmware"]["stack"]["program"]
    page = (folder / "report.html").read_text()
    bars = page.partition("Measured on netduinoplus2")[2].partition("</section>")[0]
    assert re.findall(r'class="value">([\d,]+)<', bars) == [f"{x['count']:,}" for x in layers if x["kernel"]]
    assert "instructions a run" in bars and "QEMU, which knows no cycles" in bars and 'style="width:100.0%"' in bars

    assert main(["profile", str(folder), "--board", "mps2_an386", "--emulate"]) == 0
    out = capsys.readouterr().out
    assert "in QEMU: instructions, not cycles" in out and "in steps of 40" in out and "the same each time" in out
    page = (folder / "report.html").read_text()
    assert page.count("Measured on") == 1 and "Measured on mps2_an386" in page
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["report.html"] == hashlib.sha256(page.encode()).hexdigest()
    built("digits", "cortex-m4").save(folder)  # it is still a folder that may be replaced
    assert "Measured on" not in (folder / "report.html").read_text()


def test_a_real_board_has_cycles_and_time(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The board of the tests says 25 MHz and a counter of 1 MHz, and takes one count more each of the 14 times in a run."""
    (tmp_path / "host").mkdir()
    with line(host_board(built("digits", "cortex-m4"), tmp_path / "host", "-I", str(HOST))) as there:
        assert main(["profile", str(folder), "--port", there.tty, "--json", "--runs", "3"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unit"] == "cycles" and said["step"] == 25 and said["firmware"] is None and said["board"] == "host"
    assert [(x["count"], x["most"]) for x in said["layers"]] == [(25 * i, 25 * i) for i in range(1, 13)]
    assert said["most"] - said["count"] == 2 * 14 * 25 and said["seconds"] == said["count"] / 25e6


def test_a_page_without_room_is_told(folder: Path) -> None:
    page = folder / "report.html"
    page.write_text(page.read_text().replace("<!-- profile -->", ""))
    with pytest.raises(BadInput, match=r"report\.html: the page has no room for a profile\n.*edgeq build"):
        add_profile(folder, {"layers": []})
