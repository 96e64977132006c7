"""One pass of the float network over the samples, reduced to one histogram a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeq.calibrate.data import Samples
from edgeq.calibrate.histogram import Grid, GridFinder, Histogram
from edgeq.errors import QuantizationError

Run = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Observations:
    """What the float network did.

    histograms, means: ONNX tensor name -> values counted, and their mean over the samples, float64 of the tensor's
    shape. By ONNX input name: grids, its 8-bit grid if it has one, and extremes,
    (N, 2) float64, the least and greatest value of each sample.
    """

    histograms: Mapping[str, Histogram]
    means: Mapping[str, np.ndarray]
    grids: Mapping[str, Grid | None]
    extremes: Mapping[str, np.ndarray]
    samples: int


def observe(
    run: Run, samples: Samples, names: Iterable[str], progress: Callable[[int, int], None] | None = None
) -> Observations:
    """Runs every sample once and counts the values of the named tensors.

    run: one sample (input name -> float32 array) -> the named tensors; network inputs it may leave out.
    progress: called with (done, total) after each sample.
    Raises QuantizationError naming the first tensor that holds NaN or inf, BadInput for a sample that does.
    """
    histograms = {name: Histogram() for name in names}
    sums: dict[str, np.ndarray] = {}
    finders = {name: GridFinder() for name in samples.shapes}
    extremes = {name: np.empty((len(samples), 2)) for name in samples.shapes}
    for i, sample in enumerate(samples):
        values = {**sample, **run(sample)}
        for name, histogram in histograms.items():
            _add(histogram, values[name], name, i)
            sums[name] = sums[name] + values[name] if name in sums else values[name].astype(np.float64)
        for name, finder in finders.items():
            finder.add(sample[name])
            extremes[name][i] = sample[name].min(), sample[name].max()
        if progress:
            progress(i + 1, len(samples))
    means = {name: total / len(samples) for name, total in sums.items()}
    return Observations(histograms, means, {name: f.grid() for name, f in finders.items()}, extremes, len(samples))


def _add(histogram: Histogram, array: np.ndarray, name: str, sample: int) -> None:
    try:
        histogram.add(array)
    except QuantizationError as error:
        hint = "the float model itself overflows: check the sample's range and preprocessing, and the exported model"
        raise QuantizationError(f"{error.fact} on sample {sample}", node=name, hint=hint) from error
