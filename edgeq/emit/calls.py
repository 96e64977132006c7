"""Calls of kernels as C: params structs, the constants they point to, and which inputs each call is passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeq.emit.c import c_type, initializer, numbers, wrapped
from edgeq.ir import Node
from edgeq.ops._base import Array, Kernel


class Constants:
    """Constant arrays under C names; equal ones are stored once. entries: what a template needs of each, in order."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.by_content: dict[tuple[str, bytes], str] = {}
        self.entries: list[dict[str, Any]] = []
        self.names: dict[int, str] = {}
        self.added = 0  # bytes

    def add(self, wanted: str, array: Array) -> None:
        key = (array.data.dtype.name, array.data.tobytes())
        if key not in self.by_content:
            name = f"{self.prefix}_{wanted}"
            self.by_content[key] = name
            self.entries.append({"name": name, "type": c_type(array.data), "size": array.data.size,
                                 "shape": array.data.shape, "text": numbers(array.data)})  # fmt: skip
            self.added += array.data.nbytes
        self.names[id(array)] = self.by_content[key]


@dataclass(frozen=True)
class CallText:
    """One call: `static const <params_type> <symbol> = {<init>};`, then function(&symbol, the node's inputs, ...)."""

    symbol: str
    params_type: str
    init: str
    function: str
    inputs: tuple[int, ...]
    scratch: bool


def call_texts(kernel: Kernel, node: Node, symbol: str, constants: Constants) -> list[CallText]:
    """The calls that run the node, their params under names that begin with `symbol`; adds their constants."""
    calls = kernel.calls(node)
    texts = []
    for number, call in enumerate(calls):
        name = symbol + (f"_{number}" if len(calls) > 1 else "")
        for field, array in _arrays_in(call.params):
            constants.add(f"{name}_{field}", array)
        init = wrapped(initializer(call.params, constants.names), 4)
        texts.append(CallText(name, kernel.params_type, init, kernel.function, call.inputs, kernel.uses_scratch))
    return texts


def _arrays_in(params: Mapping[str, Any]) -> list[tuple[str, Array]]:
    found = []
    for field, value in params.items():
        if isinstance(value, Array):
            found.append((field, value))
        elif isinstance(value, dict):
            found += _arrays_in(value)
    return found
