# The commands of this project; `make` alone lists them.
# PYTHON chooses the interpreter for .venv (3.10 or newer): make setup PYTHON=/usr/bin/python3

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
BENCHMARKS := models cores peers layers cmsis_nn tool host_speed

export PIP_NO_INPUT = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Debian packages, each with the test that says it is there. -m32: the 32-bit host tests of the generated C.
TOOLS := \
  gcc-arm-none-eabi       'command -v arm-none-eabi-gcc' \
  libnewlib-arm-none-eabi 'echo "\#include <stdint.h>" | arm-none-eabi-gcc -mcpu=cortex-m4 -specs=nano.specs -E -' \
  qemu-system-arm         'command -v qemu-system-arm' \
  g++                     'command -v g++' \
  clang                   'command -v clang' \
  libclang-rt-dev         'echo "int main(void){return 0;}" | clang -fsanitize=address,undefined -x c -o /dev/null -' \
  gcc-multilib            '[ $$(uname -m) != x86_64 ] || echo "int main(void){return 0;}" | gcc -m32 -x c -o /dev/null -'

.DEFAULT_GOAL := help
.PHONY: help setup venv tools demo test lint gate bench

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: venv tools ## everything: the Python environment in .venv, and the cross compilers and emulator

venv: $(STAMP) ## the Python environment only: enough for the demo and for compiling models

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "$(PYTHON) is older than Python 3.10")'
	@.ci/need python3-venv '$(PYTHON) -c "import ensurepip, venv"'
	@[ -x $(PY) ] || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing edgeq and its Python packages into $(VENV)"
	@$(PY) -m pip install --quiet --editable '.[test,lint]'
	@touch $@

tools: ## the cross compilers and the emulator only
	@.ci/need $(TOOLS)

demo: venv ## compile examples/digits to C in demo/, run it here, and check it
	@$(PY) examples/digits/demo.py

test: setup ## all tests, in parallel
	@$(PY) -m pytest -n auto --maxprocesses 8 --dist worksteal

lint: venv ## style, types, and who may import whom
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

gate: setup ## fails where models became slower or larger than benchmarks/baseline.json says
	@$(PY) benchmarks/gate.py

bench: setup ## the benchmarks; tables and JSON in benchmarks/results
	@set -e; for name in $(BENCHMARKS); do echo "== benchmarks/$$name.py"; $(PY) benchmarks/$$name.py; done
