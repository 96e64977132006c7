"""Files of arrays that the command line reads and writes."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from edgeq.errors import BadInput
from edgeq.model import BuiltModel


def read_arrays(source: Path, model: BuiltModel) -> dict[str, np.ndarray]:
    """Input name -> array, finite numbers. Raises BadInput."""
    try:
        loaded = np.load(source, allow_pickle=False)
        arrays = {n: loaded[n] for n in loaded.files} if hasattr(loaded, "files") else {"": loaded}
    except FileNotFoundError:
        raise BadInput("no such file", node=str(source), hint="a .npy or .npz") from None
    except Exception as e:  # numpy, zipfile and zlib raise a dozen unrelated kinds for a damaged file
        raise BadInput(f"is not a .npy or .npz of numbers ({e})", node=str(source), hint="np.save, np.savez") from e
    if len(arrays) == 1 and len(model.inputs) == 1:
        arrays = {next(iter(model.inputs)): next(iter(arrays.values()))}
    missing = [n for n in model.inputs if n not in arrays]
    if missing:
        raise BadInput(f"no array for input {missing[0]!r}; it holds {', '.join(n or 'one array' for n in arrays)}",
                       node=str(source), hint="an .npz with one array per input name")  # fmt: skip
    for name in model.inputs:
        a = arrays[name]
        if a.ndim == 0 or a.dtype.kind not in "biuf" or not np.isfinite(a).all():
            raise BadInput(f"the array for input {name!r} is not samples of finite numbers", node=str(source),
                           hint="axis 0 is the sample; no NaN, no infinity")  # fmt: skip
    return {n: arrays[n] for n in model.inputs}


def read_labels(path: str) -> np.ndarray:
    """The array of a .npy file. Raises BadInput."""
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as e:
        raise BadInput(f"cannot be read as labels ({e})", node=path, hint="a .npy of class indices") from e


def check_output(target: Path | None, names: Sequence[str]) -> None:
    """Raises click.BadParameter where `target` cannot hold these outputs."""
    if target and (target.suffix not in (".npz", ".npy") or (target.suffix == ".npy" and len(names) > 1)):
        forms = "a .npz or .npy file" if len(names) == 1 else f"a .npz file, for {len(names)} outputs"
        raise click.BadParameter(f"{str(target)!r} is not the name of {forms}", param_hint="'--output'")


def write_arrays(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a .npz or .npy in one rename."""
    handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if target.suffix == ".npy":
                np.save(file, next(iter(arrays.values())))
            else:  # not np.savez: it cannot hold an array called "file"
                with zipfile.ZipFile(file, "w") as archive:
                    for name, array in arrays.items():
                        with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                            np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(scratch, 0o666 & ~umask)  # mkstemp's files are private
        os.replace(scratch, target)
    except BaseException:
        os.unlink(scratch)
        raise
