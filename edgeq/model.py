"""A built model: the generated files, what manifest.json says of them, and the float model they came from."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgeq._version import __version__
from edgeq.build import HostLibrary
from edgeq.emit import emit_shared
from edgeq.errors import BadInput
from edgeq.numerics import dequantize, quantize

Arrays = dict[str, np.ndarray]
Data = np.ndarray | Mapping[str, np.ndarray]


class Port:
    """An input or output as manifest.json describes it: between ONNX-side float arrays and stored integers."""

    def __init__(self, record: Mapping[str, Any]):
        self.name, self.tensor, self.dtype = record["name"], record["tensor"], record["dtype"]
        self.scale, self.zero_point = record["scale"], record["zero_point"]
        self.stored = tuple(record["shape"][1:])
        onnx_shape = tuple(record["onnx_shape"])
        self.sample = onnx_shape[1:] if onnx_shape[:1] == (1,) else onnx_shape  # one sample, as ONNX has it
        self.axes = tuple(record["axes"])  # stored order = sample.transpose(axes)

    def store(self, x: np.ndarray) -> np.ndarray:
        """(N, *sample) float or integer -> (N, *stored) integers; floats are quantised. Raises BadInput."""
        if x.shape[1:] != self.sample:
            raise BadInput(f"has shape {x.shape}, expected (N, {', '.join(map(str, self.sample))})",
                           node=f"input {self.name!r}", hint="axis 0 is the sample; keep the ONNX order of axes")  # fmt: skip
        if x.dtype.kind in "iu" and x.dtype != self.dtype:
            raise BadInput(f"is {x.dtype}", node=f"input {self.name!r}", hint=f"float32 values, or {self.dtype} as stored")
        q = x if x.dtype == self.dtype else quantize(x, self.scale, self.zero_point, self.dtype)
        return np.ascontiguousarray(q.transpose(0, *(a + 1 for a in self.axes))).reshape(-1, *self.stored)

    def load(self, q: np.ndarray) -> np.ndarray:
        """(N, *stored) integers -> (N, *sample) integers."""
        order = tuple(self.sample[a] for a in self.axes)
        back = np.argsort(self.axes)
        return q.reshape(len(q), *order).transpose(0, *(int(a) + 1 for a in back))


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """files: name -> text; float_model: the simplified ONNX, serialized; manifest: as in manifest.json."""

    files: Mapping[str, str]
    float_model: bytes
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> BuiltModel:
        """Reads a folder that `edgeq build` wrote. Raises BadInput where it is none."""
        folder = Path(folder)
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            texts = {f: (folder / f).read_text(encoding="utf-8") for f in manifest["files"] if f.endswith((".c", ".h"))}
            float_model = (folder / manifest["float_model"]).read_bytes()
            if missing := {"io", "layers", "steps"} - set(manifest):
                raise ValueError(f"its manifest.json is of another release: no {min(missing)}")
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise BadInput(f"is not a folder that edgeq build wrote ({e})", node=str(folder),
                           hint="edgeq build MODEL --calib DATA -o FOLDER") from e  # fmt: skip
        return cls(texts, float_model, manifest)

    @property
    def name(self) -> str:
        return str(self.manifest["model"])

    @cached_property
    def inputs(self) -> dict[str, Port]:
        return {p["name"]: Port(p) for p in self.manifest["inputs"]}

    @cached_property
    def outputs(self) -> dict[str, Port]:
        return {p["name"]: Port(p) for p in self.manifest["outputs"]}

    @cached_property
    def library(self) -> HostLibrary:
        """The C, compiled for this machine."""
        return HostLibrary(self.files, self.manifest)

    def stored(self, x: Data) -> Arrays:
        """Arrays by ONNX input name, or one array where there is one input -> stored integers. Raises BadInput."""
        given = dict(x) if isinstance(x, Mapping) else dict(zip(self.inputs, [np.asarray(x)], strict=False))
        missing = [n for n in self.inputs if n not in given]
        if missing:
            raise BadInput(f"no array for input {missing[0]!r}", node=self.name, hint=f"inputs: {', '.join(self.inputs)}")
        stored = {n: p.store(np.asarray(given[n])) for n, p in self.inputs.items()}
        if len({len(q) for q in stored.values()}) > 1:
            raise BadInput("inputs have different sample counts", node=self.name, hint="axis 0 is the sample")
        return stored

    def run(self, x: Data) -> Any:
        """Runs the compiled C.

        x: (N, *ONNX shape without its batch of 1) float32, or integers as stored, or a dict of those by input name.
        -> (N, *ONNX output shape without its batch): float32 for float input, int8 for integer input; a dict by
        output name where the model has several outputs.
        """
        return self.outside(self.library.run(self.stored(x)), x)

    def outside(self, outputs: Mapping[str, np.ndarray], x: Data) -> Any:
        """Stored outputs as `run` returns them for the input x."""
        arrays = list(x.values()) if isinstance(x, Mapping) else [x]
        raw = all(np.asarray(a).dtype.kind in "iu" for a in arrays)
        out = {n: p.load(outputs[n]) for n, p in self.outputs.items()}
        if not raw:
            out = {n: dequantize(q, self.outputs[n].scale, self.outputs[n].zero_point) for n, q in out.items()}
        return out if len(out) > 1 else next(iter(out.values()))

    def save(self, folder: str | Path) -> Path:
        """Writes the folder in one rename. Raises BadInput where something else than an edgeq folder is there."""
        return in_one_rename(folder, self.write)

    def write(self, folder: Path) -> None:
        """Fills an empty folder."""
        for file, text in self.files.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
        (folder / self.manifest["float_model"]).write_bytes(self.float_model)
        (folder / "manifest.json").write_text(dump(self.manifest), encoding="utf-8", newline="\n")


@dataclass(frozen=True, eq=False)
class SharedModels:
    """Built models that share one arena. name: the C prefix of what they share, and of its files."""

    name: str
    models: Sequence[BuiltModel]

    def __post_init__(self) -> None:
        for m in self.models:
            if m.manifest["io"] != "arena":
                raise BadInput(f"{m.name} has its input outside the arena", node=f"--io {m.manifest['io']}",
                               hint="--io arena with --share-arena")  # fmt: skip
        names = [m.name for m in self.models]
        for name in (self.name, *names):
            if [self.name, *names].count(name) > 1:
                raise BadInput(f"two things would be called {name!r} in C", node="--share-arena",
                               hint="other names for the model files, or --name for what they share")  # fmt: skip

    @property
    def arena_bytes(self) -> int:
        return max(int(m.manifest["arena_bytes"]) for m in self.models)

    def save(self, folder: str | Path) -> Path:
        """Writes a folder with one for each model, in one rename. Raises BadInput as BuiltModel.save."""
        return in_one_rename(folder, self.write)

    def write(self, folder: Path) -> None:
        """Fills an empty folder."""
        files = emit_shared(self.name, [m.manifest for m in self.models])
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
        for m in self.models:
            (folder / m.name).mkdir()
            m.write(folder / m.name)
        manifest = {"edgeq": __version__, "name": self.name, "arena_bytes": self.arena_bytes,
                    "models": [m.name for m in self.models], "files": sorted(files)}  # fmt: skip
        (folder / "manifest.json").write_text(dump(manifest), encoding="utf-8", newline="\n")


def in_one_rename(folder: str | Path, write: Callable[[Path], None]) -> Path:
    """Fills a new folder by `write` and moves it to its place. Raises BadInput where something of others is there."""
    target = Path(folder).resolve()
    if target.exists() and not (is_built(target) or not any(target.iterdir())):
        raise BadInput("exists and is not, or not only, what edgeq build wrote; it would be replaced", node=str(folder),
                       hint="another -o FOLDER")  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        write(new)
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def is_built(folder: Path) -> bool:
    """Whether edgeq wrote the folder, and nothing else lies in it: then it may be replaced."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        models = manifest.get("models", [])
        known = {*manifest["files"], *models, "manifest.json"}
        ours = "edgeq" in manifest and all(entry.name in known for entry in folder.iterdir())
        return ours and all(is_built(folder / name) for name in models)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def dump(manifest: Mapping[str, Any]) -> str:
    """manifest.json's text."""
    return json.dumps(manifest, indent=1, ensure_ascii=True) + "\n"
