#include "commands.h"

#include <stdbool.h>

#include "clock.h"
#include "device_model.h"
#include "mlperf_task.h"
#include "text.h"

enum { COMMAND_BYTES = 128, LINE_BYTES = 8, DEFAULT_WARMUPS = 10 };

static struct {
    char text[COMMAND_BYTES + 1]; /* the last byte stays 0 */
    uint32_t length;              /* above COMMAND_BYTES: too long */
} command;

static struct {
    uint32_t expected, loaded; /* bytes */
    bool inferred;             /* there are results of what was loaded */
} buffer;

/* ---------------------------------------------------------------- reading */

static bool equal(const char *a, const char *b) {
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The next word, or an empty one; cuts it out and moves `rest` behind it. */
static const char *word(char **rest) {
    char *start = *rest;
    while (*start == ' ') {
        start++;
    }
    char *end = start;
    while (*end != 0 && *end != ' ') {
        end++;
    }
    *rest = end;
    if (*end != 0) {
        *end = 0;
        *rest = end + 1;
    }
    return start;
}

/* A number up to 2^31 - 1, which a word that is empty leaves as it is. */
static bool number(const char *text, uint32_t *value) {
    uint64_t n = *text != 0 ? 0 : *value;
    for (; *text != 0; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        n = n * 10 + (uint32_t)(*text - '0');
        if (n > INT32_MAX) {
            return false;
        }
    }
    *value = (uint32_t)n;
    return true;
}

/* 0..15, or 16 where it is no hex digit. */
static uint32_t hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0');
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a' + 10) : 16;
}

/* ---------------------------------------------------------------- saying */

static void end_line(void) {
    text_put("\r\n");
    (void)clock_now(); /* long answers at a low rate take longer than the counter to wrap */
}

static void say(const char *before, const char *text, const char *after) {
    text_put(before);
    text_put(text);
    text_put(after);
    end_line();
}

static void say_number(const char *before, uint64_t value, const char *after) {
    text_put(before);
    text_unsigned(value);
    text_put(after);
    end_line();
}

static void say_error(const char *fact) {
    say("e-[", fact, "]");
}

static void say_time(uint64_t counts) {
    say_number("m-lap-us-", clock_us(counts), "");
}

/* ---------------------------------------------------------------- commands */

static void help(void) {
    static const char *const lines[] = {
        "name: the device",
        "profile: the interface, and the model that it runs",
        "timestamp: microseconds since the start",
        "db load N: announce an input of N bytes",
        "db HEX: its next bytes",
        "db print [N] [OFFSET]: N of its bytes, or all",
        "infer [N=1] [W=10]: N inferences, timed, after W that are not",
        "results: of the last inference",
    };
    for (uint32_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        say("", lines[i], "");
    }
}

static void profile(void) {
    say("m-profile-[", "ULPMark for tinyML Firmware V0.0.1", "]"); /* as the benchmark knows it */
    say("m-model-[", mlperf_task.id, "]");
}

static void results(void) {
    if (!buffer.inferred) {
        say_error("no results: infer first");
        return;
    }
    text_put("m-results-[");
    task_results();
    text_put("]");
    end_line();
}

static void load(char *rest) {
    uint32_t bytes = 0;
    buffer.expected = buffer.loaded = 0;
    buffer.inferred = false;
    if (!number(word(&rest), &bytes) || bytes == 0 || bytes > mlperf_task.received_bytes) {
        say_number("e-[db load takes 1 to ", mlperf_task.received_bytes, " bytes]");
        return;
    }
    buffer.expected = bytes;
    say_number("m-[Expecting ", bytes, " bytes]");
}

static void store(const char *hex) {
    uint32_t digits = 0;
    while (hex[digits] != 0 && hex_digit(hex[digits]) < 16) {
        digits++;
    }
    if (hex[digits] != 0 || digits % 2 != 0) {
        say_error("db takes pairs of hex digits");
    } else if (buffer.loaded == buffer.expected) {
        say_error("no more bytes expected: db load N first");
    } else {
        for (uint32_t i = 0; i < digits && buffer.loaded < buffer.expected; i += 2) {
            mlperf_task.received[buffer.loaded++] = (uint8_t)(hex_digit(hex[i]) << 4 | hex_digit(hex[i + 1]));
        }
        if (buffer.loaded == buffer.expected) {
            say("m-load-done", "", "");
        }
    }
}

