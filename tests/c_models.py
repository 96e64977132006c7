"""Helpers of the tests of generated code: models built once, and C programs around them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeq.model import BuiltModel

TESTS = Path(__file__).parent
MODELS = TESTS / "models"
DIGITS = TESTS.parent / "examples" / "digits"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")


def shell(command: Sequence[str | Path], **options: object) -> bytes:
    """stdout of a command; fails with its messages."""
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr.decode(errors='replace')[:4000]}"
    return bytes(done.stdout)


def accessors(model: BuiltModel) -> tuple[list[str], list[str]]:
    """The functions that the header declares for inputs and for outputs, in the manifest's order."""
    header = model.files[f"{model.name}.h"]
    return (re.findall(r"^u?int8_t \*(\w+)\(void \*arena\);", header, re.M),
            re.findall(r"^const int8_t \*(\w+)\(const void \*arena\);", header, re.M))  # fmt: skip


def app(models: Sequence[BuiltModel]) -> str:
    """A program that reads the models' stored inputs from stdin until they end, and writes their outputs."""
    parts = ["#include <stdio.h>"]
    body = []
    for m in models:
        n, caps = m.name, m.name.upper()
        parts.append(f'#include "{n}.h"')
        parts.append(f"static int8_t {n}_arena[{caps}_ARENA_SIZE] __attribute__((aligned({caps}_ARENA_ALIGN)));")
        ins, outs = accessors(m)
        for f in ins:
            size = f"{f.upper()}_SIZE"
            body.append(f"        if (fread({f}({n}_arena), 1, {size}, stdin) != {size}) {{ return 0; }}")
        body.append(f"        {n}_run({n}_arena);")
        body += [f"        fwrite({f}({n}_arena), 1, {f.upper()}_SIZE, stdout);" for f in outs]
    return "\n".join([*parts, "int main(void) {", "    for (;;) {", *body, "    }", "}", ""])


def feed(models: Sequence[BuiltModel], inputs: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """stdin of the app: for each sample, each model's stored inputs."""
    count = len(next(iter(inputs[0].values())))
    return b"".join(x[name][i].tobytes() for i in range(count)
                    for m, x in zip(models, inputs, strict=True) for name in m.inputs)  # fmt: skip


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def sources(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.c"))
