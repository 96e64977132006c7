"""The instruction counter of the benchmarks against numbers found by hand, on every emulated core."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.counting import Counts, count
from edgeq.device import Board, boards, compile_firmware, emulated, execute
from edgeq.errors import DeviceError
from edgeq.targets import target

each_board = pytest.mark.parametrize("board", emulated().values(), ids=emulated())

# assembler (r3: eight words of memory, r1 = 4, r2 = 2), instructions, model cycles; after a nop, which is not among them
ANYWHERE = [
    ("nop", 1, 1),
    ("muls r0, r1, r0; adds r0, #1", 2, 2),
    ("ldr r0, [r3]", 1, 2),
    ("ldr r0, [r3]; ldrb r0, [r3, #1]; ldrsh r0, [r3, r1]", 3, 4),
    ("ldr r0, [r3]; nop; ldrh r0, [r3]", 3, 5),
    ("str r1, [r3]; ldr r0, [r3, r1]; strb r1, [r3]; strh r1, [r3]", 4, 4),
    ("ldr r0, =0x12345678", 1, 2),
    ("push {r0, r1, r2}; pop {r0, r1, r2}", 2, 8),
    ("mov r0, r3; stm r0!, {r1, r2}; subs r0, #8; ldm r0!, {r1, r2}; movs r1, #4; movs r2, #2", 6, 10),
    ("b 1f; nop; 1:", 1, 3),
    ("cmp r1, r2; beq 1f; nop; 1:", 3, 3),
    ("cmp r1, r2; bne 1f; nop; 1:", 2, 4),
    ("bl 2f; b 3f; 2: bx lr; 3:", 3, 9),
    ("bl 2f; b 3f; 2: push {lr}; pop {pc}; 3:", 4, 3 + 2 + 5 + 3),
    ("movs r0, #100; 1: subs r0, #1; bne 1b", 201, 1 + 100 + 99 * 3 + 1),
    ("movs r0, #5; 1: ldr r1, [r3]; ldr r1, [r3]; subs r0, #1; bgt 1b; movs r1, #4", 22, 1 + 5 * 4 + 4 * 3 + 1 + 1),
]  # fmt: skip
ARMV7M = [
    ("ldrd r0, r2, [r3]; strd r0, r2, [r3], #8; ldrd r0, r2, [r3, #-8]!; movs r2, #2", 4, 10),
    ("stmdb sp!, {r4-r8}; ldmia sp!, {r4-r8}", 2, 12),
    ("ldmia.w r3, {r0, r8}; ldr r0, [r3]", 2, 5),
    ("udiv r0, r1, r2; sdiv r0, r1, r2", 2, 14),
    ("mla r0, r1, r2, r0; smull r0, r8, r1, r2; mls r0, r1, r2, r0", 3, 3),
    ("ldr.w r0, [r3, #4]; ldrsb.w r0, [r3, r1, lsl #1]; ldrsh r0, [r3], #2; ldrb.w r0, [r3, #-2]!", 4, 5),
    ("str.w r1, [r3, #4]; strb.w r1, [r3, r1]; str r1, [sp, #-4]!; ldr r1, [sp], #4", 4, 4),
    ("pld [r3]; ldr r0, [r3]", 2, 3),
    ("ldrex r0, [r3]; strex r0, r1, [r3]; ldrexb r0, [r3]", 3, 4),
    ("movs r0, #0; tbb [pc, r0]; .byte 1, 0; nop; 1:", 3, 5),
    ("cbz r1, 1f; cbnz r1, 1f; nop; 1:", 2, 4),
    ("cmp r1, r2; it eq; moveq r0, r1; ite ne; movne r0, r1; moveq r0, r2", 6, 6),
    ("adr r0, 1f; adds r0, #1; str r0, [r3]; nop; ldr pc, [r3]; nop; .align 2; 1:", 5, 4 + 5),
    ("beq.w 1f; bne.w 1f; nop; 1:", 2, 4),
]  # fmt: skip
DSP = [("smlad r0, r1, r2, r0; sxtb16 r0, r1; ssat r0, #8, r0, asr #3; smlabb r0, r1, r2, r0", 4, 4)]
ARMV8_1M = [
    ("mov r0, #10; dls lr, r0; 1: nop; le lr, 1b", 22, 2 + 10 + 9 * 3 + 1),
    ("mov r0, #100; mov r8, #0; dlstp.8 lr, r0; 1: vldrb.u8 q0, [r3]; vmladava.s8 r8, q0, q0; letp lr, 1b",
     3 + 7 * 3, 3 + 7 * 2 + 6 * 3 + 1),
]  # fmt: skip
KNOWN = {
    "cortex-m0": ANYWHERE,
    "cortex-m3": ANYWHERE + ARMV7M,
    "cortex-m4": ANYWHERE + ARMV7M + DSP,
    "cortex-m7": ANYWHERE + ARMV7M + DSP,
    "cortex-m33": ANYWHERE + ARMV7M + DSP,
    "cortex-m55": ANYWHERE + ARMV7M + DSP + ARMV8_1M,
}


def firmware(folder: Path, board: Board, body: str, before: str = "", core: str | None = None) -> Path:
    """An ELF whose main is `body`, after the functions `before`."""
    (folder / "main.c").write_text(f'#include "semihost.h"\n{before}\nint main(void) {{\n{body}\nreturn 0;\n}}\n')
    return compile_firmware(board, target(core or board.core), [folder / "main.c"], out=folder / "main.elf")


def counted(name: str, assembler: str) -> str:
    """A C function that counts a nop and the assembler. One each: GCC may put a literal pool, and a branch over it, into a
    long function."""
    arch = ".arch_extension mve; " if "vldrb" in assembler else ""
    return f"""__attribute__((noinline)) static void {name}(void) {{
        static uint32_t memory[8];
        register uint32_t *m __asm("r3") = memory;
        register uint32_t four __asm("r1") = 4, two __asm("r2") = 2;
        COUNT_BEGIN();
        __asm volatile(".syntax unified; {arch}nop; {assembler}"
                       : "+r"(m), "+r"(four), "+r"(two) : : "r0", "r4", "r5", "r6", "r8", "lr", "cc", "memory");
        COUNT_END();
    }}"""


@pytest.mark.parametrize("core", KNOWN)
def test_counts_equal_those_by_hand(core: str, tmp_path: Path) -> None:
    board = next(iter(emulated(core).values()))
    functions = "\n".join(counted(f"f{i}", assembler) for i, (assembler, _, _) in enumerate(KNOWN[core]))
    calls = "\n".join(f"f{i}();" for i in range(len(KNOWN[core])))
    _, counts = count(board, firmware(tmp_path, board, calls, functions, core))
    expected = [Counts(instructions + 1, cycles + 1) for _, instructions, cycles in KNOWN[core]]
    for (assembler, *_), got, want in zip(KNOWN[core], counts, expected, strict=True):
        assert got == want, assembler


LOOP = '__asm volatile(".syntax unified; 1: subs %0, %0, #1; bne 1b" : "+l"(n) : : "cc");'


@each_board
def test_a_long_loop_and_nested_regions(board: Board, tmp_path: Path) -> None:
    body = f"""uint32_t n = 1000000;
        __asm volatile("" : "+l"(n)); /* in a register before the region begins */
        COUNT_BEGIN(); COUNT_BEGIN(); {LOOP} COUNT_END(); semihost_write("", 1); COUNT_END();
        COUNT_BEGIN(); COUNT_END();"""
    output, counts = count(board, firmware(tmp_path, board, body))
    assert output == b"\0"
    assert counts[1] == Counts(2_000_000, 4_000_000 - 2)
    assert counts[0].instructions > 2_000_000
    assert counts[2] == Counts(0, 0)


def test_instructions_are_what_the_clock_of_icount_says(tmp_path: Path) -> None:
    """-icount shift=0: an instruction is 1 ns, a SysTick tick of the 25 MHz board 40 instructions."""
    board = boards()["mps2_an386"]
    body = f"""volatile uint32_t *systick = (volatile uint32_t *)0xE000E010;
        uint32_t n = 1000000;
        systick[1] = 0xFFFFFF; systick[2] = 0; systick[0] = 5;
        const uint32_t start = systick[2]; {LOOP}
        const uint32_t ticks = start - systick[2];
        semihost_write(&ticks, 3);"""
    done = execute(board, firmware(tmp_path, board, body), options=("-icount", "shift=0"))
    assert abs(int.from_bytes(done.output[:3], "little") - 2_000_000 / 40) <= 2


def test_counts_repeat(tmp_path: Path) -> None:
    board = boards()["mps2_an386"]
    elf = firmware(tmp_path, board, f"uint32_t n = 12345; COUNT_BEGIN(); {LOOP} COUNT_END();")
    assert count(board, elf) == count(board, elf)


def test_a_region_without_end_is_an_error(tmp_path: Path) -> None:
    board = boards()["mps2_an386"]
    with pytest.raises(DeviceError, match="did not end"):
        count(board, firmware(tmp_path, board, "COUNT_BEGIN();"))
    with pytest.raises(DeviceError, match="did not begin"):
        count(board, firmware(tmp_path, board, "COUNT_END();"))


def test_counts_do_not_depend_on_the_address(tmp_path: Path) -> None:
    """A loop over more than a page of code: QEMU translates what is near the end of a page differently."""
    board = boards()["mps2_an386"]
    for size in ("nop", "nop.w"):
        body = f'COUNT_BEGIN(); __asm volatile(".rept 2000; {size}; .endr"); COUNT_END();'
        assert count(board, firmware(tmp_path, board, body))[1] == [Counts(2000, 2000)]
