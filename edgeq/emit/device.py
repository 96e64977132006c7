"""A build's manifest as device_model.c: what runtime_c/device/device_model.h promises the device programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeq.emit.c import float_literal
from edgeq.emit.emit import environment


def device_model(manifest: Mapping[str, Any], board: str) -> str:
    """The text of device_model.c. manifest: as in manifest.json; board: the name of the board it is linked for."""
    name = manifest["model"]
    context = {
        "name": name, "NAME": name.upper(), "version": manifest["edgeq"], "board": board,
        "align": max(manifest["arena_align"], 4),  # the programs read the arena in words
        "inputs": [_tensor(x, x["shape"]) for x in manifest["inputs"]],
        "outputs": [_tensor(x, x["shape"]) for x in manifest["outputs"]],
        "layers": [_tensor({**manifest["layers"][x["layer"]], **x}, x["output_shape"]) for x in manifest["steps"]],
    }  # fmt: skip
    return environment().get_template("device_model.c.j2").render(context)


def _tensor(record: Mapping[str, Any], shape: list[int]) -> dict[str, Any]:
    return {
        "offset": record["offset"], "bytes": math.prod(shape) * np.dtype(record["dtype"]).itemsize, "dtype": record["dtype"],
        "zero_point": record["zero_point"], "scale": float_literal(record["scale"]),
    }  # fmt: skip
