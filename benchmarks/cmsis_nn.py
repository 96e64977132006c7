"""CMSIS-NN's own kernels on the grid of single layers.

    python benchmarks/cmsis_nn.py [--core cortex-m4 ...]

The sources (version 4.0.0, what BakeNN uses of it) come with BakeNN's wheel; flags, board and counter are those of edgeq's
kernels in layers.py. On Helium this version takes a slow path for groups of pixels that touch padding. Multipliers stand for
powers of two, so outputs equal edgeq's reference but for the rounding of ties.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import numpy as np
from common import Row, in_parallel, report
from grid import GRID, WORKSPACE, Job, run_jobs
from peers import programs, vendored_cmsis_nn

from edgeq.ir import Node
from edgeq.ops._linear import LinearOp

ONE = 2**31 - 1  # times 2^-31: the multiplier that leaves all to the shift
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55")


def dims(name: str, n: int, h: int, w: int, c: int) -> str:
    """A cmsis_nn_dims."""
    return f"const cmsis_nn_dims {name} = {{{n}, {h}, {w}, {c}}};"


def array(kind: str, name: str, values: Iterable[Any]) -> str:
    """A constant array; quantisation parameters are not const in CMSIS-NN's structs."""
    const = "" if name in ("multiplier", "shift") else "const "
    return f"static {const}{kind} {name}[] = {{{', '.join(str(int(v)) for v in values)}}};"


def linear(op: LinearOp, zero_point: int, weight: np.ndarray) -> list[str]:
    """Arrays. edgeq's bias holds the input's zero point and the rounding; CMSIS-NN adds those itself."""
    sums = op.weight.reshape(len(op.weight), -1).astype(np.int64).sum(1)
    bias = op.bias + zero_point * sums - (1 << op.shift.astype(np.int64) >> 1)
    return [array("int8_t", "weight", weight.ravel()), array("int32_t", "bias", bias),
            array("int32_t", "multiplier", np.full(len(bias), ONE)), array("int32_t", "shift", -op.shift.astype(int)),
            dims("bias_dims", 1, 1, 1, len(bias))]  # fmt: skip


def job(node: Node) -> Job | None:
    """The call of CMSIS-NN's kernel, or None where the wheel has none."""
    op: Any = node.op
    x, y = node.inputs[0].shape, node.output.shape
    lines = [f"static const cmsis_nn_context context = {{workspace, {WORKSPACE}}};"]
    if op.name == "fully_connected":
        n, k = op.weight.shape
        lines += [*linear(op, node.inputs[0].zero_point, op.weight), dims("in", 1, 1, 1, k), dims("filter", k, 1, 1, n),
                  dims("result", 1, 1, 1, n),
                  f"const cmsis_nn_fc_params p = {{{-node.inputs[0].zero_point}, 0, 0, {{{op.lo}, {op.hi}}}}};",
                  "const cmsis_nn_per_tensor_quant_params q = {multiplier[0], shift[0]};",
                  "arm_fully_connected_s8("
                  "&context, &p, &q, &in, in0, &filter, weight, &bias_dims, bias, &result, out);"]  # fmt: skip
        return Job(node, "", "\n".join(lines))
    if op.name not in ("conv2d", "depthwise_conv2d", "avg_pool", "max_pool"):
        return None
    (kh, kw), (sh, sw), (top, left) = op.window.kernel, op.window.strides, op.window.pads[:2]
    tiles = f"{{{sw}, {sh}}}, {{{left}, {top}}}"
    lines += [dims("in", 1, *x), dims("result", 1, *y)]
    if op.name in ("avg_pool", "max_pool"):
        function = {"avg_pool": "arm_avgpool_s8", "max_pool": "arm_max_pool_s8"}[op.name]
        lines += [dims("filter", 1, kh, kw, 1), f"const cmsis_nn_pool_params p = {{{tiles}, {{-128, 127}}}};",
                  f"{function}(&context, &p, &in, in0, &filter, &result, out);"]  # fmt: skip
        return Job(node, "", "\n".join(lines))
    depthwise = op.name == "depthwise_conv2d"
    weight = op.weight.transpose(3, 1, 2, 0) if depthwise else op.weight
    filter_dims = (1, kh, kw, y[2]) if depthwise else (y[2], kh, kw, x[2])
    kind, function = ("dw_conv", "depthwise_conv") if depthwise else ("conv", "convolve")
    multiple = "1, " if depthwise else ""
    lines += [*linear(op, node.inputs[0].zero_point, weight), dims("filter", *filter_dims),
              f"const cmsis_nn_{kind}_params p = "
              f"{{{-node.inputs[0].zero_point}, 0, {multiple}{tiles}, {{1, 1}}, {{{op.lo}, {op.hi}}}}};",
              "const cmsis_nn_per_channel_quant_params q = {multiplier, shift};",
              f"arm_{function}_wrapper_s8("
              "&context, &p, &q, &in, in0, &filter, weight, &bias_dims, bias, &result, out);"]  # fmt: skip
    return Job(node, "", "\n".join(lines))


def measure(core: str) -> dict[str, int]:
    """Layer -> instructions; without the layers that the wheel has no kernel for. Raises RuntimeError on wrong outputs."""
    jobs = {name: found for name, node in GRID.items() if (found := job(node)) is not None}
    vendor = vendored_cmsis_nn()
    include = [vendor / "cmsis_nn" / "Include", vendor / "cmsis_core" / "Include"]
    results = run_jobs(core, list(jobs.values()), ["arm_nnfunctions.h"], {}, vendor.rglob("*.c"), include)
    for (name, run), (output, _) in zip(jobs.items(), results, strict=True):
        difference = np.abs(output.astype(int) - run.expected())
        ties = 0.2 if run.node.op.name == "avg_pool" else 0.02  # a mean of 4 often is one
        if difference.max() > 1 or difference.mean() > ties:
            raise RuntimeError(f"{name} on {core}: {np.count_nonzero(difference)} of {difference.size} outputs differ")
    return {name: counts.instructions for name, (_, counts) in zip(jobs, results, strict=True)}


def main() -> None:
    """Prints a row for each layer, a column for each core."""
    parser = argparse.ArgumentParser(description="CMSIS-NN's kernels on emulated cores.")
    parser.add_argument("--core", nargs="*", default=list(CORES), help="edgeq targets")
    args = parser.parse_args()
    programs()
    found = dict(zip(args.core, in_parallel(measure, args.core), strict=True))
    rows: list[Row] = []
    for name, node in GRID.items():
        row: Row = {"layer": name, "MACs": node.macs}
        for core, counts in found.items():
            row[core] = counts.get(name, "not in the wheel")
            row[f"per MAC {core[7:]}"] = counts[name] / node.macs if name in counts and node.macs else "-"
        rows.append(row)
    report("cmsis_nn", "CMSIS-NN 4.0.0, instructions in QEMU, gcc -O2", rows)


if __name__ == "__main__":
    main()
