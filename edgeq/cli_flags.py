"""Flag values of the command line: what they look like, and what is said of those that do not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

Range = tuple[float, float]
Named = tuple[str | None, Any]  # name of an input, None where it was left out, and the value

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for machines.")
folder_argument = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


class NamedValue(click.ParamType):  # type: ignore[type-arg]
    """NAME=VALUE, or VALUE alone where `bare`. The last = separates: an ONNX name may hold one itself."""

    form = "VALUE"
    bare = True

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[NAME=]{self.form}" if self.bare else f"NAME={self.form}"

    def parse(self, text: str) -> Any:
        """The value. Raises ValueError where it has not the form."""
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):  # click may convert twice
            return value
        name, equals, text = value.rpartition("=")
        try:
            if not equals and not self.bare:
                raise ValueError
            if equals and not name:
                raise ValueError
            return (name or None), self.parse(text)
        except ValueError as e:
            self.fail(f"{value!r} is not of the form {self.get_metavar(None)}{f': {e}' if str(e) else ''}", param, ctx)  # type: ignore[arg-type]


class RangeType(NamedValue):
    """LO:HI, two finite numbers in order."""

    name, form = "range", "LO:HI"

    def parse(self, text: str) -> Range:
        parts = text.split(":")
        if len(parts) != 2:
            raise ValueError
        try:
            low, high = (float(p) for p in parts)
        except ValueError:
            raise ValueError("LO and HI are numbers") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("LO must be below HI, both finite")
        return low, high


class DtypeType(NamedValue):
    """int8 or uint8."""

    name, form = "dtype", "int8|uint8"

    def parse(self, text: str) -> str:
        if text not in ("int8", "uint8"):
            raise ValueError
        return text


class ShapeType(NamedValue):
    """Positive integers between commas."""

    name, form, bare = "shape", "1,3,32,32", False

    def parse(self, text: str) -> tuple[int, ...]:
        try:
            dims = tuple(int(p) for p in text.split(","))
        except ValueError:
            raise ValueError("dimensions are integers") from None
        if any(d < 1 for d in dims):
            raise ValueError("dimensions are at least 1")
        return dims


def by_name(values: Iterable[Named], flag: str, inputs: Iterable[str]) -> dict[str, Any]:
    """Input name -> value; a value without a name is that of the only input. Raises click.BadParameter."""
    names = list(inputs)
    found: dict[str, Any] = {}
    for name, value in values:
        if name is None and len(names) != 1:
            raise click.BadParameter(f"name the input: {flag} NAME=..., with NAME one of {', '.join(names)}",
                                     param_hint=f"'{flag}'")  # fmt: skip
        key = names[0] if name is None else name
        if key in found:
            raise click.BadParameter(f"input {key!r} is given twice", param_hint=f"'{flag}'")
        found[key] = value
    return found


def input_specs(path: Path, shapes: dict[str, Any], ranges: Iterable[Named], dtypes: Iterable[Named]) -> dict[str, Any]:
    """Input name -> InputSpec, from --input-range and --input-dtype. The model is only read where its names matter."""
    from edgeq.quantize import InputSpec  # noqa: PLC0415

    ranges, dtypes = list(ranges), list(dtypes)
    if not ranges and not dtypes:
        return {}
    names: list[str] = []
    if any(name is None for name, _ in [*ranges, *dtypes]):
        from edgeq.onnx_side.load import input_shapes, load_model  # noqa: PLC0415

        names = list(input_shapes(load_model(path, shapes)))
    lows, kinds = by_name(ranges, "--input-range", names), by_name(dtypes, "--input-dtype", names)
    return {n: InputSpec(lows.get(n), kinds.get(n, "int8")) for n in dict.fromkeys([*lows, *kinds])}
