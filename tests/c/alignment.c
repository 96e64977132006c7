/* A QEMU TCG plugin (plugin API version 1) that finds the accesses on which a real core faults and QEMU does not:
 *
 *   -plugin ./alignment.so,out=FILE[,strict=on]
 *
 * FILE gets a line "pc address bytes" for the first such access of each instruction. An address must be a multiple of the
 * access's size, of 4 for larger ones: in Armv6-M (strict) always; in Armv7-M and later in all but LDR, LDRH, LDRSH, STR and
 * STRH: Helium is what QEMU 7.2 does not check by itself. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void translated_fn(plugin_id id, struct qemu_plugin_tb *block);
typedef void accessed_fn(unsigned int cpu, uint32_t info, uint64_t address, void *data);
typedef void exit_fn(plugin_id id, void *data);
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
unsigned int qemu_plugin_mem_size_shift(uint32_t info);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translated_fn *f);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, accessed_fn *f, int registers, int which, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, exit_fn *f, void *data);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

enum { MOST = 64 };

static FILE *out;
static bool strict;
static uint64_t reported[MOST];
static int reports;

static void accessed(unsigned int cpu, uint32_t info, uint64_t address, void *data) {
    const uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info), pc = (uint64_t)(uintptr_t)data;
    (void)cpu;
    if (address % (bytes < 4 ? bytes : 4) == 0) {
        return;
    }
    for (int i = 0; i < reports; i++) {
        if (reported[i] == pc) {
            return;
        }
    }
    if (reports < MOST) {
        reported[reports++] = pc;
        fprintf(out, "%#" PRIx64 " %#" PRIx64 " %" PRIu64 "\n", pc, address, bytes);
    }
}

/* Whether Armv7-M lets the instruction access any address. */
static bool forgiving(const struct qemu_plugin_insn *insn) {
    uint16_t first;
    memcpy(&first, qemu_plugin_insn_data(insn), sizeof first);
    return first < 0xA000 || first >> 9 == 0x7C;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        if (strict || !forgiving(insn)) {
            void *pc = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, NO_REGISTERS, READS_AND_WRITES, pc);
        }
    }
}

static void finish(plugin_id id, void *data) {
    (void)id;
    (void)data;
    fclose(out);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        }
        strict |= strcmp(argv[i], "strict=on") == 0;
    }
    if (out == NULL) {
        fprintf(stderr, "alignment: out=FILE is missing or cannot be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
