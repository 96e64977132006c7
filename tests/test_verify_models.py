"""Models on every emulated board, over a pty: each layer and each output byte as on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edgeq.device import Board, link_firmware
from edgeq.device.board import emulated
from edgeq.device.emulator import emulate
from edgeq.device.port import open_port
from edgeq.device.protocol import Link
from edgeq.device.verify import inputs, verify
from edgeq.errors import EdgeqError
from tests.c_models import DIGITS
from tests.device_models import OWN, SHARED, built, some
from tests.shared import loader, needs_models

BOARDS = [(board.targets[0], board) for board in emulated().values()]
BOARDS.append(("cortex-m0", emulated()["mps2_an385"]))
each_board = pytest.mark.parametrize(("target", "board"), BOARDS, ids=[f"{b.name}-{t}" for t, b in BOARDS])
TOO_LARGE = {"lm3s6965evb": {"ad01"}, "microbit": {"ic01", "vww01", "ad01"},
             "stm32vldiscovery": {"ic01", "kws01", "vww01", "ad01"}}  # fmt: skip


def prove(board: Board, target: str, name: str, real: np.ndarray | None, folder: Path, samples: Iterable[int]) -> None:
    """Verifies the model on these of the saturating and random inputs, and on real ones where given."""
    model = built(name, target)
    elf = link_firmware(model.save(folder / name), board, "serial", folder / "firmware.elf")
    feeds = some(inputs(model), *samples)
    if real is not None:
        feeds = {n: np.concatenate([feeds[n], q]) for n, q in model.stored(real).items()}
    with emulate(board, elf) as tty, open_port(tty) as port:
        link = Link(port, board.name)
        link.run_time = 60
        result = verify(link, model, feeds)
        assert link.hello.board == board.name and link.hello.target == target
        assert 100 < link.stack() < board.stack.size
    assert result.layers == len(model.manifest["layers"])
    assert result.elements == sum(np.prod(p.stored) for p in model.outputs.values()) * result.inputs


@each_board
@pytest.mark.parametrize("name", OWN)
def test_models_are_proved_on_boards(board: Board, target: str, name: str, tmp_path: Path) -> None:
    real = np.load(DIGITS / "test.npz")["image"][:3].astype(np.float32) if name == "digits" else None
    prove(board, target, name, real, tmp_path, range(8))


@needs_models
@each_board
@pytest.mark.parametrize("name", SHARED)
def test_shared_models_are_proved_on_boards_that_they_fit(board: Board, target: str, name: str, tmp_path: Path) -> None:
    real = loader().load(name, "dev")["x"][:1]
    if name in TOO_LARGE.get(board.name, ()):
        with pytest.raises(EdgeqError, match=r"will not fit|overflow|does not fit"):
            prove(board, target, name, real, tmp_path, (1, 2, 4))
    else:
        prove(board, target, name, real, tmp_path, (1, 2, 4))
