"""The plane on grids: closed forms, radial quadrature, products of problems on a line, and simulation."""

import numpy as np
import pytest
from scipy.integrate import quad

import sdesim as sd
from sdesim.analysis import theory
from sdesim.analysis.plane.exit import (
    extrapolated,
    plane_committor,
    plane_exit_time,
    plane_quasi_stationary_law,
)
from sdesim.analysis.plane.law import plane_stationary_law
from tests.chance import has_mean

BROWNIAN = sd.SDE([0, 0], 0.8, variables=["x", "y"])
FOCUS = sd.SDE(["-x - 2*y", "2*x - y"], 0.7)
DISC = sd.Ball((0.0, 0.0), 1.0)
MB = sd.Landscape(
    "-200*exp(-(x - 1)**2 - 10*y**2) - 100*exp(-x**2 - 10*(y - 0.5)**2)"
    " - 170*exp(-6.5*(x + 0.5)**2 + 11*(x + 0.5)*(y - 1.5) - 6.5*(y - 1.5)**2)"
    " + 15*exp(0.7*(x + 1)**2 + 0.6*(x + 1)*(y - 1) + 0.7*(y - 1)**2)"
)


def test_brownian_motion_leaves_a_disc_after_its_closed_form():
    points = np.array([[0.1, -0.2], [0.5, 0.6], [-0.95, 0.05]])
    found = plane_exit_time(BROWNIAN, points, DISC)
    np.testing.assert_allclose(found.value, (1 - (points**2).sum(axis=1)) / (2 * 0.64), rtol=1e-8)
    shifted = plane_exit_time(BROWNIAN, [1.3, 0.1], sd.Ball((1.0, 0.0), 1.0))
    assert shifted.value == pytest.approx((1 - 0.1) / (2 * 0.64), rel=1e-8)


def radial_mean(drift: float, sigma: float, r: float) -> float:
    """Mean exit time from the unit disc of dX = drift X dt + sigma dW plus any rotation, from radius r."""

    def inner(s: float) -> float:
        return quad(lambda u: u * np.exp(drift * (u * u - s * s) / sigma**2), 0, s, epsabs=1e-13)[0] / s

    return 2 / sigma**2 * quad(inner, r, 1, epsabs=1e-13)[0]


@pytest.mark.parametrize("start", [(0.0, 0.0), (0.3, -0.4)])
def test_a_focus_leaves_a_disc_like_its_radius_although_it_is_not_reversible(start):
    found = plane_exit_time(FOCUS, start, DISC)
    exact = radial_mean(-1.0, 0.7, float(np.hypot(*start)))
    assert abs(found.value - exact) <= found.error < 2e-3 * exact
    wrong = radial_mean(-1.1, 0.7, float(np.hypot(*start)))
    assert abs(found.value - wrong) > 10 * found.error


def test_a_half_plane_is_left_like_an_interval():
    sde = sd.SDE(["x - x**3", "-y"], [0.6, 0.9])
    found = plane_exit_time(sde, [-1.0, 0.2], sd.HalfSpace((1.0, 0.0), 0.0))
    exact = theory.mean_exit_time(sd.SDE("x - x**3", 0.6), -1.0, sd.Interval(-np.inf, 0.0)).value
    assert abs(found.value - exact) <= 2 * found.error < 5e-3 * exact


def test_diffusion_that_depends_on_the_state_in_both_calculi():
    """Independent coordinates; the Stratonovich equation has another drift and another time."""
    line = {c: sd.SDE("-x", "0.5 + 0.3*x**2", calculus=c) for c in ("ito", "stratonovich")}
    half = sd.Interval(-2.0, 1.0)
    exact = {c: theory.mean_exit_time(sde, 0.2, half, reflecting=-2.0).value for c, sde in line.items()}
    for calculus in exact:
        sde = sd.SDE(["-x", "-y"], ["0.5 + 0.3*x**2", "0.4"], calculus=calculus)
        found = plane_exit_time(sde, [0.2, 0.0], sd.HalfSpace((1.0, 0.0), 1.0), box=((-2, 2), (-2, 2)))
        assert found.value == pytest.approx(exact[calculus], rel=3e-3)
    assert abs(exact["ito"] / exact["stratonovich"] - 1) > 0.05


