"""What code can be generated for: a name, an instruction set, the compiler flags that go with it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeq.errors import BadInput

OPTIMIZE = ("speed", "size", "ram")


@dataclass(frozen=True)
class Target:
    """isa: the kernel instruction sets it can run, best first. flags: for arm-none-eabi-gcc; none on the host."""

    name: str
    description: str
    isa: tuple[str, ...]
    flags: tuple[str, ...] = ()
    align: int = 4  # of the arena, in bytes


def _cortex(core: str, text: str, isa: tuple[str, ...], *flags: str, align: int = 4) -> Target:
    return Target(f"cortex-{core}", text, isa, (f"-mcpu=cortex-{core}", "-mthumb", *flags), align)


TARGETS = {
    t.name: t
    for t in (
        Target("generic", "plain C99, any processor", ("c",)),
        Target("cortex-m", "one library for any Cortex-M", ("v6m", "c"), ("-mcpu=cortex-m0", "-mthumb")),
        _cortex("m0", "Armv6-M, no hardware divide", ("v6m", "c")),
        _cortex("m0plus", "Armv6-M, no hardware divide", ("v6m", "c")),
        _cortex("m3", "Armv7-M", ("v7m", "c")),
        _cortex("m4", "Armv7E-M with DSP", ("dsp", "v7m", "c")),
        _cortex("m7", "Armv7E-M with DSP, dual issue", ("dsp", "v7m", "c")),
        _cortex("m33", "Armv8-M Mainline with DSP", ("dsp", "v7m", "c")),
        _cortex("m55", "Armv8.1-M with Helium", ("mve", "dsp", "v7m", "c"), "-mfloat-abi=hard", align=16),
        Target(
            "cortex-m85",
            "Armv8.1-M with Helium",
            ("mve", "dsp", "v7m", "c"),
            ("-march=armv8.1-m.main+mve", "-mthumb", "-mfloat-abi=hard"),
            16,
        ),  # gcc 12 does not know the core
    )
}


def target(name: str) -> Target:
    """The target of that name. Raises BadInput listing the names."""
    if name not in TARGETS:
        raise BadInput(f"unknown target {name!r}", node="--target", hint=f"one of {', '.join(TARGETS)}")
    return TARGETS[name]
