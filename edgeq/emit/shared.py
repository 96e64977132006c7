"""Several models in one arena: the largest one's size, and a guard that no model runs into another's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeq._version import __version__
from edgeq.emit.emit import environment


def emit_shared(name: str, manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """File name -> text: what stands beside the models' folders. name: a C identifier that is no model's."""
    models = [{"name": m["model"]} for m in manifests]
    context = {
        "name": name, "NAME": name.upper(), "version": __version__, "models": models,
        "size": max(m["arena_bytes"] for m in manifests), "align": max(m["arena_align"] for m in manifests),
    }  # fmt: skip
    templates = {f"{name}.h": "shared.h.j2", f"{name}.c": "shared.c.j2", "CMakeLists.txt": "shared_CMakeLists.txt.j2"}
    return {file: environment().get_template(template).render(context) for file, template in templates.items()}
