"""Jumps and exponents of truncated heavy-tailed SGD."""
import numpy as np
import pytest

from sdesim.analysis import theory
from sdesim.problems.landscape import Landscape


def test_widths_jumps_and_exponents_by_hand():
    found = theory.truncated_hierarchy([0.2, 0.9, 1.1], b=0.5, alpha=1.2)
    assert found.jumps.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.exponents, [1.2, 1.4, 1.6])
    assert found.widest == (2,)


def test_wells_of_a_landscape_count_maxima_and_not_the_walls():
    """cos has maxima at multiples of 2π; the wells of the domain's ends are left over their one maximum."""
    found = theory.truncated_hierarchy(Landscape("cos(x)", domain=(-3.5, 9.6)), b=2.0, alpha=1.5)
    np.testing.assert_allclose(found.widths, [np.pi] * 3, rtol=1e-6)
    np.testing.assert_allclose(found.minima, [-np.pi, np.pi, 3 * np.pi], rtol=1e-9)
    assert found.jumps.tolist() == [2, 2, 2] and found.widest == (0, 1, 2)
    np.testing.assert_allclose(found.exponents, 2.0)


def test_a_well_that_nothing_leads_out_of_is_never_left():
    found = theory.truncated_hierarchy(Landscape("x**2"), b=0.3, alpha=1.5)
    assert found.jumps.tolist() == [-1] and np.isinf(found.exponents).all() and found.widest == (0,)


@pytest.mark.parametrize(
    ("wells", "b", "alpha", "message"),
    [
        ([1.0, 0.3], 0.5, 1.5, "whole number"),
        ([1.0], 0.3, 0.9, "alpha > 1"),
        ([1.0], 0.0, 1.5, "positive"),
        ([], 0.3, 1.5, "positive width"),
        (Landscape("x**2 + y**2"), 0.3, 1.5, "2 variables"),
    ],
)
def test_what_the_theorem_excludes_is_refused(wells, b, alpha, message):
    with pytest.raises(ValueError, match=message):
        theory.truncated_hierarchy(wells, b, alpha)
