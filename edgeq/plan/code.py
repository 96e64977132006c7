"""How much code kernels are: measured once for the kernels of this release (tests/update_code_bytes.py), not per build."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from edgeq.targets import Target

MEASURED = Path(__file__).with_name("code_bytes.json")


@cache
def measured() -> dict[str, Any]:
    """compiler: its version. sources: hash of what was compiled, for each kernel source. bytes: architecture -> "speed" or
    "size" -> kernel function -> bytes of each function that it needs ("source:symbol", itself included), compiled with -O2
    for speed, -Os for size."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def architecture(target: Target) -> str:
    """Where code for a target was measured; code for any processor counts as Armv7-M."""
    return target.isa[0] if target.isa[0] != "c" else "v7m"


def code_bytes(functions: Iterable[str], target: Target, optimize: str) -> int:
    """Bytes of code of kernel functions, estimated."""
    known = measured()["bytes"][architecture(target)]["size" if optimize == "size" else "speed"]
    parts: dict[str, int] = {}
    for function in functions:
        parts.update(known[function])
    return sum(parts.values())
