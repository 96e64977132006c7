/* A QEMU TCG plugin (plugin API version 1, QEMU 4.2 to 8.2) that counts what a Cortex-M executes between marks:
 * instructions, exactly, and model cycles, by a cost table of the Cortex-M4 without wait states.
 *
 *   gcc -O2 -shared -fPIC count.c -o count.so
 *   qemu-system-arm ... -plugin ./count.so,out=counts.txt        (without -icount)
 *
 * Marks are instructions that do nothing and that compilers do not produce (COUNT_BEGIN and COUNT_END in
 * runtime_c/device/semihost.h): mov r9, r9 begins a region, mov r10, r10 ends the innermost one. The file gets a line
 * "region instructions cycles" when a region ends; regions are numbered from 0 in the order in which they begin.
 * Marks themselves are not counted, nor do they change what their neighbours cost.
 *
 * Model cycles:
 *   LDR and its kin 2, but 1 right after another single load or store; STR 1
 *   LDRD, STRD 3; LDM, STM, PUSH, POP 1 + registers
 *   UDIV, SDIV 7
 *   taken branch 3 (whatever execution goes on elsewhere after); LDR, LDM and POP into pc 3 more than otherwise
 *   everything else 1: multiplications, floating point, Helium, what an IT block skips (QEMU reports a skipped
 *   instruction as executed, and a skipped load costs what a load costs)
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- QEMU's plugin interface, as far as it is used */

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void translated_fn(plugin_id id, struct qemu_plugin_tb *block);
typedef void executed_fn(unsigned int cpu, void *data);
typedef void exit_fn(plugin_id id, void *data);
enum { NO_REGISTERS = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translated_fn *f);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed_fn *f, int registers, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, exit_fn *f, void *data);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

/* ---------------------------------------------------------------- what an instruction is */

typedef enum { PLAIN, LOAD, STORE, DOUBLE, MULTIPLE, DIVIDE, BEGIN, END } kind;

typedef struct {
    kind kind;
    unsigned registers; /* of MULTIPLE */
} instruction;

static instruction of(kind k) {
    return (instruction){k, 0};
}

static instruction multiple(unsigned list) {
    return (instruction){MULTIPLE, (unsigned)__builtin_popcount(list)};
}

/* 16-bit Thumb. */
static instruction narrow(unsigned h) {
    if (h == 0x46C9) { /* mov r9, r9 */
        return of(BEGIN);
    }
    if (h == 0x46D2) { /* mov r10, r10 */
        return of(END);
    }
    if (h >> 11 == 0x9) { /* LDR literal */
        return of(LOAD);
    }
    if (h >> 12 == 0x5) { /* register offset: STR STRH STRB LDRSB LDR LDRH LDRB LDRSH */
        return of((h >> 9 & 7) < 3 ? STORE : LOAD);
    }
    if (h >> 12 >= 0x6 && h >> 12 <= 0x9) { /* immediate offset */
        return of(h >> 11 & 1 ? LOAD : STORE);
    }
    if ((h & 0xF600) == 0xB400) { /* PUSH, POP */
        return multiple(h & 0x1FF);
    }
    if (h >> 12 == 0xC) { /* STM, LDM */
        return multiple(h & 0xFF);
    }
    return of(PLAIN);
}

/* LDRD, STRD; exclusives and acquire/release; table branches. */
static instruction dual_or_exclusive(unsigned h, unsigned second) {
    const bool indexed = h >> 8 & 1, writeback = h >> 5 & 1, load = h >> 4 & 1;
    if (indexed || writeback) {
        return of(DOUBLE);
    }
    if ((h & 0xFFF0) == 0xE8D0 && (second & 0xFFE0) == 0xF000) { /* TBB, TBH */
        return of(PLAIN);
    }
    return of(load ? LOAD : STORE);
}

