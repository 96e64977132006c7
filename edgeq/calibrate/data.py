"""Calibration and evaluation data: .npz, .npy, a folder of .npy, arrays, or random numbers, one sample at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeq.errors import BadInput

Shape = tuple[int, ...]
Source = str | Path | np.ndarray | Mapping[str, Any]
RANDOM_SAMPLES, RANDOM_SEED = 32, 0
PLAIN_ARRAY = "save a plain array of numbers, all samples the same shape"


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples of every input, converted to float32 only when read, so that a memory-mapped file stays on disk.

    arrays: ONNX input name -> (N, *sample shape), any real dtype; shapes: ONNX input name -> ONNX shape.
    random: the values are made up; whoever prints anything says so.
    """

    arrays: Mapping[str, np.ndarray]
    shapes: Mapping[str, Shape]
    source: str
    random: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Each sample as input name -> float32 array of the ONNX shape. Raises BadInput on NaN or inf."""
        for i in range(len(self)):
            yield {name: self._read(name, i) for name in self.arrays}

    def slice(self, start: int, stop: int) -> Samples:
        """Samples start .. stop - 1, or those of them that there are. Copies nothing."""
        part = {name: a[start:stop] for name, a in self.arrays.items()}
        return Samples(part, self.shapes, self.source, self.random)

    def head(self, n: int) -> Samples:
        """The first n samples, or all where there are fewer. Copies nothing."""
        return self.slice(0, n)

    def stack(self) -> dict[str, np.ndarray]:
        """All samples in memory: input name -> (N, *ONNX shape without its leading 1) float32. Raises BadInput."""
        out = {name: np.empty((len(self), *_without_batch(s)), np.float32) for name, s in self.shapes.items()}
        for i, sample in enumerate(self):
            for name, value in sample.items():
                out[name][i] = value.reshape(out[name].shape[1:])
        return out

    def _read(self, name: str, i: int) -> np.ndarray:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which is reported below
            value = np.array(self.arrays[name][i], np.float32).reshape(self.shapes[name])
        bad = value.size - int(np.isfinite(value).sum())
        if bad:
            fact = f"sample {i} of input {name!r} holds {bad} of {value.size} values that are NaN, inf or beyond float32"
            raise BadInput(fact, node=self.source, hint="remove that sample, or repair what wrote it")
        return value


def load_samples(source: Source, inputs: Mapping[str, Shape]) -> Samples:
    """Opens calibration data for a model with these inputs (ONNX name -> ONNX shape, batch 1 in front).

    source: FILE.npz, FILE.npy or FOLDER of .npy as a path; a mapping name -> array; one array; or "random".
    One array per input name, (N, *shape without the leading 1) or (N, *shape). A model with a single input takes a
    source with a single array whatever its name; arrays that no input is named after are ignored.
    .npy is memory-mapped. Raises BadInput naming the source.
    """
    if isinstance(source, str) and source == "random":
        return _random(inputs)
    where = str(source) if isinstance(source, str | Path) else "calibration array"
    found = _open(source, where)
    keys = _assign(found, inputs, where)
    arrays = {name: _checked(_read(found[keys[name]], where), name, shape, where) for name, shape in inputs.items()}
    _check_counts(arrays, where)
    return Samples(arrays, dict(inputs), where)


def _random(inputs: Mapping[str, Shape]) -> Samples:
    """Standard normal numbers, the same in every run."""
    rng = np.random.default_rng(RANDOM_SEED)
    arrays = {name: rng.standard_normal((RANDOM_SAMPLES, *_without_batch(s)), np.float32) for name, s in inputs.items()}
    return Samples(arrays, dict(inputs), "random", random=True)


# ---------------------------------------------------------------- opening

Found = Mapping[str, Callable[[], Any]]  # array name -> its reader: an array that is not asked for is never read


def _open(source: Source, where: str) -> Found:
    if isinstance(source, Mapping):
        return {name: partial(np.asarray, value) for name, value in source.items()}
    if not isinstance(source, str | Path):
        return {"": partial(np.asarray, source)}
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, where)
    if not path.exists():
        raise BadInput("no such file or folder", node=where, hint="give a .npz, a .npy or a folder of .npy files")
    content = _read(partial(_load, path), where)
    if isinstance(content, np.lib.npyio.NpzFile):
        return {name: partial(content.__getitem__, name) for name in content.files}
    return {path.stem: partial(np.asarray, content)}


def _open_folder(path: Path, where: str) -> Found:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise BadInput("the folder holds no .npy file", node=where, hint="put one INPUT_NAME.npy per model input in it")
    return {file.stem: partial(_load, file) for file in files}


def _load(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _read(reader: Callable[[], Any], where: str) -> Any:
    """What `reader` returns. Raises BadInput for whatever it raises."""
    try:
        return reader()
    except Exception as error:  # numpy, zipfile and zlib raise a dozen unrelated kinds for a damaged file
        text, hint = str(error), "write it with np.savez(path, INPUT_NAME=array)"
        if "Object arrays cannot" in text or "Python objects in dtype" in text:
            fact, hint = "holds an array of Python objects", PLAIN_ARRAY
        elif "pickle" in text:  # what np.load takes every unknown content for
            fact = "is not a numpy file"
        else:
            fact = f"cannot be read as numpy data ({type(error).__name__}: {text})"
        raise BadInput(fact, node=where, hint=hint) from error


# ---------------------------------------------------------------- matching and checking


def _assign(found: Found, inputs: Mapping[str, Shape], where: str) -> dict[str, str]:
    """Input name -> name of its array in `found`."""
    keys = {name: key for name in inputs for key in (_file_stem(name), name) if key in found}
    if len(inputs) == 1 and len(found) == 1:
        return {name: key for name in inputs for key in found}
    missing = [name for name in inputs if name not in keys]
    if missing:
        wanted = ", ".join(f"{name!r} {_text(inputs[name])}" for name in missing)
        present = ", ".join(_describe(name, reader) for name, reader in found.items()) or "none"
        hint = "name the arrays after the model's inputs: np.savez(path, **{" + f"{missing[0]!r}: array" + "})"
        raise BadInput(f"no array for input {wanted}; arrays found: {present}", node=where, hint=hint)
    return keys


def _file_stem(name: str) -> str:
    """An input name as a file can carry it: in/x:0 -> in_x_0."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _describe(name: str, reader: Callable[[], Any]) -> str:
    try:
        return f"{name!r} {_text(reader().shape)}"
    except Exception:  # it is only listed; why it cannot be read is another error than the one being reported
        return f"{name!r} (unreadable)"


