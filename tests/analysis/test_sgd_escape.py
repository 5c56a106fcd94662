"""The power law of SGD's escape against the quadrature of its SDE."""
from itertools import pairwise

import numpy as np
import pytest

from sdesim.analysis import theory
from sdesim.dynamics.sde import SDE
from sdesim.observe.regions import Interval
from sdesim.problems.landscape import Landscape

LOSS = Landscape("x**4/4 - x**2/2 + x/20 + 0.5")
LR = 0.1


def exact(batch_size):
    """Mean time from the left minimum to 0.8 under noise of variance 2 η h L/B, by quadrature."""
    h = LOSS.hessian(LOSS.minima[0])
    sde = SDE(-LOSS.gradient, f"sqrt({2 * LR * h / batch_size}*({LOSS.expr}))")
    return theory.mean_exit_time(sde, LOSS.minima[0], Interval(-np.inf, 0.8)).value


def test_the_power_law_is_the_small_noise_limit_of_the_quadrature():
    wrong = []
    for batch_size in (2, 4, 8, 16):
        found = theory.sgd_escape_time(LOSS, LR, batch_size, start=-1.0)
        wrong.append(exact(batch_size) / found.value - 1)
        assert abs(wrong[-1]) * found.value < found.error
    assert abs(wrong[-1]) < 5e-4 and all(abs(b) < 0.6 * abs(a) for a, b in pairwise(wrong))


def test_an_exponent_off_by_a_half_does_not_have_that_limit():
    """The exponent B/(ηh) + 1 of a formula that forgets the determinants, -n/2, is wrong by (L(s)/L(m))^½."""
    found = theory.sgd_escape_time(LOSS, LR, 16, start=-1.0).value
    climb = LOSS(LOSS.maxima[0]) / LOSS(LOSS.minima[0])
    assert abs(exact(16) / (found * climb**0.5) - 1) > 0.1


def test_in_the_plane_each_direction_takes_half_a_power():
    """A transverse curvature of 2 everywhere: the time of one variable times √(L(s)/L(m))^-1."""
    plane = Landscape("x**4/4 - x**2/2 + y**2 + 1", variables=["x", "y"])
    line = Landscape("x**4/4 - x**2/2 + 1")
    flat = theory.sgd_escape_time(line, LR, 4, start=-1.0).value
    found = theory.sgd_escape_time(plane, LR, 4, start=[-1.0, 0.0]).value
    assert found == pytest.approx(flat * (1 / 0.75) ** -0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.sgd_escape_time(Landscape("x**4/4 - x**2/2 + 0.25"), LR, 4, start=-1.0), "proportional"),
        (lambda: theory.sgd_escape_time(Landscape("x**4/4 - x**2/2 + 4*y**2 + 1"), LR, 4, [-1.0, 0.0]), "curvature="),
        (lambda: theory.sgd_escape_time(LOSS, 9.0, 1, start=-1.0), "small noise"),
        (lambda: theory.sgd_escape_time(LOSS, LR, 0, start=-1.0), "batch_size"),
        (lambda: theory.sgd_escape_time(Landscape("x**2 + 1"), LR, 4), "no saddle"),
    ],
)
def test_questions_outside_the_assumptions_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
