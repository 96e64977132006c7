"""Calibration: data files and their errors, histograms, grid detection, choice of ranges."""

from __future__ import annotations

import importlib.util
import math
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgeq.calibrate.data import load_samples
from edgeq.calibrate.histogram import BINS, GRID_LEVELS, Grid, GridFinder, Histogram, find_grid
from edgeq.calibrate.observe import observe
from edgeq.errors import BadInput, QuantizationError
from edgeq.numerics import dequantize, quantize
from edgeq.quantize.activations import (
    EXTRA_BITS,
    METHODS,
    choose_input,
    choose_range,
    declared_input,
    squared_error,
    with_headroom,
)

MODELS = Path(os.environ.get("EDGEQ_MODELS", Path(__file__).parents[2] / "shared" / "models"))
ONE = {"in/x:0": (1, 4, 3)}
TWO = {"a": (1, 4), "b": (1, 2, 2)}
EXTREMES = np.array([[0.0, 1.0]])  # extremes, where a grid makes them matter not


# ---------------------------------------------------------------- data


def data(n: int = 5) -> np.ndarray:
    return np.arange(n * 12, dtype=np.float32).reshape(n, 4, 3)


def savez(path: Path, **named: np.ndarray) -> Path:
    np.savez(path, **named)
    return path


def as_npz(path: Path) -> Path:
    return savez(path / "d.npz", **{"in/x:0": data(), "labels": np.arange(5)})


def as_npz_of_one_array(path: Path) -> Path:
    return savez(path / "d.npz", anything=data())


def as_npy(path: Path) -> Path:
    np.save(path / "d.npy", data())
    return path / "d.npy"


def as_folder(path: Path) -> Path:
    np.save(path / "in_x_0.npy", data())
    np.save(path / "other.npy", np.zeros(3))
    return path


@pytest.mark.parametrize("write", [as_npz, as_npz_of_one_array, as_npy, as_folder])
def test_every_kind_of_file_gives_the_same_samples(tmp_path, write):
    samples = load_samples(str(write(tmp_path)), ONE)
    assert len(samples) == 5
    assert not samples.random
    for i, sample in enumerate(samples):
        assert sample["in/x:0"].dtype == np.float32
        np.testing.assert_array_equal(sample["in/x:0"], data()[i][None])
    np.testing.assert_array_equal(samples.head(2).stack()["in/x:0"], data()[:2])
    assert len(samples.head(2)) == 2
    assert len(samples.head(99)) == 5


@pytest.mark.parametrize("source", [data(), {"in/x:0": data()}, data()[:, None], data().astype("u1"), data().tolist()])
def test_arrays(source):
    samples = load_samples(source, ONE)
    np.testing.assert_array_equal(samples.stack()["in/x:0"], data())
    assert all(s["in/x:0"].dtype == np.float32 for s in samples)


@pytest.mark.parametrize(
    ("shape", "array_shape"),
    [((6,), (3, 6)), ((1,), (3,)), ((1,), (3, 1)), ((2, 3), (4, 2, 3)), ((1, 1, 5), (2, 1, 5)), ((), (7,))],
)
def test_shapes_with_and_without_batch(shape, array_shape):
    samples = load_samples({"x": np.ones(array_shape)}, {"x": shape})
    assert len(samples) == array_shape[0]
    assert {s["x"].shape for s in samples} == {shape}


def test_several_inputs():
    samples = load_samples({"b": np.ones((3, 2, 2)), "a": np.zeros((3, 4)), "c": np.zeros(9)}, TWO)
    assert [list(s) for s in samples] == [["a", "b"]] * 3


def test_random_is_seeded():
    first, second = (load_samples("random", ONE) for _ in range(2))
    assert first.random
    assert len(first) == 32
    np.testing.assert_array_equal(first.stack()["in/x:0"], second.stack()["in/x:0"])


def text_file(path: Path) -> Path:
    (path / "d.csv").write_text("1,2,3\n" * 99)
    return path / "d.csv"


def empty_file(path: Path) -> Path:
    (path / "d.npy").touch()
    return path / "d.npy"


