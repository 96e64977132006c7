"""The command line. Commands are thin: they read flags, call the library and print; cli_show.py does the printing.

Imports that take time are made inside the commands, so that `edgeq --help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edgeq._version import __version__
from edgeq.cli_boards import boards, firmware, flash
from edgeq.cli_flags import DtypeType, Named, RangeType, ShapeType, by_name, folder_argument, input_specs, json_flag
from edgeq.cli_verify import profile, verify
from edgeq.errors import EdgeqError
from edgeq.targets import OPTIMIZE, TARGETS

METHODS = ("mse", "minmax", "percentile", "kl")  # edgeq.quantize.METHODS, whose import takes time
NO_CALIB = """no calibration data. Pass typical inputs of the model, 100 or so:
  --calib FILE.npz     one array per input name, axis 0 is the sample
  --calib FILE.npy     for a model with one input
  --calib FOLDER       of .npy files named after the inputs
  --calib random       made-up numbers: sizes are right, accuracy is not"""
RANDOM_WARNING = """WARNING: --calib random: ranges come from made-up numbers, so the network will be INACCURATE.
WARNING: Flash, RAM and speed are right. Calibrate with real inputs before using the result."""
INTERNAL, INTERRUPTED, BROKEN_PIPE = 3, 130, 141  # exit codes, beside 0, 1 for an EdgeqError and 2 for wrong usage

shape_option = click.option("--shape", "shapes", multiple=True, type=ShapeType(),
                            help="Fix the shape of an input, in ONNX order.")  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgeq")
def cli() -> None:
    """Neural networks on microcontrollers: ONNX in, integer-only C out, the same bits everywhere.

    \b
    Example:
      edgeq build model.onnx --calib samples.npz --target cortex-m4 -o model/
    """


@cli.command(short_help="Compile a model to C and prove it.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calib", metavar="FILE|FOLDER|random", help="Typical inputs: .npz, .npy or a folder of .npy.")
@click.option("-o", "--output", "folder", metavar="DIR", type=click.Path(path_type=Path),
              help="Folder to write; replaced if it is an earlier build. [default: ./NAME]")  # fmt: skip
@click.option("--target", type=click.Choice(list(TARGETS)),
              help="What the C is for; see `edgeq targets`. [default: the board's, or generic]")  # fmt: skip
@click.option("--board", metavar="NAME", help="The board it must fit; see `edgeq boards`.")
@click.option("--name", help="Prefix of all C names. [default: the model file's]")
@click.option("--method", type=click.Choice(METHODS), default="mse", show_default=True,
              help="How activation ranges are chosen.")  # fmt: skip
@click.option("--input-range", "ranges", multiple=True, type=RangeType(), help="Declare the range of an input.")
@click.option("--input-dtype", "dtypes", multiple=True, type=DtypeType(), help="Declare how an input is stored.")
@shape_option
@click.option("--io-layout", type=click.Choice(["channels_last", "onnx"]), default="channels_last", show_default=True,
              help="Memory order of inputs and outputs.")  # fmt: skip
@click.option("--optimize", type=click.Choice(OPTIMIZE), default="speed", show_default=True,
              help="size: the kernels that take least flash, loops not unrolled; compile with -Os.")  # fmt: skip
@click.option("--single-file", is_flag=True, help="One .h and one .c instead of a file per kernel.")
@click.option("--no-check", is_flag=True, help="Do not compile the C here and compare it with the reference.")
@json_flag
@click.option("-v", "--verbose", is_flag=True, help="ONNX nodes and cost of every layer, and what is going on.")
def build(
    *, model: Path, calib: str | None, folder: Path | None, target: str | None, board: str | None, name: str | None,
    method: str, ranges: tuple[Named, ...], dtypes: tuple[Named, ...], shapes: tuple[Named, ...], io_layout: str,
    optimize: str, single_file: bool, no_check: bool, as_json: bool, verbose: bool,
) -> None:  # fmt: skip
    """Compile MODEL to a folder of integer-only C, and prove it against the reference.

    \b
    Examples:
      edgeq build model.onnx --calib samples.npz
      edgeq build model.onnx --calib samples.npz --target cortex-m4 -o src/model
      edgeq build model.onnx --calib samples.npz --board nucleo_l4r5zi
      edgeq build camera.onnx --calib frames.npy --input-dtype uint8 --input-range 0:255
      edgeq build model.onnx --calib random --shape input=1,3,32,32
    """
    if calib is None:
        raise click.UsageError(NO_CALIB)
    if calib == "random":
        click.secho(RANDOM_WARNING, err=True, fg="yellow", bold=True)
    fixed = by_name(shapes, "--shape", ())
    specs = input_specs(model, fixed, ranges, dtypes)
    from edgeq import cli_show as show
    from edgeq.compile import compile_model

    with show.ProgressBars(verbose) as progress:
        built = compile_model(model, calib, target, name, method, specs, fixed, io_layout, single_file,
                              not no_check, progress, optimize, board)  # fmt: skip
    folder = folder or Path(built.name)
    built.save(folder)
    if as_json:
        show.print_json(show.build_summary(built, str(folder), calib == "random"))
    else:
        show.show_build(built, str(folder), verbose)


@cli.command(short_help="Say what a model consists of and needs.")
@click.argument("model", type=click.Path(path_type=Path))
@shape_option
@json_flag
@click.pass_context
def inspect(ctx: click.Context, model: Path, shapes: tuple[Named, ...], as_json: bool) -> None:
    """Say what MODEL consists of, what it will need, and what in it is unsupported (exit code 1 then).

    \b
    Example:
      edgeq inspect model.onnx --shape input=1,3,32,32
    """
    fixed = by_name(shapes, "--shape", ())
    from edgeq import cli_show as show

    found = _inspect(model, fixed)
    if as_json:
        show.print_json(found)
    else:
        show.show_inspection(found)
    ctx.exit(1 if found["problems"] else 0)


def _inspect(path: Path, shapes: dict[str, Any]) -> dict[str, Any]:
    from edgeq.cli_show import operator_counts
    from edgeq.estimate import try_needs
    from edgeq.onnx_side.importer import find_problems, import_graph
    from edgeq.onnx_side.load import input_shapes, load_model
    from edgeq.onnx_side.simplify import simplify

    model = simplify(load_model(path, shapes))
    problems = find_problems(model)
    found: dict[str, Any] = {
        "file": path.name, "inputs": input_shapes(model), "macs": None, "params": None, "layers": [], "targets": {},
        "operators": operator_counts((n.op_type for n in model.graph.node), (p.op for p in problems)),
        "problems": [{"node": p.node, "op": p.op, "reason": p.reason} for p in problems], "estimate_error": "",
    }  # fmt: skip
    if problems:
        return found
    graph = import_graph(model)
    needed, error = try_needs(model, graph)
    layers = [{"name": x.name, "onnx_nodes": list(x.onnx_nodes), "output_shape": [1, *graph.tensors[x.output].shape],
               "macs": graph.layer_macs(x), "params": x.op.params()} for x in graph.layers]  # fmt: skip
    targets = {t: {"flash_bytes": n.flash, "arena_bytes": n.ram, "estimated": True} for t, n in needed.items()}
    return {**found, "macs": graph.macs(), "params": sum(x["params"] for x in layers), "layers": layers,
            "targets": targets, "estimate_error": error}  # fmt: skip


@cli.command(short_help="Run a built model on this machine.")
@folder_argument
@click.option("--input", "source", metavar="FILE", required=True, type=click.Path(path_type=Path),
              help=".npy, or .npz with one array per input: floats, or integers as stored.")  # fmt: skip
@click.option("--output", "target", metavar="FILE", type=click.Path(path_type=Path),
              help="Write the outputs to a .npz, or to a .npy where there is one.")  # fmt: skip
@json_flag
def run(folder: Path, source: Path, target: Path | None, as_json: bool) -> None:
    """Run the C in DIR, as `edgeq build` wrote it, on this machine.

    \b
    Example:
      edgeq run model/ --input x.npy --output y.npz
    """
    from edgeq import cli_data as data
    from edgeq import cli_show as show
    from edgeq.model import BuiltModel

    built = BuiltModel.open(folder)
    data.check_output(target, list(built.outputs))
    result = built.run(data.read_arrays(source, built))
    outputs = result if isinstance(result, dict) else {next(iter(built.outputs)): result}
    if target:
        data.write_arrays(target, outputs)
    if as_json:
        records = {n: {"shape": list(a.shape), "dtype": a.dtype.name} for n, a in outputs.items()}
        values = {} if target else {"values": {n: a.tolist() for n, a in outputs.items()}}
        show.print_json({"model": built.name, "outputs": records, "file": str(target) if target else None, **values})
    else:
        show.show_outputs(outputs)


@cli.command(short_help="Compare a built model with its float original.")
@folder_argument
@click.option("--data", metavar="FILE|FOLDER", required=True, help="Inputs that did not calibrate it, as for --calib.")
@click.option("--labels", metavar="NAME", help="Class indices: an array in the .npz, or a .npy file.")
@json_flag
def evaluate(folder: Path, data: str, labels: str | None, as_json: bool) -> None:
    """Compare the C in DIR with the float model it came from, and show where accuracy is lost.

    \b
    Example:
      edgeq evaluate model/ --data test.npz --labels labels
    """
    from edgeq import cli_show as show
    from edgeq.cli_data import read_labels
    from edgeq.compile import evaluate_model
    from edgeq.model import BuiltModel

    built = BuiltModel.open(folder)
    known = read_labels(labels) if labels and labels.endswith(".npy") else labels
    with show.ProgressBars() as progress:
        result = evaluate_model(built, data, known, lambda done, total: progress("evaluating", done, total))
    if as_json:
        show.print_json(show.evaluation_summary(built, result))
    else:
        show.show_evaluation(built, result)


@cli.command()
@json_flag
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
def ops(as_json: bool, as_markdown: bool) -> None:
    """List the ONNX operators that compile.

    \b
    Example:
      edgeq ops --markdown
    """
    from edgeq import cli_show as show
    from edgeq.ops import rules

    rows = [{"ONNX operator": r.onnx_op, "edgeq operator": r.module.rpartition(".")[2], "supported": r.note}
            for r in rules().values()]  # fmt: skip
    if as_json:
        show.print_json([dict(zip(("onnx", "operator", "note"), row.values(), strict=True)) for row in rows])
    elif as_markdown:
        print(show.markdown(rows))
    else:
        show.show_rows(rows)


@cli.command()
@json_flag
def targets(as_json: bool) -> None:
    """List what C can be generated for.

    \b
    Example:
      edgeq targets
    """
    from edgeq import cli_show as show

    rows = [{"target": t.name, "description": t.description, "kernels": ", ".join(t.isa),
             "compiler flags": " ".join(t.flags)} for t in TARGETS.values()]  # fmt: skip
    if as_json:
        show.print_json([{"name": t.name, "description": t.description, "kernels": list(t.isa), "flags": list(t.flags),
                          "arena_align": t.align} for t in TARGETS.values()])  # fmt: skip
    else:
        show.show_rows(rows)


for command in (boards, firmware, flash, verify, profile):
    cli.add_command(command)

# ---------------------------------------------------------------- outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line. -> exit code. Errors go to stderr, without a traceback unless EDGEQ_DEBUG is set."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name that the terminal's encoding lacks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries, which mean nothing to the user
            code = cli.main(argv, prog_name="edgeq", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it ends
        return BROKEN_PIPE
    except SystemExit:  # so click answers a closed pipe, whatever standalone_mode says
        return BROKEN_PIPE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("EDGEQ_DEBUG"):
            traceback.print_exc()
        return _tell(error)


def _tell(error: Exception) -> int:
    """Prints an error. -> exit code."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"\n  try: {context.command_path} --help" if context else ""
        _print_error(error.format_message() + hint)
        return error.exit_code
    if isinstance(error, EdgeqError):
        _print_error(str(error))
        return 1
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        _print_error(f"{name}{error.strerror or error}")
        return 1
    _print_error(f"internal error: {type(error).__name__}: {error}\n  try: report it with the traceback that "
                 "EDGEQ_DEBUG=1 in the environment prints")  # fmt: skip
    return INTERNAL


def _print_error(text: str) -> None:
    clean = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    click.echo(click.style("error: ", fg="red", bold=True) + clean, err=True)


if __name__ == "__main__":
    sys.exit(main())
