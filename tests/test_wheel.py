"""The wheel carries templates, C sources and boards, and works without the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgeq.model import BuiltModel
from edgeq.resources import ROOT
from tests.c_models import DIGITS, app, feed, shell, sources

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    alone = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    shell([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *alone, "-w", folder, ROOT])
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty venv with only the wheel; the packages that it depends on are seen where they are, not downloaded again."""
    folder = tmp_path_factory.mktemp("venv")
    shell([sys.executable, "-m", "venv", "--without-pip", folder])
    python = folder / "bin" / "python"
    shell([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel])
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return folder


def test_wheel_carries_all_data(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for top in ("templates", "runtime_c", "boards"):
        files = [f.relative_to(ROOT) for f in (ROOT / top).rglob("*") if f.is_file()]
        assert files
        assert {f"edgeq/_data/{f.as_posix()}" for f in files} <= packed
    assert not [f for f in packed if f.startswith("tests") or "__pycache__" in f]


def test_installed_wheel_builds_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    where = shell([environment / "bin" / "python", "-c", "import edgeq; print(edgeq.__file__)"], cwd=tmp_path, env=clean)
    assert where.decode().startswith(str(environment))
    command = ["build", DIGITS / "digits.onnx", "--calib", DIGITS / "calib.npz", "-o", "out", "--json"]
    printed = shell([environment / "bin" / "edgeq", *command], cwd=tmp_path, env=clean)
    assert json.loads(printed)
    model = BuiltModel.open(tmp_path / "out")
    assert (tmp_path / "out" / "report.html").exists()
    (tmp_path / "app.c").write_text(app([model]))
    shell(["cc", "-I", "out", *sources(tmp_path / "out"), "app.c", "-o", "app"], cwd=tmp_path)
    stored = model.stored(np.load(DIGITS / "test.npz")["image"][:20].astype(np.float32))
    (port,) = model.outputs.values()
    got = np.frombuffer(shell([tmp_path / "app"], input=feed([model], [stored])), port.dtype)
    assert np.array_equal(got, model.library.run(stored)[port.name].ravel())
