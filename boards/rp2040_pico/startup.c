/* Start-up code of Raspberry Pi Pico (RP2040) (Cortex-M0+). Compiled and linked only; untested on hardware. */
#include "device.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset(void) __attribute__((noreturn));

/* The second stage of the boot: the ROM copies these 256 bytes to RAM, checks their sum and calls them. They let flash
 * appear at 0x10000000 by the read command (03h) that every flash chip knows, four cycles a bit, and go on at the vector
 * table behind them. RP2040 datasheet: "Bootrom, second stage", "SSI". */
__attribute__((naked, used, section(".boot2"))) static void boot2(void) {
    __asm volatile("ldr r0, =0x18000000\n" /* SSI */
                   "movs r1, #0\n"
                   "str r1, [r0, #0x08]\n" /* SSIENR: off */
                   "str r1, [r0, #0x04]\n" /* CTRLR1: a word at a time */
                   "movs r2, #4\n"
                   "str r2, [r0, #0x14]\n" /* BAUDR */
                   "ldr r2, =0x001F0300\n"
                   "str r2, [r0, #0x00]\n" /* CTRLR0: one lane, 32 bits of data, read as an EEPROM */
                   "ldr r2, =0x03000218\n"
                   "ldr r1, =0x180000F4\n"
                   "str r2, [r1]\n" /* SPI_CTRLR0: command 03h of 8 bits, address of 24 bits */
                   "movs r1, #1\n"
                   "str r1, [r0, #0x08]\n" /* SSIENR: on */
                   "ldr r0, =vectors\n"
                   "ldr r1, =0xE000ED08\n"
                   "str r0, [r1]\n" /* VTOR */
                   "ldm r0!, {r1, r2}\n"
                   "msr msp, r1\n"
                   "bx r2\n"
                   ".ltorg\n");
}

/* CRC-32 of the 252 bytes before: polynomial 0x04C11DB7, from 0xFFFFFFFF, bits in order, not inverted. A test computes it.
 * */
__attribute__((used, section(".boot2_sum"))) static const uint32_t boot2_sum = 0xA3499D99;

void reset(void) {
    for (uint32_t *to = data_start, *from = data_load; to < data_end; to++, from++) {
        *to = *from;
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    device_paint_stack();
    device_exit(main());
}

/* Of port.c, where that is linked; every exception else is a fault. */
__attribute__((weak)) void port_receive_interrupt(void);
__attribute__((weak)) void port_systick_interrupt(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void), (*exceptions[14])(void), (*interrupts[21])(void);
} vectors = {
    stack_top,
    reset,
    {
        device_fault_vector, /* NMI */
        device_fault_vector, /* HardFault */
        0, 0, 0, 0, 0, 0, 0,
        device_fault_vector, /* SVCall */
        0, 0,
        device_fault_vector, /* PendSV */
        port_systick_interrupt,
    },
    {
        [20] = port_receive_interrupt, /* UART0 */
    },
};
