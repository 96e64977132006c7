"""The commands that make firmware and put it on boards. Thin, as those in cli.py."""

# ruff: noqa: PLC0415

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgeq.cli_flags import Named, ShapeType, by_name, folder_argument, json_flag

APPS = ("serial", "mlperf-tiny")  # edgeq.device.fit.PROGRAMS, whose import takes time
TASKS = ("ic01", "kws01", "vww01", "ad01")  # edgeq.emit.mlperf.TASKS
RUNNERS = ("pyocd", "openocd", "stlink", "jlink", "probe-rs", "picotool", "qemu")

board_option = click.option("--board", "name", metavar="NAME",
                            help="See `edgeq boards`. [default: what it was built for]")  # fmt: skip


@click.command(short_help="List the boards.")
@json_flag
def boards(as_json: bool) -> None:
    """List the boards: what they are, what QEMU emulates, what was tested.

    \b
    Example:
      edgeq boards --json
    """
    from edgeq import cli_show as show
    from edgeq import cli_show_boards as show_boards
    from edgeq.device import boards as known

    if as_json:
        show.print_json([show_boards.board_summary(b) for b in known().values()])
    else:
        show.show_rows([show_boards.board_row(b) for b in known().values()])


@click.command(short_help="On which boards a model fits.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calib", required=True, metavar="FILE|FOLDER|random", help="Typical inputs, as for `edgeq build`.")
@click.option("--shape", "shapes", multiple=True, type=ShapeType(), help="Fix the shape of an input, in ONNX order.")
@json_flag
def fit(model: Path, calib: str, shapes: tuple[Named, ...], as_json: bool) -> None:
    """Say for every board whether MODEL fits its flash and RAM, and what would be left: estimated, nothing is compiled.

    Where RAM is too small, --optimize ram is tried.

    \b
    Example:
      edgeq fit model.onnx --calib samples.npz
    """
    from edgeq import cli_show as show
    from edgeq import cli_show_boards as show_boards
    from edgeq.compile import fit as find

    with show.ProgressBars(verbose=False) as progress:
        found = find(model, calib, shapes=by_name(shapes, "--shape", ()), progress=progress)
    if as_json:
        show.print_json([show_boards.fit_summary(f) for f in found])
    else:
        show_boards.show_fit(found)


@click.command(short_help="Link a built model into firmware for a board.")
@folder_argument
@board_option
@click.option("--app", type=click.Choice(APPS), default="serial", show_default=True,
              help="What it does: serial for edgeq verify and profile, mlperf-tiny for that benchmark.")  # fmt: skip
@click.option("--mlperf-id", type=click.Choice(TASKS), help="The benchmark's task, for mlperf-tiny.")
@click.option("-o", "--output", "out", metavar="DIR", type=click.Path(path_type=Path),
              help="Folder to write. [default: DIR-BOARD]")  # fmt: skip
@json_flag
def firmware(folder: Path, name: str | None, app: str, mlperf_id: str | None, out: Path | None, as_json: bool) -> None:
    """Link what `edgeq build` wrote to DIR into firmware.elf, .hex and .bin, and say what it takes of the board.

    \b
    Examples:
      edgeq firmware model/ --board nucleo_l4r5zi
      edgeq firmware ic/ --board nucleo_l4r5zi --app mlperf-tiny --mlperf-id ic01
    """
    from edgeq import cli_show as show
    from edgeq import cli_show_boards as show_boards
    from edgeq.device.image import build_firmware, built_for

    made = build_firmware(folder, built_for(folder, name), app, out, mlperf_id)
    if as_json:
        show.print_json({**made.record, "files": {kind: str(file) for kind, file in made.files.items()}})
    else:
        show_boards.show_firmware(made)


@click.command(short_help="Put firmware on a board.")
@folder_argument
@board_option
@click.option("--runner", type=click.Choice(RUNNERS), help="What does it. [default: the first that is installed]")
@click.option("--dry-run", is_flag=True, help="Link the firmware, and print the commands instead of running them.")
@json_flag
def flash(folder: Path, name: str | None, runner: str | None, dry_run: bool, as_json: bool) -> None:
    """Put the firmware of DIR on a board: as `edgeq firmware` last linked it, or with the serial program.

    \b
    Examples:
      edgeq flash model/ --board nucleo_l4r5zi
      edgeq flash model/ --board microbit --runner pyocd --dry-run
      edgeq flash model/ --board mps2_an386 --runner qemu
    """
    from edgeq import cli_show as show
    from edgeq.device import flash as flashing
    from edgeq.device.image import built_for

    board = built_for(folder, name)
    chosen = flashing.choose(board, runner, installed=not dry_run)
    where = flashing.ready(folder, board)
    commands, stdin = flashing.commands(chosen, board, where)
    if not dry_run:
        flashing.run(chosen, board, where)
    if as_json:
        show.print_json(
            {"board": board.name, "firmware": str(where), "commands": commands, "stdin": stdin, "done": not dry_run}
        )
    elif dry_run:
        for command in commands:
            print(shlex.join(command) + (f" <<< {shlex.quote(stdin)}" if stdin else ""))
