"""Every operator's kernels against its numpy reference, bit for bit; and the set of operators is complete."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgeq import ops
from edgeq.ops._cases import limit_linear
from edgeq.ops._dsp import joins
from edgeq.resources import KERNELS, ROOT
from tests import kernel_harness as harness

WITH_KERNELS = [op for op in ops.modules() if ops.kernels(op)]
COMMANDS = {
    "sanitized": harness.SANITIZED,
    "clang": ("clang", "-O2", *harness.WARNINGS),
    "fastest": ("gcc", "-O3", "-march=native", *harness.WARNINGS),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("op", WITH_KERNELS)
def test_kernels_equal_reference(op: str, command: tuple[str, ...], tmp_path: Path) -> None:
    table = harness.runs(op)
    output, failure = harness.execute(harness.build(tmp_path, harness.write(tmp_path, table), command), table)
    assert failure is None, failure
    assert (difference := harness.compare(table, output)) is None, difference


def test_two_channels_are_joined_up_to_24_bits() -> None:
    weight, bias, shift, _, _ = limit_linear((8, 6), 2**23)
    assert joins(weight, bias, shift)
    one, highest, lowest = np.eye(8, dtype=int), [2, 6, 7], [1, 4, 5]  # 0 and 3 have no weights
    assert all(joins(weight, bias + 1000 * one[k], shift + one[k]) for k in (0, 3))
    assert not any(joins(weight, bias + one[k], shift) for k in highest)
    assert not any(joins(weight, bias - one[k], shift) for k in lowest)
    assert not any(joins(weight, bias, np.maximum(shift, 24 * one[k])) for k in (*highest, *lowest))
    small = np.array([[1, -128]], np.int8)
    assert not joins(small, bias[:1] * 0, shift[:1]) and joins(small + 1, bias[:1] * 0, shift[1:2])


def functions_in(text: str) -> list[str]:
    return re.findall(r"^EDGEQ_KERNEL \w+ (\w+)\(", text, re.M)


def test_each_kernel_function_belongs_to_a_class() -> None:
    defined = {name: f.name for f in sorted(KERNELS.glob("*.c")) for name in functions_in(f.read_text())}
    count = sum(len(functions_in(f.read_text())) for f in KERNELS.glob("*.c"))
    assert len(defined) == count, "a kernel function is defined twice"
    classes = {(k.function, k.source) for op in ops.modules() for k in ops.kernels(op)}
    assert classes == set(defined.items())


@pytest.mark.parametrize("op", ops.modules())
def test_operator_is_complete(op: str) -> None:
    assert op in ops.int_ops(), "no IntOp"
    kernels, header = ops.kernels(op), KERNELS / f"edgeq_{op}.h"
    cases = list(ops.modules()[op].cases())
    assert header.exists() == bool(kernels)
    assert bool(cases) == bool(kernels)
    for kernel in kernels:
        assert kernel.source.startswith(f"edgeq_{op}") and (KERNELS / kernel.source).is_file()
        declared = re.search(rf"^void {kernel.function}\(const (\w+) \*p, [^;]*;", header.read_text(), re.M)
        assert declared, f"{header.name} does not declare {kernel.function}"
        assert declared[1] == kernel.params_type
        assert any(kernel.supports(node) for node in cases), f"no case for {kernel.function}"
    if (spec := ROOT / "SPEC.md").exists():
        assert re.search(rf"^### {op}\b", spec.read_text(), re.M), f"SPEC.md has no section '### {op}'"


def test_every_case_has_a_portable_kernel() -> None:
    """Twins for an instruction set come beside plain C, never instead of it."""
    for op in WITH_KERNELS:
        for node in ops.modules()[op].cases():
            assert any(k.isa == "c" and k.supports(node) for k in ops.kernels(op)), f"{op} has no portable kernel"
