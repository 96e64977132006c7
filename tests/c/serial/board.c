/* The device program of runtime_c/device/serial as a process of this machine: stdin and stdout are its serial line. It ends
 * when the line does. EDGEQ_FAULT in the environment is a fault that it finds recorded after a reset. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "device.h"
#include "port.h"

static uint8_t out[4096];
static size_t out_length;
static uint32_t now = 100;

static void flush(void) {
    for (size_t done = 0; done < out_length;) {
        const ssize_t written = write(1, out + done, out_length - done);
        if (written <= 0) {
            _exit(0);
        }
        done += (size_t)written;
    }
    out_length = 0;
}

void port_start(void) {
}

/* Waits, unlike a board's, so that an idle one takes no time of this machine. */
int32_t port_read(void) {
    static uint8_t in[4096];
    static ssize_t length, at;
    if (at == length) {
        flush();
        length = read(0, in, sizeof in);
        at = 0;
        if (length <= 0) {
            _exit(0);
        }
    }
    return in[at++];
}

void port_write(uint8_t byte) {
    out[out_length++] = byte;
    if (out_length == sizeof out) {
        flush();
    }
}

/* Each time between a restart and a look is one longer than the last, so that they can be told apart. */
uint32_t port_count(void) {
    return now;
}

void port_count_restart(void) {
    now++;
}

void port_wait(void) {
}

uint32_t device_stack_used(void) {
    return 1234;
}

/* As a core does: everything begins anew, the line stays. */
void device_reset(void) {
    flush();
    setenv("EDGEQ_WAS_RESET", "1", 1);
    execl("/proc/self/exe", "board", (char *)0);
    abort();
}

int device_take_fault(device_fault *to) {
    const char *const pc = getenv("EDGEQ_FAULT");
    if (pc == 0 || getenv("EDGEQ_WAS_RESET") == 0) {
        return 0;
    }
    *to = (device_fault){.exception = 3, .pc = (uint32_t)strtoul(pc, 0, 0), .cfsr = 0x10000};
    unsetenv("EDGEQ_FAULT");
    return 1;
}
