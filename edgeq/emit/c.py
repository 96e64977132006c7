"""Python values as C text."""

from __future__ import annotations

import re

import numpy as np

from edgeq.ops._base import Array, Params

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
           "uint32": "uint32_t"}  # fmt: skip
LINE = 118


def c_type(array: np.ndarray) -> str:
    """The C element type of an array."""
    return C_TYPES[array.dtype.name]


def numbers(array: np.ndarray) -> str:
    """The elements, comma separated, in lines of at most LINE characters, indented by four."""
    texts = np.char.mod("%d", array.ravel()).tolist()
    if array.dtype == np.int32:  # -2147483648 is no C literal
        texts = ["(-2147483647 - 1)" if t == "-2147483648" else t for t in texts]
    width = max(len(t) for t in texts) + 2
    per_line = max((LINE - 4) // width, 1)
    rows = (texts[i : i + per_line] for i in range(0, len(texts), per_line))
    return ",\n".join("    " + ", ".join(row) for row in rows)


def initializer(params: Params, names: dict[int, str]) -> str:
    """A designated initialiser's inside, one line; `names` gives arrays by id() their C names."""
    fields = []
    for field, value in params.items():
        if isinstance(value, Array):
            text = names[id(value)]
        elif isinstance(value, dict):
            text = f"{{{initializer(value, names)}}}"
        else:
            text = str(int(value))
        fields.append(f".{field} = {text}")
    return ", ".join(fields)


def comment(text: str) -> str:
    """Text that cannot end or nest a C comment, in printable ASCII."""
    return re.sub(r"[^ -~]", "?", text).replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def wrapped(text: str, indent: int) -> str:
    """A long initialiser broken at ", ." to fit the line."""
    lines, line = [], ""
    for part in re.split(r"(?<=,) (?=\.)", text):
        if line and len(line) + len(part) + indent > LINE:
            lines.append(line)
            line = part
        else:
            line = f"{line} {part}" if line else part
    return ("\n" + " " * indent).join([*lines, line])
