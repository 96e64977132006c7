"""The operators' cases are good enough: defects seeded into the kernels' C, one at a time, do not survive them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeq import ops
from edgeq.emit.emit import runtime_files
from edgeq.resources import KERNELS
from tests import kernel_harness as harness

PER_FILE = int(os.environ.get("EDGEQ_MUTANTS", "12"))  # how many of each file's mutants are tried, the same ones each time
COMPILE = ("gcc", "-std=c99", "-O0", "-w", *(flag for flags in harness.HOST_FLAGS.values() for flag in flags))
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

SWAPS = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ", " && ": " || ",
    " || ": " && ", " + ": " - ", " - ": " + ", " * ": " + ", " += ": " -= ", " -= ": " += ", " >> ": " >> 1 >> ",
    " << ": " << 1 << ", "->lo": "->hi", "->hi": "->lo", "continue;": "break;", "-128": "-127", "127": "126",
}  # fmt: skip
PATTERNS = [
    *((re.escape(a) + (r"\b" if a[-1].isalnum() else ""), b) for a, b in SWAPS.items()),
    (r"(?<![\w.])0(?![\w.])", "1"),
    (r"(?<![\w.\-])1(?![\w.])", "2"),
    (r"\b[pw]->(?!lo\b|hi\b)\w+(?![\w\[.(])", r"(\g<0> + 1)"),
]

# (file, part of the mutated line) -> why no input can tell it from the original
FULL_BLOCK = "a block of exactly BLOCK channels is n = BLOCK either way"
EMPTY_BLOCK = "one more block, of no channels"
SAME_VALUE = "both branches give the same value where the two are equal"
SLOWER = "the general path, only slower"
NO_MORE = "one more round, of nothing"
EQUIVALENT = {
    ("edgeq_avg_pool_mve.c", "c0 <= channels;"): EMPTY_BLOCK,
    ("edgeq_depthwise_conv2d_mve.c", "for (; count >= 0;"): NO_MORE,
    ("edgeq_concat_mve.c", "if (out == in && "): "bytes copied to themselves",
    ("edgeq_depthwise_conv2d_v6m.c", "left >= 0; left -="): "the last pixel again",
    ("edgeq_avg_pool_v6m.c", "in_one = x.count == (w->in_w + 1)"): SLOWER,
    ("edgeq_avg_pool_v6m.c", "(w->dilation_h + 1) == 1;"): SLOWER,
    ("edgeq_conv2d_v6m.c", "whole = at->inside && (w->dilation_w + 1) == 1;"): SLOWER,
    ("edgeq_conv2d_v6m.c", "left >= 0; left -="): "the last pixel again",
    ("edgeq_conv2d_v6m.c", "x[2 * n + 1] = 1;"): "the weight there is 0",
    ("edgeq_depthwise_conv2d_v6m.c", "(uintptr_t)scratch + align - 2"): "memory is aligned to 8 here",
    ("edgeq_v6m.h", "return a <= b ?"): SAME_VALUE,
    ("edgeq_conv2d_mve.c", "ox <= w->out_w;"): EMPTY_BLOCK,
    ("edgeq_conv2d_mve.c", "ox < (w->out_w + 1);"): EMPTY_BLOCK,
    ("edgeq_conv2d_mve.c", "v <= 0 ? 0"): SAME_VALUE,
    ("edgeq_conv2d_mve.c", "v < 1 ? 0"): SAME_VALUE,
    ("edgeq_conv2d_mve.c", "v <= most ?"): SAME_VALUE,
    ("edgeq_conv2d_mve.c", "left = n * c; left >= 0;"): NO_MORE,
    ("edgeq_depthwise_conv2d_mve.c", "c0 <= lanes;"): EMPTY_BLOCK,
    ("edgeq_depthwise_conv2d_mve.c", "c0 <= p->out_c;"): EMPTY_BLOCK,
    ("edgeq_depthwise_conv2d_mve.c", "c0 < (p->out_c + 1);"): EMPTY_BLOCK,
    ("edgeq_depthwise_conv2d_mve.c", "lanes - c0 <= DEPTHWISE_MVE_LANES ?"): FULL_BLOCK,
    ("edgeq_depthwise_conv2d_mve.c", "count <= pixels ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_mve.c", "p->nine && (p->pixels + 1) == 1"): SLOWER,
    ("edgeq_depthwise_conv2d_mve.c", "p->nine && count > pixels"): SLOWER,
    ("edgeq_depthwise_conv2d_mve.c", "if (oy > p->inner[0]"): SLOWER,
    ("edgeq_depthwise_conv2d_mve.c", "oy >= p->inner[1] &&"): SLOWER,
    ("edgeq_depthwise_conv2d_mve.c", "oy < p->inner[2])"): SLOWER,
    ("edgeq_depthwise_conv2d_mve.c", "nine[groups[1] == 3]"): "what fits by threes fits in smaller groups",
    ("edgeq_depthwise_conv2d_mve.c", "p->requant, (p->groups + 1), channels, 1,"): "what fits by threes fits in smaller groups",
    ("edgeq_depthwise_conv2d_mve.c", "none = vdupq_n_s16(1)"): "all its lanes are overwritten",
    ("edgeq_max_pool_mve.c", "c0 <= channels;"): EMPTY_BLOCK,
    ("edgeq_prelu_mve.c", "(d > 0 ?"): "d is 0 there",
    ("edgeq_prelu_mve.c", "(d >= 1 ?"): "d is 0 there",
    ("edgeq_softmax_mve.c", "i <= n; i +="): NO_MORE,
    ("edgeq_mve.h", "for (int32_t i = 0; i <= n; i += EDGEQ_MVE_BYTES)"): NO_MORE,
    ("edgeq_v6m.h", "v >> 1 >> 31"): "the sign all the same",
    ("edgeq_v6m.h", "return start > 0"): SLOWER,
    ("edgeq_v6m.h", "start >= 1 &&"): SLOWER,
    ("edgeq_v6m.h", "(kernel + 1)"): SLOWER,
    ("edgeq_v6m.h", "inside = 2;"): SLOWER,
    ("edgeq_v6m.h", "(w->kernel_"): SLOWER,
    ("edgeq_v6m.h", "(w->dilation_h + 1), w->"): SLOWER,
    ("edgeq_v6m.h", "(w->dilation_w + 1), w->"): SLOWER,
    ("edgeq.h", "v >= hi ?"): SAME_VALUE,
    ("edgeq.h", "v <= lo ?"): SAME_VALUE,
    ("edgeq_avg_pool.c", "count -= at >= lo && at < hi;"): "only the product of two counts is used",
    ("edgeq_avg_pool.c", "c0 < (p->channels + 1);"): EMPTY_BLOCK,
    ("edgeq_avg_pool.c", "c0 <= p->channels;"): EMPTY_BLOCK,
    ("edgeq_avg_pool.c", "p->channels - c0 <= AVG_POOL_BLOCK ?"): FULL_BLOCK,
    ("edgeq_avg_pool_dsp.c", "n = left <= AVG_POOL_DSP_RUN ?"): FULL_BLOCK,
    ("edgeq_avg_pool_dsp.c", "left >= 0; left -="): EMPTY_BLOCK,
    ("edgeq_broadcast.h", "return 2;"): "any number but 0 is true",
    ("edgeq_depthwise_conv2d.c", "c0 <= out_c;"): EMPTY_BLOCK,
    ("edgeq_depthwise_conv2d.c", "out_c - c0 <= DEPTHWISE_BLOCK ?"): FULL_BLOCK,
    ("edgeq_depthwise_conv2d.c", "if ((p->multiplier + 1) == 1) {"): "the general path, only slower",
    ("edgeq_depthwise_conv2d.c", "((p->multiplier + 1) == 1 && n"): "the path for any length, only slower",
    ("edgeq_depthwise_conv2d_dsp.c", "oy <= w->out_h;"): "one more band, of no rows",
    ("edgeq_depthwise_conv2d_dsp.c", "oy < (w->out_h + 1);"): "one more band, of no rows",
    ("edgeq_depthwise_conv2d_dsp.c", "begin < 1 ? -begin"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_dsp.c", "begin <= 0 ? -begin"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_dsp.c", "return a <= b ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_dsp.c", "(p->strip + 1)"): "a column more, which the next strip computes again",
    ("edgeq_conv2d_dsp.c", "p->in_c, 1, x);"): "there is but one row",
    ("edgeq_conv2d_dsp.c", "row = {p->in_c, 1, 1, 0};"): "rows without rests",
    ("edgeq_conv2d_dsp.c", "to = {out, p->out_c, 1, 0};"): "sums are not in parts",
    ("edgeq_conv2d_dsp.c", "for (int32_t c = 1; c < p->in_c; c += 4)"): "channels are a multiple of 4",
    ("edgeq_conv2d_dsp.c", "uint32_t word = 1;"): "weights there are 0",
    ("edgeq_conv2d_dsp.c", "from = x >= 0 ? x"): SAME_VALUE,
    ("edgeq_conv2d_dsp.c", "x + taps <= w->in_w ?"): SAME_VALUE,
    ("edgeq_conv2d_dsp.c", "x + taps < (w->in_w + 1) ?"): SAME_VALUE,
    ("edgeq_conv2d_dsp.c", "left <= CONV2D_DSP_LANES ?"): SLOWER,
    ("edgeq_conv2d_dsp.c", "for (; n > 4; n -= 4)"): SLOWER,
    ("edgeq_conv2d_dsp.c", "row == 1 ? pixels"): SLOWER,
    ("edgeq_conv2d_dsp.c", "taps = (w->dilation_w + 1) == 1"): SLOWER,
    ("edgeq_conv2d_dsp.c", "inside_h = w->in_h - (w->kernel_h + 1) *"): SLOWER,
    ("edgeq_conv2d_dsp.c", "inside_h = w->in_h - ((w->kernel_h + 1) - 1) *"): SLOWER,
    ("edgeq_conv2d_dsp.c", "* (w->dilation_h + 1); /* rows"): SLOWER,
    ("edgeq_conv2d_dsp.c", "inside_w = (w->dilation_w + 1) == 1"): SLOWER,
    ("edgeq_conv2d_dsp.c", "w->in_w - (w->kernel_w + 1) + 1 : 0;"): SLOWER,
    ("edgeq_conv2d_dsp.c", "w->in_w - w->kernel_w - 1 : 0;"): SLOWER,
    ("edgeq_dsp.h", "while (end - out > 4) {"): SLOWER,
    ("edgeq_dsp.h", "(x >= y ? x : y)"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "oy <= w->out_h;"): "one more band, of no rows",
    ("edgeq_depthwise_conv2d_v7m.c", "oy < (w->out_h + 1);"): "one more band, of no rows",
    ("edgeq_conv2d_v7m.c", "conv2d_v7m_each(x, w, 2,"): "any number but 0 is true",
    ("edgeq_conv2d_v7m.c", "columns - j <= positions ?"): SAME_VALUE,
    ("edgeq_conv2d_v7m.c", "left <= p->part ?"): SAME_VALUE,
    ("edgeq_conv2d_v7m.c", "left < (p->part + 1) ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "c = c0 <= last ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "w->in_w <= room ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "w->out_h - oy <= p->band ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "from = top >= 0 ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "(end <= w->in_h ?"): SAME_VALUE,
    ("edgeq_depthwise_conv2d_v7m.c", "(end < (w->in_h + 1) ?"): SAME_VALUE,
    ("edgeq_conv2d_v7m.c", "int inside = 2;"): SLOWER,
    ("edgeq_fully_connected_v7m.c", "(o <= last ?"): SAME_VALUE,
    ("edgeq_v7m.h", "if (lo >= -128 ||"): "a clamp to the same bounds again",
    ("edgeq_v7m.h", "hi <= 127) {"): "a clamp to the same bounds again",
    ("edgeq_v7m.h", "above >> 1 >> 31"): "the same sign",
    ("edgeq_v7m.h", "below >> 1 >> 31"): "the same sign",
    ("edgeq_max_pool.c", "pixel[c] >= best[c] ?"): SAME_VALUE,
    ("edgeq_max_pool.c", "c0 < (p->channels + 1);"): EMPTY_BLOCK,
    ("edgeq_max_pool.c", "c0 <= p->channels;"): EMPTY_BLOCK,
    ("edgeq_max_pool.c", "p->channels - c0 <= MAX_POOL_BLOCK ?"): FULL_BLOCK,
    ("edgeq_prelu.c", "(d > 0 ?"): "d is 0 there",
    ("edgeq_prelu.c", "(d >= 1 ?"): "d is 0 there",
    ("edgeq_softmax.c", "in[i] >= max ?"): SAME_VALUE,
    ("edgeq_softmax.c", "(quotient >> 8) + 128"): "the same int8",
    ("edgeq_softmax.c", "rest >> 1 >> 31"): "the sign all the same",
}


@dataclass(frozen=True)
class Mutant:
    """A file's text with one defect in `line`."""

    file: str
    number: int
    line: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.line.strip()}"


