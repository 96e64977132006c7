"""The performance gate's comparison, and what counts as flash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.firmware import CONSTANTS, TEXT, build_and_run
from benchmarks.gate import BASELINE, CORES, OWN, compare

OLD = {"a core": {"instructions": 100_000, "flash": 10_000, "arena": 1000}}


def changed(what: str, factor: float) -> dict[str, dict[str, int]]:
    """OLD with one number multiplied."""
    return {"a core": {**OLD["a core"], what: round(OLD["a core"][what] * factor)}}


@pytest.mark.parametrize("what", OLD["a core"])
def test_more_than_one_per_cent_worse_fails(what: str) -> None:
    assert compare(OLD, OLD) == ([], [])
    assert compare(OLD, changed(what, 1.009)) == ([], [])
    assert compare(OLD, changed(what, 0.995)) == ([], [])
    (worse,), better = compare(OLD, changed(what, 1.011))
    assert worse.startswith(f"a core: {what} ") and "(+1.10 %)" in worse and better == []
    worse_now, (better_now,) = compare(OLD, changed(what, 0.98))
    assert worse_now == [] and f"{what} " in better_now and "(-2.00 %)" in better_now


def test_a_missing_or_extra_row_fails() -> None:
    more = {**OLD, "b core": OLD["a core"]}
    assert compare(more, OLD) == (["b core: not measured"], [])
    assert compare(OLD, more) == (["b core: not in the baseline"], [])
    less = {"a core": {"instructions": 1, "flash": 1}}
    assert len(compare(OLD, less)[0]) == len(compare(less, OLD)[0]) == 1


def test_the_baseline_has_a_row_for_each_model_and_core() -> None:
    stored = json.loads(BASELINE.read_text())
    models = {OWN, "ic", "kws", "vww", "ad", "sww"}
    assert set(stored["rows"]) == {f"{model} {core}" for model in models for core in CORES}
    assert stored["compiler"].startswith("arm-none-eabi-gcc")


@pytest.mark.parametrize("core", CORES)
def test_flash_is_all_but_the_harness(core: str, tmp_path: Path) -> None:
    """Code and constants by source, with the library's members that a source needs; nothing of main.c and start-up."""
    lines = "static char b[64]; char *a(int n) { memcpy(b, table + n, (size_t)n); return b; }"
    (tmp_path / "a.c").write_text(f"#include <string.h>\nconst char table[1000] = {{1}}; int start = 5;\n{lines}\n")
    main = """#include "semihost.h"
        static const char unseen[500] = {1, 2};
        char *a(int n);
        extern int start;
        int main(void) {
            COUNT_BEGIN(); char *b = a(start); COUNT_END();
            semihost_write(unseen, sizeof unseen);
            return b[0];
        }"""
    (tmp_path / "main.c").write_text(main)
    run = build_and_run(core, tmp_path.glob("*.c"), [], b"")
    assert run.sections["a.c", CONSTANTS] == 1004
    assert 8 <= run.sections["a.c", TEXT] <= 60
    (library,) = run.sections.keys() - {("a.c", TEXT), ("a.c", CONSTANTS)}
    assert "memcpy" in library[0]
    assert len(run.counts) == 1 and run.flash == sum(run.sections.values())
