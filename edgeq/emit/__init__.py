"""Plan -> C text. Pure: the same plan gives the same bytes, and nothing is written here."""

from edgeq.emit.emit import Emission, emit, prefix
from edgeq.emit.shared import emit_shared
from edgeq.emit.single import amalgamate

__all__ = ["Emission", "amalgamate", "emit", "emit_shared", "prefix"]