def code(text: str) -> str:
    """The text with all blanked that is no statement here: comments, preprocessor lines, types, declarations, Arm's."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())  # noqa: E731
    arm = r"(?m)^#if (?:EDGEQ_\w+_ASM|defined\(__ARM).*?^#else"  # the twin in C is what runs here
    for pattern in (arm, r"/\*.*?\*/", r"typedef struct \{.*?\} \w+;", r"enum \{.*?\};", r"(?m)^\S.*$"):
        text = re.sub(pattern, blank, text, flags=re.S if "\\*" in pattern or "{" in pattern or "#" in pattern else 0)
    return text


def mutants(file: str) -> Iterator[Mutant]:
    text = (KERNELS / file).read_text()
    for pattern, replacement in PATTERNS:
        for m in re.finditer(pattern, code(text)):
            changed = text[: m.start()] + m.expand(replacement) + text[m.end() :]
            number = text[: m.start()].count("\n")
            yield Mutant(file, number + 1, changed.splitlines()[number], changed)


def chosen(file: str) -> list[Mutant]:
    """The same few for as long as their lines stay as they are."""
    order = sorted(mutants(file), key=lambda m: hashlib.sha256(f"{m.file} {m.line.strip()}".encode()).digest())
    return order[:PER_FILE]


def excused(mutant: Mutant) -> list[tuple[str, str]]:
    """The entries of EQUIVALENT that it is."""
    return [(file, part) for file, part in EQUIVALENT if file == mutant.file and part in mutant.line]


FILES = sorted(f for f in runtime_files([k.source for op in ops.modules() for k in ops.kernels(op)]) if any(mutants(f)))


class Bench:
    """An operator's cases, compiled once; kernels are compiled and linked to them again and again."""

    def __init__(self, op: str, folder: Path):
        self.table, self.folder = harness.runs(op), folder
        folder.mkdir()
        self.kernels = [s for s in harness.write(folder, self.table) if s.startswith("edgeq_")]
        self.feed = harness.feed(self.table)
        for flags, suffix in (((), "o"), (SANITIZE, "san.o")):
            for source in ("cases", "kernel_host"):
                self._compile(*flags, "-c", f"{source}.c", "-o", f"{source}.{suffix}")
            assert not self._differs(suffix, *flags), f"{op} fails without any mutation"

    def _compile(self, *arguments: str) -> bool:
        return subprocess.run([*COMPILE, *arguments], cwd=self.folder, capture_output=True, check=False).returncode == 0

    def kills(self, mutant: Mutant) -> bool:
        original = (self.folder / mutant.file).read_text()
        (self.folder / mutant.file).write_text(mutant.text)
        try:
            return self._differs("o") or self._differs("san.o", *SANITIZE)
        finally:
            (self.folder / mutant.file).write_text(original)

    def _differs(self, suffix: str, *flags: str) -> bool:
        if not self._compile(*flags, *self.kernels, f"cases.{suffix}", f"kernel_host.{suffix}", "-o", "mutant"):
            return True  # no mutant: it is not C
        try:
            done = subprocess.run([self.folder / "mutant"], input=self.feed, capture_output=True, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0 or harness.compare(self.table, done.stdout) is not None


@pytest.mark.parametrize("file", FILES)
def test_cases_kill_mutants(file: str, tmp_path: Path) -> None:
    users = [op for op in ops.modules() if ops.kernels(op) and file in harness.kernel_files(harness.runs(op))]
    benches: dict[str, Bench] = {}
    survivors = []
    for mutant in chosen(file):
        if excused(mutant):
            continue
        for op in users:
            if op not in benches:
                benches[op] = Bench(op, tmp_path / op)
            if benches[op].kills(mutant):
                break
        else:
            survivors.append(str(mutant))
    shutil.rmtree(tmp_path)
    advice = "add a case to cases() that does or, where no input can, an entry to EQUIVALENT here"
    assert not survivors, "\n".join(["no case tells these from the original:", *survivors, advice])


def test_excuses_are_needed() -> None:
    used = {excuse for file in FILES for mutant in mutants(file) for excuse in excused(mutant)}
    assert used == set(EQUIVALENT)
