"""Programs for boards, and boards that QEMU emulates."""

from edgeq.device.board import Board, Region, boards, emulated
from edgeq.device.firmware import compile_firmware, link_firmware
from edgeq.device.qemu import Finished, execute, run

__all__ = ["Board", "Finished", "Region", "boards", "compile_firmware", "emulated", "execute", "link_firmware", "run"]
