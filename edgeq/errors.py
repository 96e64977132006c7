"""The one exception tree. A message names the node, the fact with its numbers, and what to try."""

from __future__ import annotations


class EdgeqError(Exception):
    """Base of every error that edgeq raises on purpose; the CLI prints it without a traceback and exits 1.

    `fact` says what is wrong, with its numbers; `node` names the ONNX node, file or flag it is about;
    `hint` says what to try.
    """

    def __init__(self, fact: str, *, node: str | None = None, hint: str | None = None):
        self.fact, self.node, self.hint = fact, node, hint
        super().__init__(f"{node}: {fact}" if node else fact)

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  try: {self.hint}" if self.hint else text


class BadInput(EdgeqError):
    """A file, array or flag that the user gave cannot be used."""


class UnsupportedModel(EdgeqError):
    """The model uses something that edgeq cannot compile; every such node is listed at once."""


class QuantizationError(EdgeqError):
    """No integer representation within the numeric contract exists (for example an accumulator could overflow)."""


class DoesNotFit(EdgeqError):
    """The compiled model is larger than the memory it was asked to fit."""


class BuildFailed(EdgeqError):
    """The system C compiler is missing or rejected the generated code."""


class DeviceError(EdgeqError):
    """A board or emulator did not answer as it should."""


class Mismatch(EdgeqError):
    """Compiled code and the numpy reference disagree."""
