"""The crossing law of a Brownian bridge against a finely simulated bridge and against its density."""

import math

import numpy as np
import pytest
import scipy.integrate

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.observe import bridge
from tests import chance

DT, SIGMA = 0.3, 1.4
DYNAMICS = sd.EulerMaruyama(sd.SDE("x*0", SIGMA, variables=["x"]), DT)
ONE = sd.Interval(high=1.0)


def ends(a, b):
    return np.array([[a]]), np.array([[b]])


def crossing_density(s, rho0, rho1):
    """First passage at s, then from the boundary to rho1 (either side) in the rest, over the unconditioned density."""
    v = SIGMA**2
    first = rho0 / np.sqrt(2 * math.pi * v * s**3) * np.exp(-(rho0**2) / (2 * v * s))
    rest = np.exp(-(rho1**2) / (2 * v * (DT - s))) / math.sqrt(2 * math.pi * v) / np.sqrt(DT - s)
    return first * rest / (math.exp(-((rho0 - rho1) ** 2) / (2 * v * DT)) / math.sqrt(2 * math.pi * v * DT))


@pytest.mark.parametrize(("rho0", "rho1"), [(0.3, 0.4), (0.05, 1.0), (1.0, 0.02), (0.6, 0.6)])
def test_the_probability_of_a_crossing_is_the_mass_of_the_passage_density(rho0, rho1):
    got = float(bridge.probability(NUMPY, DYNAMICS, ONE, *ends(1 - rho0, 1 - rho1), 0)[0])
    mass = scipy.integrate.quad(lambda s: crossing_density(s, rho0, rho1), 0, DT, epsabs=1e-12, limit=200)[0]
    assert got == pytest.approx(math.exp(-2 * rho0 * rho1 / (SIGMA**2 * DT)), rel=1e-12)
    assert got == pytest.approx(mass, rel=1e-7)


@pytest.mark.parametrize(("rho0", "rho1"), [(0.3, 0.4), (0.05, 1.0), (0.8, -0.2), (0.2, -1.5), (0.5, 1e-9)])
def test_the_time_of_a_crossing_follows_its_density(rho0, rho1):
    n = 40_000
    rng = np.random.default_rng(4)
    normal, v = rng.normal(size=n), rng.uniform(size=n)
    x0, x1 = (np.full((n, 1), 1 - rho) for rho in (rho0, rho1))
    with np.errstate(all="ignore"):  # the distance to the other end is infinite
        fraction, place = bridge.crossing(NUMPY, DYNAMICS, ONE, x0, x1, 0, normal * normal, v)
    assert ((fraction > 0) & (fraction < 1)).all()
    assert (place == 1.0).all()
    grid = DT * (1 - np.cos(np.linspace(0, math.pi, 20_001))) / 2
    middle = 0.5 * (grid[1:] + grid[:-1])
    mass = np.concatenate([[0], np.cumsum(crossing_density(middle, rho0, rho1) * np.diff(grid))])
    assert chance.follows(fraction, lambda s: np.interp(s * DT, grid, mass / mass[-1]))
    assert not chance.follows(fraction**1.1, lambda s: np.interp(s * DT, grid, mass / mass[-1]))


def test_a_bridge_over_a_drift_crosses_like_one_without():
    drifting = sd.EulerMaruyama(sd.SDE("2.5 + x*0", SIGMA, variables=["x"]), DT)
    assert bridge.probability(NUMPY, drifting, ONE, *ends(0.5, 0.7), 0) == bridge.probability(
        NUMPY, DYNAMICS, ONE, *ends(0.5, 0.7), 0
    )


def test_in_an_interval_the_nearer_end_in_the_exponent_is_crossed():
    both = sd.Interval(-1.0, 1.0)
    x0, x1 = np.array([[0.8], [-0.8], [0.1], [0.1]]), np.array([[0.9], [-0.9], [1.7], [-1.7]])
    _, place = bridge.crossing(NUMPY, DYNAMICS, both, x0, x1, 0, np.ones(4), np.full(4, 0.3))
    assert place.tolist() == [1.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("law", ["auto", "bridge", None])
@pytest.mark.parametrize(
    ("dynamics", "region", "applies"),
    [
        (DYNAMICS, ONE, True),
        (DYNAMICS, sd.Sublevel(sd.Landscape("x**2"), 1.0), False),
        (sd.EulerMaruyama(sd.SDE("-x", 1.0, noise=sd.Stable(1.5)), DT), ONE, False),
        (sd.SGD(sd.Landscape("x**2"), DT), ONE, False),
        (sd.Truncated(DYNAMICS, 0.1), ONE, False),
        (sd.Projected(DYNAMICS, sd.Interval(-2, 2)), ONE, False),
    ],
)
def test_the_bridge_is_used_where_it_is_defined_and_refused_elsewhere(dynamics, region, applies, law):
    observer = sd.FirstExit(region, law)
    if law == "bridge" and not applies:
        with pytest.raises(ValueError, match=r"correction='bridge' is not defined here: .*; write correction=None"):
            observer.uses_bridge(dynamics)
        return
    assert observer.uses_bridge(dynamics) == (applies and law is not None)


def test_far_from_the_boundary_nothing_crosses():
    assert float(bridge.probability(NUMPY, DYNAMICS, ONE, *ends(-30.0, -30.0), 0)[0]) < 2.0**-53


@pytest.mark.parametrize("region", [ONE, sd.Interval(-0.5, 1.0)], ids=str)
def test_rarity_bounds_the_inverse_probability_from_below(region):
    rng = np.random.default_rng(6)
    x0, x1 = (rng.uniform(-0.5, 1.0, size=(4_000, 1)) for _ in range(2))
    with np.errstate(all="ignore"):
        p = bridge.probability(NUMPY, DYNAMICS, region, x0, x1, 0)
        bound = bridge.rarity(NUMPY, DYNAMICS, region, x0, x1, 0)
    assert (bound * p < 1).all()
    assert (bound[p < 1e-8] > 1e3).all()  # far from the boundary it settles nearly every uniform
    assert not (2.5 * bound * p < 1).all()  # and near it there is no room for more
