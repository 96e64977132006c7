"""Runs an IntGraph in numpy. Slow and plain: it is the definition that all compiled code is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeq.ir import IntGraph


def execute(graph: IntGraph, feeds: Mapping[str, np.ndarray], keep: bool = False) -> dict[str, np.ndarray]:
    """Tensor name -> integers (N, *shape) of the network's outputs; with `keep`, of every tensor.

    feeds: ONNX input name -> integers (N, *shape) in the input's dtype.
    """
    values = {t.name: np.asarray(feeds[name], t.dtype) for name, t in graph.inputs.items()}
    wanted = {t.name for t in graph.outputs.values()}
    last_use = {t.name: node for node in graph.nodes for t in node.inputs}
    for node in graph.nodes:
        values[node.output.name] = node.reference(*(values[t.name] for t in node.inputs))
        for t in node.inputs:
            if not keep and last_use[t.name] is node and t.name not in wanted:
                values.pop(t.name, None)
    return values if keep else {name: values[name] for name in wanted}
