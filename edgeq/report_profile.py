"""A profile's chart in report.html, where the build left room for it; the next profile replaces it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeq.errors import BadInput
from edgeq.model import dump
from edgeq.report import count, environment

BEGIN, END = "<!-- profile -->", "<!-- /profile -->"


def add_profile(folder: Path, profile: Mapping[str, Any]) -> Path:
    """Draws the profile into the report.html of a built folder, and corrects the page's hash in manifest.json. -> the page.

    profile: as `edgeq profile --json` prints it. Raises BadInput where the page has no room for it.
    """
    page, manifest = folder / "report.html", folder / "manifest.json"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BadInput("the page has no room for a profile", node=str(page), hint="edgeq build writes one that has")
    text = f"{before}{BEGIN}\n{render_profile(profile)}{END}{after}"
    record = json.loads(manifest.read_text(encoding="utf-8"))
    record["files"]["report.html"] = hashlib.sha256(text.encode()).hexdigest()
    _replace(page, text)
    _replace(manifest, dump(record))
    return page


def render_profile(profile: Mapping[str, Any]) -> str:
    """The section of the page: a bar for each layer that has code."""
    layers = [x for x in profile["layers"] if x["kernel"]]
    most = max((x["count"] for x in layers), default=0) or 1
    bars = [{"label": f"{x['index']} {x['op']}", "percent": round(100 * x["count"] / most, 1), "value": count(x["count"]),
             "title": f"{x['share']:.1%} of all" + (f", {x['per_mac']:.2f} for each MAC" if x["per_mac"] else "")}
            for x in layers]  # fmt: skip
    return environment().get_template("profile.html.j2").render(p=profile, bars=bars, count=count)


def _replace(path: Path, text: str) -> None:
    """Writes a file in one rename."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8", newline="\n")
    os.replace(scratch, path)
