"""What operator modules are made of: import rules over views, and kernels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeq.ir import FloatTensor, Layer, LayerOp, Node, Shape, size_of
from edgeq.ops._access import LARGEST, Access, Overlap


class Unsupported(Exception):
    """Raised by an import rule: why this node cannot be compiled. Collected over the model, reported all at once."""


# ---------------------------------------------------------------- import


@dataclass(frozen=True, eq=False)
class View:
    """An ONNX tensor as a window on a stored one: ONNX element i is stored.flat[index[i]].

    Transpose, Reshape, Slice and their kin are numpy operations on `index` and cost nothing; a copy is made only
    where an operator needs another order in memory (GraphBuilder.stored).
    """

    tensor: str
    index: np.ndarray

    @property
    def shape(self) -> Shape:
        return self.index.shape

    def axes_by_stride(self) -> tuple[int, ...]:
        """The ONNX axes from outermost to innermost in memory. Axes of size 1 go where channels-last puts them."""
        rank = self.index.ndim
        last = {3: (0, 2, 1), 4: (0, 2, 3, 1)}.get(rank, tuple(range(rank)))
        wide = [a for a in last if self.shape[a] > 1]
        stride = {a: abs(int(self.index.take(1, a).flat[0]) - int(self.index.flat[0])) for a in wide}
        ordered = sorted(wide, key=lambda a: -stride[a])
        if ordered == wide:
            return last
        inner = iter(ordered)
        return tuple(a if self.shape[a] == 1 else next(inner) for a in range(rank))


class GraphBuilder:
    """What an import rule may do: bring views into a memory order, and add layers. See edgeq/onnx_side/importer.py."""

    opset: int
    outputs: int  # of the node being imported

    def stored(self, view: View, axes: Sequence[int] | None = None, shape: Shape | None = None) -> str:
        """Name of a tensor that holds `view` in row-major order of its ONNX axes as permuted by `axes`.

        axes: permutation of the ONNX axes, outermost first (default: the ONNX order). shape: of the tensor (default:
        the permuted shape). Free where memory already is in that order; otherwise a copy is added.
        """
        raise NotImplementedError

    def whole(self, view: View) -> View:
        """The view itself if it covers each element of its tensor exactly once, otherwise a view on a copy that does."""
        raise NotImplementedError

    def add(self, op: LayerOp, inputs: Sequence[str], shape: Shape, index: np.ndarray | None = None) -> View:
        """Adds a layer that writes a tensor of `shape`; `index` says how the ONNX output lies in it
        (default: in the same order, with the batch of 1 in front)."""
        raise NotImplementedError

    def shape_of(self, tensor: str) -> Shape:
        """Shape of a stored tensor."""
        raise NotImplementedError

    def channels_last(self, view: View) -> str:
        """Tensor (H, W, C) of an ONNX (1, C, H, W) view, or (1, W, C) of an ONNX (1, C, W) view."""
        if view.index.ndim not in (3, 4):
            raise Unsupported(f"input has rank {view.index.ndim}; only 1-D and 2-D spatial data are supported")
        if view.shape[0] != 1:
            raise Unsupported(f"batch of {view.shape[0]}; edgeq compiles for a batch of 1 (use --shape)")
        if view.index.ndim == 3:
            return self.stored(view, (0, 2, 1), (1, view.shape[2], view.shape[1]))
        return self.stored(view, (0, 2, 3, 1), (view.shape[2], view.shape[3], view.shape[1]))

    def add_channels_last(self, op: LayerOp, inputs: Sequence[str], shape: Shape, rank: int) -> View:
        """Adds a layer with an (H, W, C) output whose ONNX counterpart is (1, C, H, W) (rank 4) or (1, C, W) (rank 3)."""
        index = np.arange(size_of(shape)).reshape(1, *shape).transpose(0, 3, 1, 2)
        return self.add(op, inputs, shape, index if rank == 4 else index.reshape(1, shape[2], shape[1]))


Operand = View | np.ndarray


@dataclass(frozen=True)
class Rule:
    """An import rule. fn(builder, *inputs, **attributes) -> View or tuple of Views; inputs are Views or float arrays."""

    onnx_op: str
    fn: Callable[..., Any]
    module: str
    note: str

    def bind(self, inputs: Sequence[Operand | None], attributes: dict[str, Any]) -> inspect.BoundArguments:
        """Matches a node to the signature. Raises Unsupported naming an input or attribute it does not have."""
        signature = inspect.signature(self.fn)
        positional = [p for p in signature.parameters.values() if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)][1:]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in positional)
        if len(inputs) > len(positional) and not variadic:
            extra = [i for i in inputs[len(positional) :] if i is not None]
            if extra:
                raise Unsupported(f"has {len(inputs)} inputs; {len(positional)} are supported")
            inputs = inputs[: len(positional)]
        anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        unknown = [name for name in attributes if name not in signature.parameters and not anything]
        if unknown:
            raise Unsupported(f"attribute {unknown[0]!r} is not supported")
        for i, p in enumerate(positional[: len(inputs)]):  # inputs left out take the default or the attribute
            if inputs[i] is None and p.name not in attributes and p.default is not p.empty:
                inputs = [*inputs[:i], p.default, *inputs[i + 1 :]]
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        try:
            return signature.bind(None, *inputs, **attributes)
        except TypeError as e:
            raise Unsupported(str(e)) from e


def onnx_rule(fn: Callable[..., Any]) -> Rule:
    """Decorator: makes `fn`, named like an ONNX operator, its import rule. The docstring's first line is its note."""
    return Rule(fn.__name__, fn, fn.__module__, (inspect.getdoc(fn) or "").split("\n")[0])


