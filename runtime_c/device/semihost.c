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

static __attribute__((noreturn)) void end(int status) {
    close_file(&input);
    close_file(&output);
    const uint32_t reason[] = {APPLICATION_EXIT, (uint32_t)status};
    (void)call(SYS_EXIT_EXTENDED, reason);
    for (;;) {
    }
}

void device_exit(int status) {
    const uint32_t used = device_stack_used();
    print_field("stack: ", used);
    semihost_print("\n");
    if (used > (uint32_t)stack_top - (uint32_t)stack_bottom) {
        semihost_print("stack overflow\n");
        status = FAULT_STATUS;
    }
    end(status);
}

void device_report(const device_fault *fault) {
    print_field("fault: exception=", fault->exception);
    print_field(" pc=", fault->pc);
    print_field(" lr=", fault->lr);
    print_field(" sp=", fault->sp);
    print_field(" exc_return=", fault->exc_return);
    print_field(" cfsr=", fault->cfsr);
    print_field(" hfsr=", fault->hfsr);
    print_field(" mmfar=", fault->mmfar);
    print_field(" bfar=", fault->bfar);
    semihost_print("\n");
    end(FAULT_STATUS);
}
