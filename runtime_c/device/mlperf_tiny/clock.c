#include "clock.h"

#include "mlperf_task.h"
#include "port.h"

enum { MICROSECONDS = 1000000 };

uint64_t clock_now(void) {
    static uint32_t before, wraps;
    const uint32_t count = port_count();
    wraps += count < before;
    before = count;
    return (uint64_t)wraps << 32 | count;
}

uint64_t clock_us(uint64_t counts) {
    const uint32_t hz = mlperf_task.count_hz;
    return counts / hz * MICROSECONDS + counts % hz * MICROSECONDS / hz;
}
