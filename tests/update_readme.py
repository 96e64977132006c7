"""Writes the generated parts of README.md: python tests/update_readme.py"""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from edgeq.cli import cli

README = Path(__file__).parents[1] / "README.md"


def with_ops(text: str) -> str:
    """README's text with the operator table as the code has it."""
    table = CliRunner().invoke(cli, ["ops", "--markdown"]).output
    before, rest = text.split("<!-- ops -->")
    return f"{before}<!-- ops -->\n{table.strip()}\n<!-- /ops -->{rest.split('<!-- /ops -->')[1]}"


if __name__ == "__main__":
    README.write_text(with_ops(README.read_text(encoding="utf-8")), encoding="utf-8")