def test_walls_of_the_box_reflect():
    """Half of the strip: from 0.5 to either end of (0, 2) without, to one end with a wall at 1."""
    strip = sd.SDE([0, 0], 1.0, variables=["x", "y"])
    region = sd.HalfSpace((-1.0, 0.0), 0.0)
    found = plane_exit_time(strip, [0.5, 0.0], region, box=((-0.5, 1.0), (-1.0, 1.0)))
    assert found.value == pytest.approx(0.5 * (2 - 0.5), rel=1e-6)


def test_committor_of_brownian_motion_in_a_ring_is_a_logarithm():
    """From radius r between 0.3 and 1: log(r/0.3)/log(1/0.3)."""
    points = np.array([[0.5, 0.2], [-0.1, 0.8]])

    class Outside:
        dim = 2

        def contains(self, x: np.ndarray) -> np.ndarray:
            return (x**2).sum(axis=-1) > 1.0

    found = plane_committor(BROWNIAN, points, sd.Ball((0.0, 0.0), 0.3), Outside(), box=((-1.1, 1.1), (-1.1, 1.1)))
    exact = np.log(np.hypot(*points.T) / 0.3) / np.log(1 / 0.3)
    np.testing.assert_allclose(found.value, exact, atol=3e-5)


def test_committor_between_two_lines_is_that_of_the_interval():
    sde = sd.SDE(["x - x**3", "-y"], [0.5, 0.9])
    found = plane_committor(sde, [-0.2, 0.1], sd.HalfSpace((1.0, 0.0), -0.7), sd.HalfSpace((-1.0, 0.0), -0.6))
    scale = [quad(lambda u: np.exp(-4 * (u**2 - u**4 / 2)), -0.7, b)[0] for b in (-0.2, 0.6)]
    assert found.value == pytest.approx(scale[0] / scale[1], rel=1e-3)


def test_stationary_law_of_mueller_brown_is_gibbs_to_rounding():
    sde = sd.SDE(drift=-MB.gradient, diffusion=12.0)
    law = plane_stationary_law(sde, cells=100)
    points = np.stack(np.meshgrid(*law.axes, indexing="ij"), axis=-1)
    with np.errstate(over="ignore"):
        energy = 2 * (MB(points) - MB(MB.minima).min()) / 144
    likely = energy < 25
    ratio = law.density[likely] * np.exp(energy[likely])
    assert np.ptp(ratio) < 1e-9 * ratio.mean()
    assert law.edge < 1e-8


def test_stationary_law_of_a_focus_is_normal_although_it_is_not_reversible():
    law = plane_stationary_law(FOCUS)
    points = np.stack(np.meshgrid(*law.axes, indexing="ij"), axis=-1)
    normal = np.exp(-(points**2).sum(axis=-1) / 0.49) / (np.pi * 0.49)
    np.testing.assert_allclose(law.density, normal, atol=2e-3 * normal.max())
    found = law.mass(sd.Ball((0.0, 0.0), 0.7))
    assert abs(found.value - (1 - np.exp(-1))) <= found.error < 5e-3
    assert law.error < 5e-3


def test_quasi_stationary_law_of_brownian_motion_in_a_square_is_a_product_of_cosines():
    class Square:
        dim = 2

        def contains(self, x: np.ndarray) -> np.ndarray:
            return np.abs(x).max(axis=-1) < 1.0

    law = plane_quasi_stationary_law(BROWNIAN, Square(), box=((-1.2, 1.2), (-1.2, 1.2)))
    exact = 0.32 * 2 * (np.pi / 2) ** 2
    assert abs(law.rate.value - exact) <= law.rate.error < 5e-3 * exact
    assert law.gap == pytest.approx(0.32 * 3 * (np.pi / 2) ** 2, rel=1e-2)
    x, y = np.meshgrid(*law.axes, indexing="ij")
    inside = np.maximum(abs(x), abs(y)) < 1
    expected = np.where(inside, np.cos(np.pi * x / 2) * np.cos(np.pi * y / 2) * (np.pi / 4) ** 2, 0.0)
    np.testing.assert_allclose(law.density, expected, atol=5e-3)


def test_a_disc_given_as_a_sublevel_set_or_a_ball_is_the_same():
    bowl = sd.Landscape("x**2 + y**2")
    sde = sd.SDE(drift=-bowl.gradient, diffusion=0.7)
    ball, level = (plane_exit_time(sde, [0.2, 0.1], r) for r in (DISC, sd.Sublevel(bowl, 1.0)))
    assert abs(ball.value - level.value) <= ball.error + level.error