/* 32-bit Thumb. */
static instruction wide(unsigned h, unsigned second) {
    if ((h & 0xFE40) == 0xE800) { /* LDM, STM, PUSH, POP */
        return multiple(second);
    }
    if ((h & 0xFE40) == 0xE840) {
        return dual_or_exclusive(h, second);
    }
    if ((h & 0xFE00) == 0xF800) { /* LDR, STR of any width */
        const bool load = h >> 4 & 1, word = (h >> 5 & 3) == 2, hint = second >> 12 == 15 && !word;
        return of(hint ? PLAIN : load ? LOAD : STORE); /* hint: PLD */
    }
    if ((h & 0xFFD0) == 0xFB90 && (second & 0xF0F0) == 0xF0F0) { /* SDIV, UDIV */
        return of(DIVIDE);
    }
    return of(PLAIN);
}

/* ---------------------------------------------------------------- counting */

/* An instruction in a callback's data pointer: address in the upper half; below, its length, kind and registers. */
static void *pack(uint32_t address, size_t length, instruction i) {
    return (void *)(uintptr_t)((uint64_t)address << 32 | (uint64_t)length << 16 | (uint64_t)i.registers << 8 | i.kind);
}

typedef struct {
    uint64_t instructions, cycles;
} counts;

typedef struct {
    unsigned number;
    counts before;
} region;

enum { DEEPEST = 16 };

static counts total;
static region open_regions[DEEPEST];
static unsigned depth, regions;
static FILE *out;

static kind last = PLAIN; /* the last instruction that was not a mark */
static uint32_t next_address;
static bool started;

static void fail(const char *why) {
    fprintf(stderr, "count.so: %s\n", why);
    exit(1);
}

static unsigned cost(kind k, unsigned registers) {
    switch (k) {
    case LOAD:
        return last == LOAD || last == STORE ? 1 : 2;
    case DOUBLE:
        return 3;
    case MULTIPLE:
        return 1 + registers;
    case DIVIDE:
        return 7;
    default:
        return 1;
    }
}

/* After the last instruction, execution went on elsewhere: it was a branch, or a load into pc. */
static void charge_branch(void) {
    total.cycles += last == LOAD || last == MULTIPLE ? 3 : 2;
}

static void begin(void) {
    if (depth == DEEPEST) {
        fail("regions nested too deeply");
    }
    open_regions[depth++] = (region){regions++, total};
}

static void end(void) {
    if (depth == 0) {
        fail("a region ends that did not begin");
    }
    const region *r = &open_regions[--depth];
    fprintf(out, "%u %" PRIu64 " %" PRIu64 "\n", r->number, total.instructions - r->before.instructions,
            total.cycles - r->before.cycles);
}

static void executed(unsigned int cpu, void *data) {
    (void)cpu;
    const uint64_t packed = (uint64_t)(uintptr_t)data;
    const uint32_t address = (uint32_t)(packed >> 32);
    const kind k = (kind)(packed & 0xFF);
    if (started && address != next_address) {
        charge_branch();
    }
    started = true;
    next_address = address + (uint32_t)(packed >> 16 & 0xFF);
    if (k == BEGIN) {
        begin();
    } else if (k == END) {
        end();
    } else {
        total.instructions++;
        total.cycles += cost(k, (unsigned)(packed >> 8 & 0xFF));
        last = k;
    }
}

/* The length is the encoding's: QEMU 7.2's qemu_plugin_insn_size is 2 bytes too large for the last instruction before a
 * page's last halfword, because its translator has looked at that halfword. */
static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint16_t halves[2] = {0, 0};
        memcpy(halves, qemu_plugin_insn_data(insn), sizeof halves[0]);
        const bool is_wide = halves[0] >> 11 >= 0x1D;
        if (is_wide) {
            memcpy(halves, qemu_plugin_insn_data(insn), sizeof halves);
        }
        const instruction what = is_wide ? wide(halves[0], halves[1]) : narrow(halves[0]);
        void *data = pack((uint32_t)qemu_plugin_insn_vaddr(insn), is_wide ? 4 : 2, what);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, NO_REGISTERS, data);
    }
}

static void finish(plugin_id id, void *data) {
    (void)id;
    (void)data;
    if (depth != 0) {
        fprintf(out, "open\n"); /* a region did not end */
    }
    fclose(out);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    _Static_assert(sizeof(void *) == 8, "the callback's data pointer carries 64 bits");
    if (argc == 1 && strncmp(argv[0], "out=", 4) == 0) {
        out = fopen(argv[0] + 4, "w");
    }
    if (out == NULL) {
        fprintf(stderr, "count.so: needs out=FILE\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
