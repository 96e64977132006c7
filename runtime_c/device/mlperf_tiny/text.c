#include "text.h"

#include "port.h"

enum { DIGITS = 20, DECIMALS = 9 }; /* of 2^64; of a real number */

void text_put(const char *text) {
    while (*text != 0) {
        port_write((uint8_t)*text++);
    }
}

/* With a decimal point before the last `decimals` digits. */
static void put_decimal(uint64_t value, uint32_t decimals) {
    char text[DIGITS + 2];
    char *p = text + sizeof text;
    *--p = 0;
    for (uint32_t i = 0; i == 0 || i <= decimals || value != 0; i++) {
        if (i != 0 && i == decimals) {
            *--p = '.';
        }
        *--p = (char)('0' + value % 10);
        value /= 10;
    }
    text_put(p);
}

void text_unsigned(uint64_t value) {
    put_decimal(value, 0);
}

void text_hex(uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    port_write((uint8_t)digits[byte >> 4]);
    port_write((uint8_t)digits[byte & 15]);
}

void text_real(double value) {
    const double scaled = (value < 0 ? -value : value) * 1e9 + 0.5;
    if (value < 0) {
        text_put("-");
    }
    if (scaled < 18446744073709551615.0) {
        put_decimal((uint64_t)scaled, DECIMALS);
    } else {
        text_put(value != value ? "nan" : "inf");
    }
}
