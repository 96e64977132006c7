"""Why an Arm core faulted, from the registers that the device programs report."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edgeq.device.board import Region

# bits of CFSR and HFSR, by Armv7-M and Armv8-M Architecture Reference Manual
CFSR_BITS = {
    0: "instruction access violation", 1: "data access violation", 3: "fault on unstacking", 4: "fault on stacking",
    8: "bus error on an instruction", 9: "bus error", 10: "imprecise bus error", 11: "bus error on unstacking",
    12: "bus error on stacking", 13: "bus error on FP stacking", 16: "undefined instruction", 17: "invalid state",
    18: "invalid return", 19: "no coprocessor", 20: "stack limit", 24: "unaligned access", 25: "division by zero",
}  # fmt: skip
HFSR_BITS = {1: "vector table read", 31: "debug event"}


@dataclass(frozen=True)
class Fault:
    """device_fault of runtime_c/device/device.h."""

    exception: int = 0
    pc: int = 0
    lr: int = 0
    sp: int = 0
    exc_return: int = 0
    cfsr: int = 0
    hfsr: int = 0
    mmfar: int = 0
    bfar: int = 0

    def explain(self, ram: Region | None) -> str:
        """The reasons and the registers, in one line. ram: the board's, where it is known: it tells a stack overflow."""
        reasons = [text for value, bits in ((self.cfsr, CFSR_BITS), (self.hfsr, HFSR_BITS))
                   for bit, text in bits.items() if value >> bit & 1]  # fmt: skip
        if ram and not ram.origin <= self.sp < ram.origin + ram.size:
            reasons.insert(0, "stack overflow")
        registers = " ".join(f"{name}=0x{value:08x}" for name, value in asdict(self).items())
        return f"the core faulted ({', '.join(reasons) or 'no reason given'}): {registers}"
