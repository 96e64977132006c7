"""The arithmetic that everything stands on."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeq.numerics import dequantize, frac_bits_for, frac_bits_of, quantize, round_half_up, round_shift, saturate, sqnr_db

int32 = st.integers(-(2**31), 2**31 - 1)


@given(int32, st.integers(0, 31))
def test_round_shift_is_floor_of_the_quotient_plus_one_half(v, s):
    assert int(round_shift(v, s)) == math.floor((2 * v + 2**s) // 2 ** (s + 1))


@given(int32, st.integers(1, 31))
def test_the_rounding_constant_in_the_bias_is_the_same_rounding(v, s):
    assert (v + (1 << (s - 1))) >> s == int(round_shift(v, s))


@given(st.floats(1e-30, 1e30), st.sampled_from([127, 255]))
def test_frac_bits_for_is_the_finest_that_fits(max_abs, limit):
    f = frac_bits_for(max_abs, limit)
    assert math.floor(max_abs * 2.0**f + 0.5) <= limit < math.floor(max_abs * 2.0 ** (f + 1) + 0.5)


@given(st.integers(-40, 40))
def test_frac_bits_of_a_power_of_two(f):
    assert frac_bits_of(2.0**-f) == f
    assert frac_bits_of(3 * 2.0**-f) is None


@given(st.integers(-128, 127), st.integers(-10, 20), st.sampled_from([0, -128, 37]))
def test_every_integer_survives_the_way_to_real_and_back(q, f, zero_point):
    x = dequantize(np.array([q], np.int8), 2.0**-f, zero_point)
    assert quantize(x, 2.0**-f, zero_point)[0] == q


def test_halves_round_up_and_saturate():
    assert round_half_up(np.array([-2.5, -0.5, 0.5, 1.5])).tolist() == [-2, 0, 1, 2]
    assert saturate(np.array([-1000, -129, -128, 127, 128])).tolist() == [-128, -128, -128, 127, 127]
    assert quantize(np.array([-1.0, 300.0]), 1.0, 0, "uint8").tolist() == [0, 255]


def test_sqnr():
    assert sqnr_db(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == math.inf
    assert sqnr_db(np.array([10.0]), np.array([9.0])) == 20
    assert sqnr_db(np.array([0.0]), np.array([1.0])) == -math.inf