def truncated(path: Path) -> Path:
    whole = as_npz(path).read_bytes()
    (path / "t.npz").write_bytes(whole[: len(whole) // 2])
    return path / "t.npz"


def flipped_bits(path: Path) -> Path:
    whole = bytearray(as_npz(path).read_bytes())
    whole[200] ^= 0xFF
    (path / "t.npz").write_bytes(whole)
    return path / "t.npz"


def short_npy(path: Path) -> Path:
    file = as_npy(path)
    file.write_bytes(file.read_bytes()[:-9])
    return file


def objects_npy(path: Path) -> Path:
    np.save(path / "d.npy", np.array([{}, "x"], object), allow_pickle=True)
    return path / "d.npy"


def objects_npz(path: Path) -> Path:
    return savez(path / "d.npz", x=np.array([{}, "x"], object))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: path / "missing.npz", "no such file"),
        (lambda path: path, "no .npy file"),
        (text_file, "not a numpy file"),
        (empty_file, "cannot be read"),
        (truncated, "cannot be read"),
        (flipped_bits, "cannot be read"),
        (short_npy, "cannot be read"),
        (objects_npy, "Python objects"),
        (objects_npz, "Python objects"),
        (lambda path: savez(path / "d.npz", a=data(), b=data()), r"arrays found: 'a' \(5, 4, 3\), 'b' \(5, 4, 3\)"),
    ],
)
def test_unusable_files(tmp_path, write, says):
    path = write(tmp_path)
    with pytest.raises(BadInput, match=says) as error:
        load_samples(path, ONE)
    assert error.value.node == str(path)
    assert error.value.hint


@pytest.mark.parametrize(
    ("source", "inputs", "says"),
    [
        (np.ones((5, 4, 4)), ONE, r"shape \(5, 4, 4\), expected \(N, 4, 3\)"),
        (np.ones((5, 3, 4)), ONE, "axes are in another order"),
        (np.ones((4, 3)), ONE, r"array\[None\]"),
        (np.ones((5, 12)), ONE, r"reshape\(-1, 4, 3\)"),
        (np.float32(3), ONE, r"shape \(\)"),
        (np.ones((0, 4, 3)), ONE, "0 samples"),
        (np.full((5, 4, 3), "x"), ONE, "dtype <U1"),
        (np.full((5, 4, 3), 1j), ONE, "dtype complex128"),
        ({"a": np.ones((3, 4))}, TWO, r"no array for input 'b' \(1, 2, 2\)"),
        (np.ones((3, 4)), TWO, "no array for input 'a'"),
        ({"a": np.ones((3, 4)), "b": np.ones((2, 2, 2))}, TWO, "'a' 3, 'b' 2"),
        ([[1, 2], [3]], ONE, "cannot be read"),
    ],
)
def test_unusable_arrays(source, inputs, says):
    with pytest.raises(BadInput, match=says):
        load_samples(source, inputs)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_bad_value_is_reported_when_its_sample_is_read(bad):
    array = data().astype(np.float64)
    array[3, 1, 1] = bad
    samples = load_samples(array, ONE)
    assert len(list(samples.head(3))) == 3
    with pytest.raises(BadInput, match=r"sample 3 of input 'in/x:0' holds 1 of 12 values"):
        list(samples)


# ---------------------------------------------------------------- histogram

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
float_arrays = arrays(np.float32, array_shapes(max_dims=2, max_side=30), elements=floats)


def histogram(*parts: np.ndarray) -> Histogram:
    out = Histogram()
    for part in parts:
        out.add(part)
    return out


def assert_equal(a: Histogram, b: Histogram) -> None:
    np.testing.assert_array_equal(a.counts, b.counts)
    assert (a.exponent, a.min, a.max, a.count) == (b.exponent, b.min, b.max, b.count)


@settings(max_examples=200, deadline=None)
@given(st.lists(float_arrays, min_size=1, max_size=5))
def test_streaming_merging_and_one_shot_are_equal(parts):
    whole = histogram(np.concatenate([p.ravel() for p in parts]))
    assert_equal(histogram(*parts), whole)
    assert_equal(histogram(*reversed(parts)), whole)
    merged = Histogram()
    for part in parts:
        merged = merged.merged(histogram(part))
    assert_equal(merged, whole)
    assert merged.samples == len(parts)


@settings(max_examples=200, deadline=None)
@given(float_arrays)
def test_bins_are_where_they_say(x):
    hist = histogram(x)
    assert hist.counts.shape == (BINS,)
    assert hist.counts.sum() == hist.count == x.size
    assert (hist.min, hist.max) == (x.min(), x.max())
    exact = np.trunc(x.astype(np.float64) / hist.width) if hist.width else np.zeros(x.shape)
    index, count = np.unique(exact, return_counts=True)
    np.testing.assert_array_equal(hist.indices, index)
    np.testing.assert_array_equal(hist.weights, count)
    assert hist.width == 0 or hist.max_abs >= BINS / 4 * hist.width


