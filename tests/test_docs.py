"""What README says is so: its table is the code's, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgeq
from tests.update_readme import README, with_ops

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_operator_table_is_the_codes():
    assert with_ops(TEXT) == TEXT, "python tests/update_readme.py"


def test_every_path_named_in_readme_exists():
    named = re.findall(r"\]\(([\w./]+)\)|`((?:edgeq|tests|runtime_c|templates|benchmarks|examples)/[\w./]*)`", TEXT)
    for path in (a or b for a, b in named):
        if "foo" not in path:
            assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """README's build command, run as written."""
    folder = tmp_path_factory.mktemp("readme")
    command = next(line for line in TEXT.splitlines() if line.startswith("edgeq build examples"))
    argv = command.replace("-o digits", f"-o {folder / 'digits'}").split()[1:]
    subprocess.run([sys.executable, "-m", "edgeq", *argv], cwd=ROOT, check=True, capture_output=True)
    return folder / "digits"


def test_files_of_the_table_are_the_files_of_the_folder(digits):
    table = TEXT.split("| file | what it is |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([\w.]+)`", table)) | {"digits_weights.h"}
    present = {p.name for p in digits.iterdir() if not p.name.startswith("edgeq")}
    assert present == {n for n in named if "." in n and not n.startswith(("edgeq_", "."))}


def test_c_example_compiles_alone_and_classifies(digits, tmp_path):
    (example,) = blocks("c")
    data = np.load(ROOT / "examples" / "digits" / "test.npz")
    model = edgeq.BuiltModel.open(digits)
    pixels = model.stored(data["image"][:100].astype(np.float32))["image"].reshape(100, -1)
    rows = ",".join("{" + ",".join(map(str, row)) + "}" for row in pixels)
    main = f"""#include <stdio.h>
    static const int8_t images[100][{pixels.shape[1]}] = {{{rows}}};
    int main(void) {{ for (int i = 0; i < 100; i++) printf("%d ", classify(images[i])); return 0; }}"""
    (tmp_path / "app.c").write_text(example + main)
    sources = [str(p) for p in sorted(digits.glob("*.c"))]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{digits}"]
    subprocess.run(["gcc", *flags, *sources, str(tmp_path / "app.c"), "-o", str(tmp_path / "app")], check=True)
    said = subprocess.run([str(tmp_path / "app")], capture_output=True, text=True, check=True).stdout.split()
    assert [int(s) for s in said] == model.run(pixels.reshape(100, 1, 8, 8)).argmax(1).tolist()
    assert np.mean([int(s) for s in said] == data["labels"][:100]) >= 0.95


def test_python_example_runs(tmp_path):
    (example,) = blocks("python")
    images = np.load(ROOT / "examples" / "digits" / "test.npz")["image"][:5].astype(np.float32)
    space = {"images": images}
    here = Path.cwd()
    try:
        os.chdir(ROOT)
        exec(example.replace('save("digits")', f"save({str(tmp_path / 'digits')!r})"), space)
    finally:
        os.chdir(here)
    assert (tmp_path / "digits" / "manifest.json").exists()


def test_demo_says_what_it_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "digits" / "demo.py"), str(tmp_path / "demo")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "bit for bit" in done.stdout and (tmp_path / "demo" / "report.html").exists()
    accuracy = [float(v) for v in re.findall(r"([\d.]+)%", done.stdout)]
    assert min(accuracy[:2]) > 97


def test_commands_for_an_emulated_board_run(tmp_path):
    """As written, in a folder of their own."""
    (shown,) = re.findall(r"```\n(edgeq build[^`]*--emulate[^`]*)```", TEXT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = ""
    for line in shown.splitlines():
        argv = line.replace("examples/", f"{ROOT}/examples/").split()[1:]
        command = [sys.executable, "-m", "edgeq", *argv]
        said += subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout
    assert "on 70 inputs" in said and "instructions; 5 runs, the same each time" in said
    assert "Measured on mps2_an386" in (tmp_path / "digits" / "report.html").read_text()


STUBS = {
    "FreeRTOS.h": """#include <stddef.h>
        #include <stdint.h>
        typedef uint32_t StackType_t, TickType_t, UBaseType_t;
        typedef long BaseType_t;
        #define portMAX_DELAY 0xFFFFFFFFu
        #define configMINIMAL_STACK_SIZE 128
        #define tskIDLE_PRIORITY 0""",
    "queue.h": """typedef struct queue *QueueHandle_t;
        QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t size);
        BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t wait);
        BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t wait);""",
    "task.h": """BaseType_t xTaskCreate(void (*code)(void *), const char *name, uint32_t depth, void *argument,
                               UBaseType_t priority, void *handle);""",
    "zephyr/kernel.h": """#include <stddef.h>
        #include <stdint.h>
        #define ARG_UNUSED(x) (void)(x)
        #define __aligned(x) __attribute__((aligned(x)))
        #define K_FOREVER 0
        struct k_msgq { int x; };
        int k_msgq_get(struct k_msgq *q, void *data, int timeout);
        int k_msgq_put(struct k_msgq *q, const void *data, int timeout);
        #define K_MSGQ_DEFINE(name, size, count, align) static char name##_buffer[(size) * (count)]; \\
            struct k_msgq name = {sizeof name##_buffer}
        #define K_THREAD_DEFINE(name, stack, entry, a, b, c, priority, options, delay) \\
            void (*const name)(void *, void *, void *) = entry""",
}


def test_examples_for_firmware_compile(digits, tmp_path):
    text = (ROOT / "docs" / "integrate.md").read_text(encoding="utf-8")
    examples = re.findall(r"```c\n(.*?)```", text, re.S)
    assert len(examples) == 4
    for name, stub in STUBS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(stub + "\n")
    for i, example in enumerate(examples):
        (tmp_path / f"{i}.c").write_text(example)
        subprocess.run(["gcc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-DEDGEQ_HOOKS", f"-I{tmp_path}", f"-I{digits}",
                        "-fsyntax-only", str(tmp_path / f"{i}.c")], check=True)  # fmt: skip
    for path in re.findall(r"\]\(([\w./]+)\)", text):
        assert (ROOT / "docs" / path).exists(), path
