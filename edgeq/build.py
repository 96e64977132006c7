"""Compiles a generated folder for this machine and runs it through cffi.

cffi is used in ABI mode: the C is built into a shared library by the system compiler alone, without Python's headers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from edgeq.errors import BuildFailed
from edgeq.resources import HOST

FLAGS = ("-std=c99", "-O2", "-fPIC", "-shared", "-DEDGEQ_HOOKS")
POISON = 0xA5  # what the arena holds before a run: nothing may depend on it

HOOKS_FILE = "hooks-of-check.c"  # no generated file has a hyphen
HOOKS = """
#include "{name}.h"
void (*{name}_hook)(int layer) = 0;
void {name}_layer_begin(int layer, const void *arena) {{ (void)layer; (void)arena; }}
void {name}_layer_end(int layer, const void *arena) {{ (void)arena; if ({name}_hook) {{ {name}_hook(layer); }} }}
"""


def compiler() -> str:
    """The system C compiler: $CC, cc, gcc or clang. Raises BuildFailed where there is none."""
    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else ["cc", "gcc", "clang"]:
        if shutil.which(name):
            return name
    raise BuildFailed(f"no C compiler ({wanted or 'cc, gcc, clang'}) on PATH",
                      hint="apt-get install gcc, or set CC, or build with --no-check")  # fmt: skip


class HostLibrary:
    """A generated model as a function on integer arrays, with the output of every layer on request.

    files: name -> C text; manifest: as in manifest.json. Raises BuildFailed with the compiler's first error.
    """

    def __init__(self, files: Mapping[str, str], manifest: Mapping[str, Any], flags: Sequence[str] = ()):
        self.manifest, self.name = manifest, manifest["model"]
        self.folder = tempfile.TemporaryDirectory(prefix="edgeq_")
        root = Path(self.folder.name)
        for file, text in {**files, HOOKS_FILE: HOOKS.format(name=self.name)}.items():
            (root / file).write_text(text, encoding="utf-8")
        sources = sorted(f for f in [*files, HOOKS_FILE] if f.endswith(".c"))
        command = [compiler(), *FLAGS, *flags, "-I.", f"-I{HOST}", *sources, "-o", "model.so"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise BuildFailed(f"{command[0]} failed: {errors[0] if errors else done.returncode}",
                              node=self.name, hint=f"see its messages with: {' '.join(command)}")  # fmt: skip
        self.ffi = cffi.FFI()
        outside = [p for p in [*manifest["inputs"], *manifest["outputs"]] if p["memory"] != "arena"]
        buffers = ", void *" * len(outside)
        self.ffi.cdef(f"void {self.name}_run(void *arena{buffers}); extern void (*{self.name}_hook)(int layer);")
        try:
            self.lib = self.ffi.dlopen(str(root / "model.so"))
        except OSError as e:
            raise BuildFailed(f"the compiled library does not load: {e}", node=self.name,
                              hint="a source file may be missing: build the folder anew") from e  # fmt: skip
        align, size = manifest["arena_align"], manifest["arena_bytes"]
        sizes = {"arena": size, **{p["memory"]: int(np.prod(p["shape"])) for p in outside}}
        self.memory = {name: aligned_bytes(n, align) for name, n in sizes.items()}
        self.pointers = [self.ffi.from_buffer(memory) for memory in self.memory.values()]
        self.function = getattr(self.lib, f"{self.name}_run")

    def close(self) -> None:
        """Unloads the library and removes its files."""
        self.ffi.dlclose(self.lib)
        self.folder.cleanup()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """feeds: ONNX input name -> (N, *stored shape) integers -> ONNX output name -> (N, *stored shape) integers."""
        count = len(next(iter(feeds.values())))
        out = {p["name"]: np.empty((count, *p["shape"][1:]), p["dtype"]) for p in self.manifest["outputs"]}
        for i in range(count):
            self._load(feeds, i)
            self.function(*self.pointers)
            for port in self.manifest["outputs"]:
                out[port["name"]][i] = self._view(port)
        return out

    def trace(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As run, but every layer's output: tensor name -> (N, *stored shape).

        Without those of which a build by bands leaves out rows that nothing needs.
        """
        layers, steps = self.manifest["layers"], self.manifest["steps"]
        found = self.trace_steps(feeds)
        parts: dict[str, list[np.ndarray]] = {x["output"]: [] for x in layers if complete(x, steps)}
        for step, output in zip(steps, found, strict=True):
            name = layers[step["layer"]]["output"]
            if step["rows"] and name in parts:
                parts[name].append(output)  # bands are in the order of their rows
        return {name: np.concatenate(some, axis=1) for name, some in parts.items()}

    def trace_steps(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """As run, but the output of every step of the manifest, (N, *shape), read as soon as it is written."""
        count = len(next(iter(feeds.values())))
        steps = self.manifest["steps"]
        out = [np.zeros((count, *x["output_shape"][1:]), x["dtype"]) for x in steps]
        sample = 0

        @self.ffi.callback("void(int)")  # type: ignore[untyped-decorator]
        def hook(index: int) -> None:
            out[index][sample] = self._view({**steps[index], "shape": steps[index]["output_shape"]})

        setattr(self.lib, f"{self.name}_hook", hook)
        try:
            for sample in range(count):
                self._load(feeds, sample)
                self.function(*self.pointers)
        finally:
            setattr(self.lib, f"{self.name}_hook", self.ffi.NULL)
        return out

    def _load(self, feeds: Mapping[str, np.ndarray], i: int) -> None:
        for memory in self.memory.values():
            memory[:] = POISON
        for port in self.manifest["inputs"]:
            self._view(port)[:] = feeds[port["name"]][i].reshape(port["shape"][1:])

    def _view(self, port: Mapping[str, Any]) -> np.ndarray:
        shape = tuple(port["shape"][1:])
        start = port["offset"]
        return self.memory[port["memory"]][start : start + int(np.prod(shape))].view(port["dtype"]).reshape(shape)


def aligned_bytes(size: int, align: int) -> np.ndarray:
    """(size,) uint8 at an aligned address, with what nothing may depend on."""
    raw = np.full(size + align, POISON, np.uint8)
    start = -raw.ctypes.data % align
    return raw[start : start + size]


def complete(layer: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the steps of a build compute every row of the layer's output."""
    rows = [s["rows"] for s in steps if s["layer"] == layer["index"] and s["rows"]]
    return rows == ["all"] or sum(end - first for first, end in rows) == layer["output_shape"][1]