def test_extremes():
    assert histogram(np.zeros(5)).centers.tolist() == [0.0]
    assert histogram(np.zeros(0)).count == 0
    for scale in (1e-30, 1e-44, 3e38):
        hist = histogram(np.zeros(3), np.float32([-scale, scale / 2]))
        assert hist.count == 5
        assert hist.centers == pytest.approx([-scale, 0, scale / 2], rel=1e-2 if scale > 1e-40 else 0.6)
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(QuantizationError, match="1 of 2 values"):
            histogram(np.float32([0, bad]))


# ---------------------------------------------------------------- grids


def finder(*parts: np.ndarray) -> Grid | None:
    found = GridFinder()
    for part in parts:
        found.add(np.asarray(part, np.float32))
    return found.grid()


def test_camera_bytes():
    u = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    assert finder(*u) == Grid(1.0, 0, 255)
    assert finder(*(u.astype(np.float32) / np.float32(255))) == Grid(1 / 255, 0, 255)
    assert finder(*(u.astype(np.float32) * np.float32(1 / 255))) == Grid(1 / 255, 0, 255)
    assert finder(*((u - 128) / 128)) == Grid(1 / 128, -128, 127)


def test_features_with_an_odd_zero_point():
    q = np.arange(-128, 122).astype(np.float32)
    grid = finder((q - 83) * np.float32(0.5847029))
    assert grid is not None
    assert grid.scale == pytest.approx(0.5847029, rel=1e-6)
    assert (grid.lowest, grid.highest) == (-211, 38)
    scale, zero_point = choose_input(histogram((q - 83) * np.float32(0.5847029)), grid, EXTREMES)
    assert scale == grid.scale
    assert (-211 + zero_point) - -128 == 127 - (38 + zero_point)  # the same room at both ends


def test_few_values_use_the_whole_range():
    assert finder([0, 1]) == Grid(1 / 255, 0, 255)
    assert finder([-1, 1]) == Grid(pytest.approx(1 / 127), -127, 127)
    assert finder([0.37]) == Grid(pytest.approx(0.37 / 255), 0, 255)
    assert finder(np.arange(16)) == Grid(1.0, 0, 15)  # 16 different values: these are integers
    assert finder(np.zeros(9)) is None


def test_no_grid():
    rng = np.random.default_rng(0)
    assert finder(rng.standard_normal(200)) is None
    assert finder(rng.standard_normal(2000)) is None
    assert finder(np.arange(256), [256]) is None  # one level too many
    assert finder(np.arange(1, 257)) is None  # 0 is a level too
    assert finder((np.arange(256) / 255 - 0.485) / 0.229) is None  # an offset that leaves zero between two levels


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-6, 1e6),
    st.integers(-255, 0),
    st.sets(st.integers(0, 255), min_size=1),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_grid_is_found_and_holds_its_values_exactly(scale, lowest, levels, dtype):
    x = (np.array(sorted(levels)) + lowest).astype(dtype) * dtype(scale)
    x = x.astype(np.float32)
    if max(x.max(), 0) - min(x.min(), 0) > 255.5 * scale or not x.any():
        return
    grid = find_grid(x)
    assert grid is not None
    step, zero_point = choose_input(histogram(x), grid, EXTREMES)
    assert -128 <= grid.lowest + zero_point <= zero_point <= grid.highest + zero_point <= 127
    back = dequantize(quantize(x, step, zero_point), step, zero_point)
    np.testing.assert_allclose(back, x, atol=2e-3 * step)


