"""Compile the digits network to integer-only C, run that C on this machine, and say what it cost in accuracy.

    python examples/digits/demo.py [FOLDER]

Writes FOLDER, by default demo/ at the top of the checkout. Needs edgeq installed and a C compiler; no board, no Arm tools.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import edgeq

HERE = Path(__file__).resolve().parent
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "demo"


def main() -> None:
    model = edgeq.compile_model(HERE / "digits.onnx", calib=HERE / "calib.npz", target="generic", name="digits")
    model.save(FOLDER)

    # The generated C, compiled for this machine, against the numpy reference: equal in every bit, or this raises.
    images = np.load(HERE / "test.npz")["image"].astype(np.float32)
    np.testing.assert_equal(model.run(images), model.run_reference(images))
    quality = model.evaluate(HERE / "test.npz", labels="labels")

    print(f"built     {FOLDER.name}/: digits.onnx as integer-only C99, INT8, no floating point")
    print(f"checked   C equals the numpy reference bit for bit on {model.check.vectors} vectors while compiling")
    print(f"          and on {len(images)} test images just now")
    print(f"accuracy  float {quality.float_accuracy:.1%}, int8 {quality.int8_accuracy:.1%}, measured on those images;")
    print("          they were used neither to train nor to calibrate")
    print(f"          same digit from both: {quality.agreement:.1%}; output SQNR {next(iter(quality.sqnr_db.values())):.1f} dB")
    print(f"report    {FOLDER / 'report.html'}")


if __name__ == "__main__":
    main()
