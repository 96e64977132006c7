"""Commands that talk to a board: thin, as those in cli.py; cli_show_verify.py does the printing."""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeq.cli_flags import folder_argument, json_flag

SAMPLES, RUNS = 50, 5


def board_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which board, and where it is: the keyword arguments of edgeq.device.connect.connect."""
    options = (
        click.option("--port", metavar="PORT", help="Serial port or pyserial URL. [default: the one with the board's USB id]"),
        click.option("--board", metavar="NAME", help="Which board it is; see `edgeq boards`."),
        click.option("--emulate", "emulated", is_flag=True, help="Run the board in QEMU; --board says which."),
        click.option("--firmware", metavar="ELF", type=click.Path(path_type=Path, exists=True, dir_okay=False),
                     help="What --emulate runs. [default: built for it]"),
        click.option("--baud", type=click.IntRange(min=1), help="Rate of the port. [default: the board's, or 921600]"),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Prove that a board computes what this machine computes.")
@folder_argument
@board_options
@click.option("--data", metavar="FILE|FOLDER", help="Real inputs, as for --calib.")
@click.option("-n", "samples", type=click.IntRange(min=1), default=SAMPLES, show_default=True, help="How many of them.")
@json_flag
def verify(folder: Path, data: str | None, samples: int, as_json: bool, **where: Any) -> None:
    """Run the model in DIR on a board, and compare every output byte and the CRC of every layer with this machine's.

    It sends the lowest, the highest, alternating and random inputs, and then real ones. Where something differs, it names the
    first layer and element.

    \b
    Examples:
      edgeq verify model/ --board mps2_an386 --emulate
      edgeq verify model/ --board nucleo_f446re --data dev.npz -n 50
      edgeq verify model/ --port /dev/ttyACM0
    """
    from edgeq import cli_show_verify as show
    from edgeq.cli_show import ProgressBars, print_json
    from edgeq.device.connect import connect
    from edgeq.device.verify import inputs, verify

    with ProgressBars() as progress, connect(folder, **where) as board:
        feeds = inputs(board.model, data, samples)
        result = verify(board.link, board.model, feeds, lambda done, total: progress("verifying", done, total))
    if as_json:
        print_json(show.verified_summary(board, result))
    else:
        show.show_verified(board, result)


@click.command(short_help="Count what every layer takes on a board.")
@folder_argument
@board_options
@click.option(
    "--runs", type=click.IntRange(min=1, max=1000), default=RUNS, show_default=True, help="Of which the least counts."
)
@json_flag
def profile(folder: Path, runs: int, as_json: bool, **where: Any) -> None:
    """Run the model in DIR on a board and count every layer: cycles there, instructions with --emulate.

    The bars are also drawn into report.html of DIR.

    \b
    Examples:
      edgeq profile model/ --board mps2_an386 --emulate
      edgeq profile model/ --port /dev/ttyACM0 --json
    """
    from edgeq import cli_show_verify as show
    from edgeq.cli_show import ProgressBars, print_json
    from edgeq.device.connect import connect
    from edgeq.device.profile import profile
    from edgeq.report_profile import add_profile

    with ProgressBars() as progress, connect(folder, **where) as board:
        result = profile(board, runs=runs, progress=lambda done, total: progress("profiling", done, total))
    summary = show.profile_summary(board, result)
    page = add_profile(folder, summary)
    if as_json:
        print_json({**summary, "report": str(page)})
    else:
        show.show_profile(board, result, page)