@pytest.mark.skipif(not (MODELS / "loader.py").exists(), reason="EDGEQ_MODELS does not point to the MLPerf Tiny data")
@pytest.mark.parametrize(
    ("task", "scale", "zero_point"), [("kws01", 0.5847029, None), ("ic01", 1.0, -128), ("vww01", 1 / 255, -128)]
)
def test_grids_of_the_benchmark_data(task, scale, zero_point):
    spec = importlib.util.spec_from_file_location("loader", MODELS / "loader.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    x = loader.load(task, "calib")["x"][:20]
    found = choose_input(histogram(*x), finder(*x), EXTREMES)
    assert found[0] == pytest.approx(scale, rel=1e-6)
    assert zero_point is None or found[1] == zero_point
    assert np.abs(dequantize(quantize(x, *found), *found) - x).max() < 1e-3 * scale


# ---------------------------------------------------------------- observe


def test_observe():
    calls = []
    samples = load_samples(data(), ONE)
    seen = observe(lambda s: {"y": s["in/x:0"] * 2}, samples, ["in/x:0", "y"], lambda done, total: calls.append((done, total)))
    assert seen.samples == 5
    assert seen.histograms["y"].max == 2 * data().max()
    assert seen.histograms["y"].samples == 5
    assert seen.grids == {"in/x:0": Grid(1.0, 0, 59)}
    assert calls == [(i, 5) for i in range(1, 6)]


def test_observe_names_the_tensor_that_is_not_finite():
    samples = load_samples(data(), ONE)

    def run(s):
        x = s["in/x:0"]
        return {"y": np.where(x == 40, np.nan, x)}

    with pytest.raises(QuantizationError, match=r"^y: 1 of 12 values are NaN or inf on sample 3"):
        observe(run, samples, ["y"])


def test_a_memory_mapped_file_is_never_loaded(tmp_path):
    shape = (20_000, 256)
    file = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=shape)
    file[:, 0] = np.arange(20_000)
    file.flush()
    del file
    tracemalloc.start()
    try:
        seen = observe(lambda s: {}, load_samples(tmp_path / "x.npy", {"x": (1, 256)}), ["x"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen.histograms["x"].count == 20_000 * 256
    assert seen.histograms["x"].max == 19_999
    assert peak < 2_000_000  # the file is 20 MB


# ---------------------------------------------------------------- ranges


def actual_error(x: np.ndarray, frac_bits: int, zero_point: int) -> float:
    q = quantize(x, 2.0**-frac_bits, zero_point)
    return float(((dequantize(q, 2.0**-frac_bits, zero_point).astype(np.float64) - x) ** 2).mean())


@pytest.mark.parametrize("never_negative", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_mse_beats_minmax_on_heavy_tails(never_negative, seed):
    x = np.random.default_rng(seed).standard_t(3, 200_000).astype(np.float32)
    x = np.maximum(x, 0) if never_negative else x
    hist = histogram(x)
    chosen, minmax = (choose_range(hist, never_negative, m) for m in ("mse", "minmax"))
    assert chosen[0] >= minmax[0]
    assert actual_error(x, *chosen) <= actual_error(x, *minmax)
    if not never_negative:  # one bit less: here every one of these seeds is better off clipping
        assert actual_error(x, *chosen) < actual_error(x, *minmax)
    every = [actual_error(x, minmax[0] + extra, minmax[1]) for extra in range(EXTRA_BITS + 1)]
    assert actual_error(x, *chosen) <= 1.02 * min(every)


@pytest.mark.parametrize("extra", range(EXTRA_BITS + 1))
@pytest.mark.parametrize("never_negative", [False, True])
def test_squared_error_is_the_real_one(extra, never_negative):
    x = np.random.default_rng(1).laplace(size=300_000).astype(np.float32)
    x = np.maximum(x, 0) if never_negative else x
    hist = histogram(x)
    frac_bits, zero_point = choose_range(hist, never_negative, "minmax")
    expected = actual_error(x, frac_bits + extra, zero_point)
    assert squared_error(hist, frac_bits + extra, zero_point) == pytest.approx(expected, rel=0.02)


@settings(max_examples=300, deadline=None)
@given(float_arrays, st.sampled_from(METHODS), st.none() | st.integers(-20, 20))
def test_choose_range_holds_its_bounds(x, method, limit):
    never_negative = bool(x.min() >= 0)
    hist = histogram(x)
    frac_bits, zero_point = choose_range(hist, never_negative, method, limit)
    widest, _ = choose_range(hist, never_negative, "minmax")
    assert zero_point == (-128 if never_negative else 0)
    assert limit is None or frac_bits <= limit
    if limit is None:
        assert widest <= frac_bits <= widest + EXTRA_BITS
        assert squared_error(hist, choose_range(hist, never_negative, "mse")[0], zero_point) <= squared_error(
            hist, frac_bits, zero_point
        )
    real = x.astype(np.float64) * 2.0**widest + zero_point
    assert np.floor(real + 0.5).min() >= -128
    assert np.floor(real + 0.5).max() <= 127


@pytest.mark.parametrize(
    ("values", "never_negative", "frac_bits"),
    [
        ([-1.0, 0.9], False, 7),  # -128 is a level: asymmetric
        ([-1.0, 1.0], False, 6),
        ([0.0, 1.0], True, 7),
        ([0.0, 0.996], True, 8),
        ([0.0], True, 7),
        ([0.0], False, 7),
        ([300.0, 0.0], True, -1),
    ],
)
def test_minmax(values, never_negative, frac_bits):
    hist = histogram(np.float32(values))
    assert choose_range(hist, never_negative, "minmax") == (frac_bits, -128 if never_negative else 0)


def test_percentile_and_kl_cut_off_a_rare_outlier_and_nothing_else():
    x = np.random.default_rng(2).uniform(-0.9, 0.9, 100_000).astype(np.float32)
    for method in METHODS:
        assert choose_range(histogram(x), False, method)[0] == 7
    x[0] = 5.0  # one of 100,000: beyond 99.99 %
    assert choose_range(histogram(x), False, "minmax")[0] == 4
    assert choose_range(histogram(x), False, "percentile")[0] == 7
    assert choose_range(histogram(x), False, "kl")[0] in (6, 7)  # its 512 bins cannot tell these two apart


def test_unknown_method():
    with pytest.raises(BadInput, match="unknown calibration method 'best'"):
        choose_range(histogram(np.ones(3)), True, "best")


# ---------------------------------------------------------------- input ranges


@pytest.mark.parametrize(
    ("lo", "hi", "dtype", "expected"),
    [
        (0, 1, "uint8", (1 / 255, 0)),
        (0, 255, "uint8", (1.0, 0)),
        (0, 255, "int8", (1.0, -128)),
        (-128, 127, "int8", (1.0, 0)),
        (-1, 0, "int8", (1 / 255, 127)),
    ],
)
def test_declared(lo, hi, dtype, expected):
    assert declared_input(lo, hi, dtype) == expected


@pytest.mark.parametrize(("lo", "hi"), [(1, 2), (-2, -1), (0, 0), (1, -1), (0, math.inf), (math.nan, 1)])
def test_declared_range_without_zero(lo, hi):
    with pytest.raises(BadInput, match="declared input range") as error:
        declared_input(lo, hi, "int8", name="image")
    assert error.value.node == "image"
    assert error.value.hint


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 0), st.floats(1e-3, 1e6), st.sampled_from(["int8", "uint8"]))
def test_declared_range_is_covered(lo, hi, dtype):
    scale, zero_point = declared_input(lo, hi, dtype)
    x = np.linspace(lo, hi, 1001)
    q = quantize(x, scale, zero_point, dtype)
    assert len(np.unique(q)) == GRID_LEVELS
    assert np.abs((q.astype(np.float64) - zero_point) * scale - x).max() <= 0.5001 * scale
    assert quantize(np.zeros(1), scale, zero_point, dtype)[0] == zero_point


@pytest.mark.parametrize(("lowest", "highest", "expected"), [(0, 200, -128), (-200, 0, 127), (-60, 100, 0), (-211, 40, 85)])
def test_zero_point_of_a_grid(lowest, highest, expected):
    grid = Grid(0.5, lowest, highest)
    assert choose_input(histogram(np.ones(1)), grid, EXTREMES) == (0.5, expected)


def test_input_headroom_follows_the_spread_of_single_samples():
    assert with_headroom(np.array([[0, 1], [0, 1], [0, 1]])) == (0, 1)  # all agree: none
    assert with_headroom(np.array([[0, 0.5], [0, 0.6], [-1, 0.9]])) == (-2, pytest.approx(1.2))
    scale, zero_point = choose_input(histogram([0.0, 0.9]), None, np.array([[0, 0.5], [0, 0.6], [0, 0.9]]))
    assert (scale, zero_point) == (pytest.approx(1.2 / 255), -128)


def test_input_without_a_grid():
    x = np.random.default_rng(3).standard_normal(5000).astype(np.float32)
    scale, zero_point = choose_input(histogram(x), None, np.array([[x.min(), x.max()]]))
    assert scale == pytest.approx((float(x.max()) - float(x.min())) / 255)
    assert np.abs(dequantize(quantize(x, scale, zero_point), scale, zero_point) - x).max() <= 0.5001 * scale
    assert choose_input(histogram(np.zeros(3)), None, EXTREMES) == (2.0**-7, 0)
    assert choose_input(histogram(np.full(3, 2.0)), None, np.array([[2.0, 2.0]]), "uint8") == (2 / 255, 0)
