"""Basins of attraction in one and several dimensions."""

import numpy as np
import pytest

import sdesim as sd
from tests.problems.named import MUELLER_BROWN

COUPLED = "(x**2 - 1)**2/4 + y**2/2 + 0.1*x*y"


def test_basin_of_one_variable_is_the_interval_between_maxima() -> None:
    well = sd.Landscape("x**4/4 - x**2/2")
    assert sd.Basin(well, -0.3) == sd.Interval(-np.inf, 0.0)


def test_basin_of_a_separable_landscape_is_the_half_plane() -> None:
    basin = sd.Basin(sd.Landscape("(x**2 - 1)**2/4 + y**2/2"), [-0.8, 0.1])
    points = np.random.default_rng(0).uniform(-1.5, 1.5, size=(2000, 2))
    points = points[np.abs(points[:, 0]) > 1e-3]
    assert np.array_equal(basin.contains(points), points[:, 0] < 0)


@pytest.mark.parametrize(("formula", "rate"), [(COUPLED, 0.1), (MUELLER_BROWN, 3e-4)])
def test_basins_agree_with_a_plain_gradient_flow(formula: str, rate: float) -> None:
    """Small explicit steps of the unnormalised flow, stopped next to a minimum, are the slow reference."""
    landscape = sd.Landscape(formula)
    minima = landscape.minima
    low, high = minima.min(axis=0) - 0.3, minima.max(axis=0) + 0.3
    x = np.random.default_rng(1).uniform(low, high, size=(150, 2))
    start = x.copy()
    for _ in range(4_000):
        g = landscape.gradient(x)
        x -= np.minimum(rate, 2e-3 / np.linalg.norm(g, axis=1, keepdims=True)) * g
    near = np.linalg.norm(x[:, None] - minima[None], axis=2)
    settled = near.min(axis=1) < 0.05
    assert settled.mean() > 0.9
    for j, minimum in enumerate(minima):
        inside = sd.Basin(landscape, minimum).contains(start[settled])
        assert np.mean(inside != (near.argmin(axis=1) == j)[settled]) <= 0.005


def test_exits_from_a_basin_agree_with_the_reference_path_by_path() -> None:
    landscape = sd.Landscape(COUPLED)
    chain = sd.EulerMaruyama(sd.SDE(-landscape.gradient, 0.6), 0.05)
    watched = [sd.FirstExit(sd.Basin(landscape, [-1.0, 0.1]))]
    one, two = (
        sd.run(chain, [-1.0, 0.0], n_paths=100, n_steps=200, observers=watched, seed=3, engine=engine)
        for engine in ("native", "reference")
    )
    assert (one["status"] == sd.Status.EXITED).sum() > 20
    assert np.array_equal(one["status"], two["status"])
    assert np.array_equal(one["n_steps"], two["n_steps"])
    np.testing.assert_allclose(one["exit_state"], two["exit_state"], rtol=1e-9)


def test_a_start_between_basins_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches none of the minima"):
        sd.Basin(sd.Landscape("x**4/4 - x**2/2"), 0.0)
    with pytest.raises(TypeError, match="needs a Landscape"):
        sd.Basin("x**2", 0.0)