def dynamic(operand: Operand, what: str) -> View:
    """The operand as a view. Raises Unsupported where it is a constant."""
    if not isinstance(operand, View):
        raise Unsupported(f"{what} is a constant")
    return operand


def constant(operand: Operand | None, what: str) -> np.ndarray:
    """The operand as an array. Raises Unsupported where it is computed at run time."""
    if not isinstance(operand, np.ndarray):
        raise Unsupported(f"{what} is computed at run time; it must be a constant")
    return operand


# ---------------------------------------------------------------- kernels


@dataclass(frozen=True, eq=False)
class Array:
    """A constant array that a kernel reads: emitted as C of the matching type, aligned to 4 bytes."""

    data: np.ndarray


POINTER = 4  # bytes, on the targets; fields of params structs take about as much

Params = dict[str, "int | Array | Params"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a kernel: its params, and the indices of the node's inputs that it is passed."""

    params: Params
    inputs: tuple[int, ...]


class Kernel:
    """A C function that runs an operator: void function(const function_params *p, inputs..., out, scratch).

    `function` is declared in runtime_c/kernels/edgeq_<op>.h and defined in `source`. `scratch` is passed only where
    `uses_scratch`. Costs are in instructions of the target, as measured or estimated; the cheapest that supports a
    node is chosen.
    """

    function: ClassVar[str]
    source: ClassVar[str]  # file in runtime_c/kernels
    params_type: ClassVar[str]  # the C struct
    isa: ClassVar[str] = "c"  # instruction set it needs: c or one of edgeq.ops.ISAS
    uses_scratch: ClassVar[bool] = False

    def supports(self, node: Node) -> bool:
        """Whether this kernel can run the node."""
        return True

    def params(self, node: Node) -> Params:
        """The params struct's fields, by name: integers, and arrays packed in the order that the kernel reads them."""
        raise NotImplementedError

    def calls(self, node: Node) -> list[Call]:
        """The calls that make up the node; together they write its whole output."""
        return [Call(self.params(node), tuple(range(len(node.inputs))))]

    def cost(self, node: Node) -> float:
        """Estimated instructions of one call."""
        return float(node.macs)

    def scratch(self, node: Node) -> int:
        """Bytes of scratch memory needed during the call."""
        return 0

    def access(self, node: Node) -> Access | None:
        """When which byte is read and written, so that memory can be shared; None: inputs and output stay apart."""
        return None

    def may_overlap(self, node: Node, i: int, distance: int) -> bool:
        """Whether input i may start `distance` bytes after the output's start, as far as its own bytes go."""
        access = self._shared(node)
        return access is not None and access.safe(i, distance)

    def overlaps(self, node: Node) -> dict[int, Overlap]:
        """The inputs whose memory the output may share, by index."""
        access = self._shared(node)
        found = {} if access is None else {i: access.overlap(i) for i in access.reads}
        return {i: o for i, o in found.items() if o.in_place or o.least < node.output.bytes}

    def _shared(self, node: Node) -> Access | None:
        """As access; where a tensor is more than one input, each is as long in use as the last of them."""
        access = self.access(node) if max(t.bytes for t in (*node.inputs, node.output)) <= LARGEST else None
        if access is None:
            return None
        names = [t.name for t in node.inputs]
        reads = {i: np.max([access.reads[k] for k, n in enumerate(names) if n == names[i]], axis=0) for i in access.reads}
        return Access(reads, access.writes)


def constant_bytes(kernel: Kernel, node: Node) -> int:
    """Bytes of flash that a kernel's parameters for the node take, arrays and all."""
    return sum(POINTER + _flash(call.params) for call in kernel.calls(node))


def _flash(value: int | Array | Params) -> int:
    if isinstance(value, dict):
        return sum(map(_flash, value.values()))
    return value.data.nbytes + POINTER if isinstance(value, Array) else POINTER


__all__ = [
    "Array", "Call", "FloatTensor", "GraphBuilder", "Kernel", "Layer", "LayerOp", "Node", "Operand", "Params", "Rule",
    "Unsupported", "View", "constant", "dynamic", "onnx_rule",
]  # fmt: skip
