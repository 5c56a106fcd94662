"""Sums of doubles without rounding, against Python's exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sdesim.core.exactsum import LARGEST_MEAN, LIMBS, add_exact, exact_value, merge
from sdesim.engine.dataset import central_moments


def accumulate(values):
    sums = np.zeros((1, 1, 1, LIMBS), np.int64)
    for value in values:
        add_exact(sums, 0, 0, 0, float(value))
    return sums


def wide(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], n) * np.exp(rng.uniform(-740, 709, n))


def test_the_sum_is_exact_over_the_whole_range_of_doubles():
    values = [*wide(500), 5e-324, -5e-324, 1.7976931348623157e308, 0.0, -0.0, 2.0**-1022, -(2.0**-1074)]
    assert exact_value(accumulate(values)[0, 0, 0]) == sum(map(Fraction, values))


def test_a_rounded_sum_is_not_exact_here():
    values = wide(500)
    assert Fraction(math.fsum(values)) != sum(map(Fraction, values))


def test_order_and_splits_change_no_bit_once_carries_are_resolved():
    values = wide(300)
    whole = merge([accumulate(values)])
    assert np.array_equal(merge([accumulate(values[::-1])]), whole)
    for cut in (1, 100, 299):
        assert np.array_equal(merge([accumulate(values[:cut]), accumulate(values[cut:])]), whole)
    assert np.array_equal(merge([whole, accumulate([1.0])]), merge([accumulate([*values, 1.0])]))


def test_values_that_cancel_leave_nothing():
    values = wide(200)
    total = merge([accumulate([*values, *(-values[::-1])])])
    assert exact_value(total[0, 0, 0]) == 0


def moments_of(values, about=0.0):
    sums = np.zeros((1, 1, 4, LIMBS), np.int64)
    for value in values:
        power = 1.0
        for p in range(4):
            power *= value - about
            add_exact(sums, 0, 0, p, power)
    return central_moments(merge([sums])[0, 0], len(values), about)


def test_central_moments_are_those_of_scipy():
    values = np.random.default_rng(3).normal(2.0, 3.0, 400)
    centred = values - values.mean()
    expected = [values.mean(), *((centred**p).mean() for p in (2, 3, 4))]
    for about in (0.0, 2.0):
        np.testing.assert_allclose(moments_of(values, about), expected, rtol=1e-11)


def test_moments_of_no_path_are_nan():
    assert np.isnan(central_moments(np.zeros((4, LIMBS), np.int64), 0, 0.0)).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_power_beyond_the_largest_double_loses_that_moment_and_no_other(sign):
    mean, variance, third, fourth = moments_of([sign * 1e100, 0.0])
    assert mean == sign * 5e99
    assert variance == pytest.approx(2.5e199)
    assert abs(third) < 1e-15 * 1e300
    assert fourth == math.inf
    mean, variance, third, fourth = moments_of([sign * 1e200, 0.0, 1.0])
    assert mean == pytest.approx(sign * 1e200 / 3)
    assert variance == fourth == math.inf
    assert math.isnan(third)


def test_an_infinite_value_is_never_hidden_by_finite_ones():
    sums = accumulate([math.inf, *[-1.7e308] * 1000])
    assert exact_value(merge([sums])[0, 0, 0]) / 1001 > LARGEST_MEAN
