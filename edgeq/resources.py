"""Where templates, C sources and boards are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
ROOT = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent
TEMPLATES = ROOT / "templates"
KERNELS = ROOT / "runtime_c" / "kernels"
BOARDS = ROOT / "boards"
HOST = ROOT / "runtime_c" / "host"  # what lets other machines compile code for instruction sets of Arm
DEVICE = ROOT / "runtime_c" / "device"
