"""Python values as C text."""

from __future__ import annotations

import re
from collections.abc import Container

import numpy as np

from edgeq.ops._base import Array, Params

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
           "uint32": "uint32_t"}  # fmt: skip
LINE = 118
# names whose .h would stand before a system header, or that CMake keeps for itself
TAKEN = {
    "alloca", "assert", "complex", "ctype", "endian", "errno", "fcntl", "features", "fenv", "float",
    "inttypes", "iso646", "limits", "locale", "malloc", "math", "memory", "regex", "sched", "search",
    "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib",
    "stdnoreturn", "string", "strings", "tgmath", "threads", "time", "uchar", "unistd", "values", "wchar",
    "wctype", "all", "clean", "depend", "edit_cache", "help", "install", "package", "preinstall",
    "rebuild_cache", "test",
}  # fmt: skip


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


def prefix(text: str, files: Container[str] = ()) -> str:
    """A C identifier in lower case resembling `text`, to begin names and files with.

    It is not one whose files would hide a header of the language, meet one of `files`, or be no target for CMake.
    """
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "model"
    if name[0].isdigit():
        name = f"model_{name}"
    while name in TAKEN or any(f"{name}{end}" in files for end in (".h", ".c", "_weights.h", "_weights.c")):
        name += "_model"
    return name


def macro_part(text: str, fallback: str) -> str:
    """Letters, digits and underscores resembling `text`, to go into the middle of a C name."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or fallback


def comment(text: str) -> str:
    """Text that cannot end or nest a C comment, nor hold a trigraph, in printable ASCII."""
    text = re.sub(r"[^ -~]", "_", text).replace("\\", "/").replace("*/", "* /").replace("/*", "/ *")
    return re.sub(r"\?(?=\?)", "? ", text)


def float_literal(value: float) -> str:
    """A float32 constant; single precision, so that no double arithmetic comes in with it."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


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
