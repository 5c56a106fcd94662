"""The mean of log|a + b Z| against adaptive quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import sdesim as sd


@pytest.mark.parametrize(
    ("a", "b"),
    [(0.0, 1.0), (1.0, 1.0), (0.3, -2.0), (-1.0, 0.1), (1.0, 0.0708), (1.0, 0.0706), (5.0, 0.5), (1.0, 0.01)],
)
def test_mean_log_matches_adaptive_quadrature(a, b):
    def integrand(z):
        return math.log(abs(a + b * z)) * scipy.stats.norm.pdf(z) if a + b * z else 0.0

    cuts = sorted({-12.0, 12.0, *([-a / b] if abs(a / b) < 12 else [])})
    parts = [scipy.integrate.quad(integrand, *ends, epsabs=1e-13, limit=400)[0] for ends in itertools.pairwise(cuts)]
    assert sd.mean_log(a, b) == pytest.approx(sum(parts), abs=1e-10)
    assert sd.mean_log(a, 1.01 * b) != pytest.approx(sum(parts), abs=1e-7)


def test_mean_log_of_constants_and_of_both_sides_of_the_switch():
    assert sd.mean_log(-2.0, 0.0) == math.log(2.0)
    assert sd.mean_log(0.0, 0.0) == -math.inf
    assert sd.mean_log(1e-200, 1e-200) == pytest.approx(sd.mean_log(1.0, 1.0) - 200 * math.log(10))
    inside, outside = sd.mean_log(1.0, 1 / (10 * math.sqrt(2)) * np.array([1 + 1e-12, 1 - 1e-12]))
    assert inside == pytest.approx(outside, abs=1e-13)


def test_nan_stays_and_arrays_broadcast():
    found = sd.mean_log(np.array([[1.0], [np.nan]]), np.array([0.0, 1.0, np.nan]))
    assert found.shape == (2, 3)
    np.testing.assert_array_equal(np.isnan(found), [[False, False, True], [True, True, True]])