static void print(char *rest) {
    uint32_t count = buffer.loaded, first = 0;
    if (!number(word(&rest), &count) || !number(word(&rest), &first)) {
        say_error("db print takes numbers");
        return;
    }
    const uint32_t left = first < buffer.loaded ? buffer.loaded - first : 0;
    if (count > left) {
        count = left;
    }
    for (uint32_t i = 0; i < count; i++) {
        text_put(i % LINE_BYTES == 0 ? "m-buffer-" : "-");
        text_hex(mlperf_task.received[first + i]);
        if (i % LINE_BYTES == LINE_BYTES - 1 || i == count - 1) {
            end_line();
        }
    }
}

static void db(char *rest) {
    const char *what = word(&rest);
    if (equal(what, "load")) {
        load(rest);
    } else if (equal(what, "print")) {
        print(rest);
    } else if (*what != 0) {
        store(what);
    } else {
        say_error("db load N, db HEX or db print");
    }
}

static void repeat(uint32_t times) {
    for (; times > 0; times--) {
        task_infer();
    }
}

/* The times are said after the second was taken: sending the first takes longer than some models do. */
static void infer(char *rest) {
    uint32_t times = 1, warmups = DEFAULT_WARMUPS;
    if (!number(word(&rest), &times) || times == 0 || !number(word(&rest), &warmups)) {
        say_error("infer N W: N above 0, W of 0 or above");
        return;
    }
    if (buffer.loaded != mlperf_task.received_bytes) {
        text_put("e-[");
        text_unsigned(buffer.loaded);
        say_number(" bytes loaded of ", mlperf_task.received_bytes, "]");
        return;
    }
    task_convert();
    say_number("m-warmup-start-", warmups, "");
    repeat(warmups);
    say("m-warmup-done", "", "");
    say_number("m-infer-start-", times, "");
    const uint64_t start = clock_now();
    repeat(times);
    const uint64_t end = clock_now();
    say_time(start);
    say_time(end);
    say("m-infer-done", "", "");
    buffer.inferred = true;
    results();
}

static void execute(char *text) {
    const char *name = word(&text);
    if (equal(name, "name")) {
        say("m-name-dut-[edgeq ", device_model.board, "]");
    } else if (equal(name, "timestamp")) {
        say_time(clock_now());
    } else if (equal(name, "profile")) {
        profile();
    } else if (equal(name, "help")) {
        help();
    } else if (equal(name, "db")) {
        db(text);
    } else if (equal(name, "infer")) {
        infer(text);
    } else if (equal(name, "results")) {
        results();
    } else if (*name != 0) { /* a lone '%' flushes what noise left: no error */
        say("e-[Unknown command: ", name, "]");
    }
}

static void ready(void) {
    say("m-ready", "", "");
}

void commands_start(const device_fault *fault) {
    if (fault != 0) {
        text_put("e-[reset after a fault at 0x");
        for (uint32_t shift = 32; shift != 0; shift -= 8) {
            text_hex((uint8_t)(fault->pc >> (shift - 8)));
        }
        say("]", "", "");
    }
    say("m-timestamp-mode-performance", "", "");
    say_time(clock_now());
    say("m-init-done", "", "");
    ready();
}

/* What is no printable ASCII is kept out: the runner decodes answers as UTF-8 and stops at what is none. */
void commands_take(uint8_t byte) {
    if (byte != '%') {
        if (command.length < COMMAND_BYTES) {
            command.text[command.length] = byte < ' ' ? ' ' : byte > '~' ? '?' : (char)byte;
        }
        command.length += command.length <= COMMAND_BYTES;
        return;
    }
    if (command.length > COMMAND_BYTES) {
        say_number("e-[command longer than ", COMMAND_BYTES, " bytes]");
    } else {
        command.text[command.length] = 0;
        execute(command.text);
    }
    command.length = 0;
    ready();
}
