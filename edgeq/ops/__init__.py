"""Operators: one module each, found by being here. No list or template names them.

An operator module defines
  - an IntOp (numpy reference and validation), the definition of its integers,
  - the LayerOps that quantise to it,
  - import rules: functions decorated with @onnx_rule, named like the ONNX operator, whose signature is its schema,
  - Kernels: the C functions that can run it, with packing, scratch, cost and overlap,
  - cases(): nodes for the bit-exact tests.
Modules whose name starts with an underscore are shared helpers, not operators.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from edgeq.ir import IntOp
from edgeq.ops._base import Kernel, Rule


@cache
def modules() -> dict[str, ModuleType]:
    """Operator name -> module, sorted by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


@cache
def rules() -> dict[str, Rule]:
    """ONNX operator type -> import rule."""
    found: dict[str, Rule] = {}
    for module in modules().values():
        for value in vars(module).values():
            if isinstance(value, Rule) and value.module == module.__name__:
                assert value.onnx_op not in found, f"two import rules for {value.onnx_op}"
                found[value.onnx_op] = value
    return dict(sorted(found.items()))


@cache
def int_ops() -> dict[str, type[IntOp]]:
    """Operator name -> its IntOp class."""
    found = {}
    for name, module in modules().items():
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, IntOp) and value.__module__ == module.__name__:
                assert value.name == name, f"{module.__name__} defines the operator {value.name!r}"
                found[name] = value
    return found


@cache
def kernels(op_name: str) -> tuple[Kernel, ...]:
    """The C functions that can run an operator, in order of definition; empty where the result is only an alias."""
    return tuple(value() for value in vars(modules()[op_name]).values()
                 if isinstance(value, type) and issubclass(value, Kernel) and value is not Kernel
                 and value.__module__ == modules()[op_name].__name__ and not value.__name__.startswith("_"))  # fmt: skip
