"""Plan -> C text. Pure: the same plan gives the same bytes, and nothing is written here."""

from edgeq.emit.device import device_model
from edgeq.emit.emit import Emission, emit, prefix
from edgeq.emit.mlperf import mlperf_task
from edgeq.emit.shared import emit_shared
from edgeq.emit.single import amalgamate

__all__ = ["Emission", "amalgamate", "device_model", "emit", "emit_shared", "mlperf_task", "prefix"]
