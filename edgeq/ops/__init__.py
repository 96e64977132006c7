"""Operators: one module each, found by being here. No list or template names them.

An operator module defines
  - an IntOp (numpy reference and validation), the definition of its integers,
  - the LayerOps that quantise to it,
  - import rules: functions decorated with @onnx_rule, named like the ONNX operator, whose signature is its schema,
  - Kernels: the C functions that can run it, with packing, scratch, cost and overlap,
  - cases(): nodes for the bit-exact tests.
Kernels for an instruction set are in a module beside it, named after both: conv2d_dsp. Modules whose name starts with an
underscore are shared helpers, not operators.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from edgeq.ir import IntOp
from edgeq.ops._base import Kernel, Rule

# Instruction sets that kernels are written for beside plain C: Helium, Armv7E-M and Armv8-M with DSP, Armv7-M, Armv6-M
ISAS = ("mve", "dsp", "v7m", "v6m")


@cache
def modules() -> dict[str, ModuleType]:
    """Operator name -> module, sorted by name."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in _names() if name.rpartition("_")[2] not in ISAS}


def _names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


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
    """The C functions that can run an operator, plain C first; empty where the result is only an alias."""
    variants = [f"{op_name}_{isa}" for isa in ISAS]
    found = [modules()[op_name], *(importlib.import_module(f"{__name__}.{name}") for name in _names() if name in variants)]
    return tuple(value() for module in found for value in vars(module).values()
                 if isinstance(value, type) and issubclass(value, Kernel) and value.__module__ == module.__name__
                 and not value.__name__.startswith("_"))  # fmt: skip