def _checked(array: np.ndarray, name: str, shape: Shape, where: str) -> np.ndarray:
    """`array` if it holds at least one sample of numbers of the right shape. Raises BadInput."""
    if array.dtype.kind not in "biuf":
        fact = f"the array for input {name!r} has dtype {array.dtype}, not numbers"
        raise BadInput(fact, node=where, hint=PLAIN_ARRAY)
    if array.ndim == 0 or array.shape[1:] not in {shape, _without_batch(shape)}:
        fact = f"the array for input {name!r} has shape {_text(array.shape)}, expected (N, {_tail(shape)})"
        raise BadInput(fact, node=where, hint=_shape_hint(array.shape, shape))
    if len(array) == 0:
        raise BadInput(f"the array for input {name!r} has 0 samples", node=where, hint="save at least one sample")
    return array


def _shape_hint(got: Shape, shape: Shape) -> str:
    want = _without_batch(shape)
    if got == want:
        return "this is one sample without the sample axis in front: save array[None]"
    if len(got) > 1 and sorted(got[1:]) == sorted(want):
        return f"the axes are in another order: np.transpose the array until a sample is {_text(want)}"
    if math.prod(got[1:]) == math.prod(want):
        return f"the size fits: save array.reshape(-1, {_tail(shape)}) if the order of the values is the model's"
    return "axis 0 is the sample; the rest must be the model's input shape, after any resizing or feature extraction"


def _check_counts(arrays: Mapping[str, np.ndarray], where: str) -> None:
    if len({len(a) for a in arrays.values()}) > 1:
        counts = ", ".join(f"{name!r} {len(a)}" for name, a in arrays.items())
        raise BadInput(f"inputs have different numbers of samples: {counts}", node=where, hint="save as many of each")


def _without_batch(shape: Shape) -> Shape:
    return shape[1:] if shape[:1] == (1,) else shape


def _tail(shape: Shape) -> str:
    return ", ".join(map(str, _without_batch(shape)))


def _text(shape: Shape) -> str:
    return str(tuple(shape))
