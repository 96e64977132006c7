#include "semihost.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20,
    MODE_RB = 1,
    MODE_WB = 5,
    APPLICATION_EXIT = 0x20026,
};

#define PAINT 0x5AC3A53CU
#define REGISTER(address) (*(const volatile uint32_t *)(address))

/* From the board's linker script. */
extern uint32_t stack_bottom[], stack_top[];

typedef struct {
    const char *name;
    uint32_t mode;
    uint32_t handle; /* plus 1; 0: not open yet */
} host_file;

static host_file input = {"input", MODE_RB, 0}, output = {"output", MODE_WB, 0};

static uint32_t call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* SYS_READ or SYS_WRITE; they return how many bytes were left. */
static uint32_t transfer(uint32_t operation, host_file *file, const void *data, uint32_t bytes) {
    if (file->handle == 0) {
        uint32_t length = 0;
        while (file->name[length] != 0) {
            length++;
        }
        const uint32_t request[] = {(uint32_t)file->name, file->mode, length};
        file->handle = call(SYS_OPEN, request) + 1;
        if (file->handle == 0) {
            semihost_print("cannot open ");
            semihost_print(file->name);
            semihost_print("\n");
            return 0;
        }
    }
    const uint32_t request[] = {file->handle - 1, (uint32_t)data, bytes};
    return bytes - call(operation, request);
}

uint32_t semihost_read(void *to, uint32_t bytes) {
    return transfer(SYS_READ, &input, to, bytes);
}

uint32_t semihost_write(const void *from, uint32_t bytes) {
    return transfer(SYS_WRITE, &output, from, bytes);
}

void semihost_print(const char *text) {
    (void)call(SYS_WRITE0, text);
}

void semihost_print_hex(uint32_t value) {
    char text[] = "0x00000000";
    for (int i = 9; i > 1; i--) {
        text[i] = "0123456789abcdef"[value & 15U];
        value >>= 4;
    }
    semihost_print(text);
}

static void print_field(const char *name, uint32_t value) {
    semihost_print(name);
    semihost_print_hex(value);
}

static void close_file(host_file *file) {
    if (file->handle != 0) {
        const uint32_t handle = file->handle - 1;
        (void)call(SYS_CLOSE, &handle);
    }
}

/* Ends at the caller's frame: a word of its own marks it. */
void semihost_paint_stack(void) {
    volatile uint32_t here = 0;
    for (volatile uint32_t *p = stack_bottom; p < &here; p++) {
        *p = PAINT;
    }
}

static uint32_t stack_used(void) {
    const uint32_t *p = stack_bottom;
    while (p < stack_top && *p == PAINT) {
        p++;
    }
    return (uint32_t)((const char *)stack_top - (const char *)p);
}

static void end(int status) {
    close_file(&input);
    close_file(&output);
    const uint32_t reason[] = {APPLICATION_EXIT, (uint32_t)status};
    (void)call(SYS_EXIT_EXTENDED, reason);
}

void semihost_exit(int status) {
    print_field("stack: ", stack_used());
    semihost_print("\n");
    if (*stack_bottom != PAINT) {
        semihost_print("stack overflow\n");
        status = FAULT_STATUS;
    }
    end(status);
    for (;;) {
    }
}

/* frame: r0-r3, r12, lr, pc, xpsr as the core stacked them; not read where it is outside the stack. */
__attribute__((used)) static void report(const uint32_t *frame, uint32_t exc_return) {
    uint32_t exception;
    __asm volatile("mrs %0, ipsr" : "=r"(exception));
    const int readable = frame >= stack_bottom && frame + 8 <= stack_top;
    print_field("fault: exception=", exception);
    print_field(" pc=", readable ? frame[6] : 0);
    print_field(" lr=", readable ? frame[5] : 0);
    print_field(" sp=", (uint32_t)frame);
    print_field(" exc_return=", exc_return);
    if ((REGISTER(0xE000ED00) >> 16 & 15U) == 15U) { /* CPUID: Armv6-M and Armv8-M Baseline have no such registers */
        print_field(" cfsr=", REGISTER(0xE000ED28));
        print_field(" hfsr=", REGISTER(0xE000ED2C));
        print_field(" mmfar=", REGISTER(0xE000ED34));
        print_field(" bfar=", REGISTER(0xE000ED38));
    }
    semihost_print("\n");
    end(FAULT_STATUS);
    for (;;) {
    }
}

/* The stack may be what faulted: the reporter has its own. */
__attribute__((naked)) void semihost_fault_vector(void) {
    __asm volatile("mov r0, sp\n"
                   "mov r1, lr\n"
                   "ldr r2, =fault_stack_top\n"
                   "mov sp, r2\n"
                   "ldr r2, =report\n"
                   "bx r2\n"
                   ".ltorg\n");
}