def test_a_basin_is_the_half_plane_of_its_watershed():
    wells = sd.Landscape("(x**2 - 1)**2 + y**2")
    sde = sd.SDE(drift=-wells.gradient, diffusion=0.9)
    box = ((-2.2, 0.3), (-2.2, 2.2))
    basin, plane = (
        plane_exit_time(sde, [-1.0, 0.0], r, box=box, max_cells=160)
        for r in (sd.Basin(wells, [-1.0, 0.0]), sd.HalfSpace((1.0, 0.0), 0.0))
    )
    assert basin.value == pytest.approx(plane.value, rel=2e-3)


@pytest.mark.parametrize("sigma", [8.0, 10.0, 14.0])
def test_simulated_exits_of_mueller_brown_match_the_grid(sigma):
    """Behind the saddle from the deep minimum; the twin with 10 % more noise must fail.

    The bias of the Euler steps is of order dt (λ dt = 0.04 for the stiffest mode): measured on a step twice as long.
    """
    region = sd.HalfSpace((-0.2, -1.0), -0.45)
    start = MB.minima[np.argmin(MB(MB.minima))]
    times = {}
    for dt in (2e-5, 1e-5):
        dynamics = sd.EulerMaruyama(sd.SDE(drift=-MB.gradient, diffusion=sigma), dt)
        ds = sd.run(dynamics, start, 4000, t_max=10.0, observers=[sd.FirstExit(region)], seed=5, progress=False)
        times[dt] = ds["exit_time"].values
    bias = abs(times[2e-5].mean() - times[1e-5].mean())
    found = plane_exit_time(sd.SDE(drift=-MB.gradient, diffusion=sigma), start, region)
    twin = plane_exit_time(sd.SDE(drift=-MB.gradient, diffusion=1.1 * sigma), start, region)
    assert has_mean(times[1e-5], found.value, bias + found.error)
    assert not has_mean(times[1e-5], twin.value, bias + twin.error)


def test_extrapolation_needs_the_order_of_the_scheme():
    value, error = extrapolated(*(np.array([1 + h**2, 1 + h]) for h in (0.4, 0.2, 0.1)))
    np.testing.assert_allclose(value, [1.0, 1.1])
    np.testing.assert_allclose(error, [0.01, 0.1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plane_exit_time(sd.SDE("-x", 1.0), [0.0, 0.0], DISC), "two dimensions, got 1"),
        (lambda: plane_exit_time(sd.SDE(["-x", "-y", "-z"], 1.0), [0.0, 0.0], DISC), "two dimensions, got 3"),
        (lambda: plane_exit_time(sd.SDE(["-x", "-y"], 1.0, sd.Stable(1.5, True)), [0, 0], DISC), "Gaussian noise"),
        (lambda: plane_exit_time(sd.SDE(["-x", "-y"], [[1, 0.5], [0, 1]]), [0, 0], DISC), "diagonal"),
        (lambda: plane_exit_time(sd.SDE(["-x*t", "-y"], 1.0), [0, 0], DISC), "time t"),
        (lambda: plane_exit_time(BROWNIAN, [2.0, 0.0], DISC), "outside the region: start inside"),
        (lambda: plane_exit_time(BROWNIAN, 0.0, DISC), "two components"),
        (lambda: plane_exit_time(BROWNIAN, [0, 0], sd.Interval(-1, 1)), "dimension two"),
        (lambda: plane_exit_time(BROWNIAN, [0, 0], sd.HalfSpace((1, 0), 1)), "give box="),
        (lambda: plane_exit_time(BROWNIAN, [0, 0], DISC, box=((1, -1), (0, 1))), "low < high"),
        (lambda: plane_exit_time(BROWNIAN, [0, 0], DISC, box=((0.2, 1), (-1, 1))), "does not hold x0"),
        (lambda: plane_exit_time(BROWNIAN, [0, 0], DISC, box=((-0.5, 0.5), (-0.5, 0.5))), "wider box"),
        (lambda: plane_exit_time(sd.SDE(["-x", "-y"], ["x", "1"]), [0.1, 0], DISC), "vanishes"),
        (lambda: plane_committor(BROWNIAN, [0, 0], DISC, sd.Ball((2, 2), 0.1)), "in the set A"),
        (lambda: plane_quasi_stationary_law(BROWNIAN, sd.HalfSpace((1, 0), 1)), "give box="),
        (lambda: plane_stationary_law(BROWNIAN), "give box="),
    ],
)
def test_refusals_are_one_line_and_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
