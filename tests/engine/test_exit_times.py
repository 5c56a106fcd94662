"""Exit times of large ensembles against exact mean exit times, exact laws, and the operators of the chains."""

import math

import numpy as np
import pytest
import scipy.special as special

import sdesim as sd
from tests import chance
from tests.engine.named import LAWS, LEFT, brownian, clipped, euler, plane, sgd, well

FOREVER = 1e5
DISC = sd.Ball([0, 0], 1.0)


def exit_times(dynamics, x0, region, n_paths=100_000, correction="auto", seed=7, **more):
    observers = [sd.FirstExit(region, correction)]
    ds = sd.run(dynamics, x0, n_paths, t_max=FOREVER, observers=observers, seed=seed, **more)
    assert (ds.status == sd.Status.EXITED).all()
    return ds


def crossed(t, drift):
    """P(τ ≤ t) of Brownian motion with drift at level 1 (Karatzas and Shreve 1991, section 3.5.C)."""
    root = np.sqrt(t)
    return special.ndtr((drift * t - 1) / root) + math.exp(2 * drift) * special.ndtr((-drift * t - 1) / root)


def below(x, t, drift):
    """P(X_t ≤ x, τ > t) for x ≤ 1, by reflection."""
    root = math.sqrt(t)
    return special.ndtr((x - drift * t) / root) - math.exp(2 * drift) * special.ndtr((x - 2 - drift * t) / root)


@pytest.mark.parametrize("dt", [0.5, 0.02])
@pytest.mark.parametrize("drift", [0.0, 0.8])
def test_brownian_motion_leaves_a_half_line_at_its_exact_time_whatever_the_step(dt, drift):
    dynamics, end = euler("v", 1.0, dt, params={"v": drift}, variables=["x"]), 10.0

    def simulated(correction):
        observers = [sd.FirstExit(sd.Interval(high=1.0), correction)]
        ds = sd.run(dynamics, 0.0, 100_000, t_max=end, observers=observers, seed=3)
        gone = ds.status.values == sd.Status.EXITED
        assert np.isnan(ds.exit_time.values[~gone]).all()
        return ds, gone

    def exact(t):
        return crossed(t, drift) / crossed(end, drift)

    ds, gone = simulated("bridge")
    assert chance.has_share(gone, float(crossed(end, drift)))
    assert chance.follows(ds.exit_time.values[gone], exact)
    assert (ds.exit_state.values[gone] == 1.0).all()
    assert chance.follows(ds.final_state.values[~gone], lambda x: below(x, end, drift) / below(1.0, end, drift))
    ds, gone = simulated(None)
    assert not chance.follows(ds.exit_time.values[gone], exact)


EXACT = {
    "double well through one end": (well(0.7, 0.01), -1.0, sd.Interval(high=0.0), 0.01),
    "double well, asymmetric interval": (well(0.7, 0.002), -0.8, sd.Interval(-1.6, -0.2), 0.01),
    "multiplicative noise": (
        euler("mu*x", "s*x", 0.004, params={"mu": 0.05, "s": 0.5}),
        1.0,
        sd.Interval(0.5, 1.6),
        0.01,
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_mean_exit_times_are_those_of_the_sde(case):
    """At a step where the remaining bias, of order dt, is below one hundredth; without correction it is not."""
    dynamics, x0, region, small = EXACT[case]
    exact = float(sd.theory.mean_exit_time(dynamics.sde, x0, region))
    times = exit_times(dynamics, x0, region).exit_time.values
    assert chance.has_mean(times, exact, bias=small * exact)
    assert not chance.has_mean(times, 1.05 * exact, bias=small * exact)
    late = exit_times(dynamics, x0, region, correction=None).exit_time.values
    assert not chance.has_mean(late, exact, bias=small * exact)


def test_with_the_bridge_the_error_in_dt_is_of_first_order_on_the_line_and_of_one_half_without():
    region, steps = sd.Interval(high=0.0), np.array([0.02, 0.04, 0.08])
    exact = float(sd.theory.mean_exit_time(well(1.0).sde, -1.0, region))
    bias = {}
    for correction in ("bridge", None):
        ds = exit_times(well(1.0), -1.0, region, 1_000_000, correction, vary={"dt": steps})
        mean, error = ds.exit_time.mean("path").values, ds.exit_time.std("path").values / 1000
        bias[correction] = mean - exact
        assert (np.abs(bias[correction]) > 4 * error).all()
    assert chance.slope(steps, bias["bridge"]) > 0.9
    assert 0.35 < chance.slope(steps, bias[None]) < 0.65
    assert (np.abs(bias["bridge"]) < 0.3 * np.abs(bias[None])).all()


def test_with_the_bridge_the_error_in_dt_is_of_first_order_in_a_disc_and_of_one_half_without():
    """The distance from the centre is a diffusion on the line, dr = (1/(2 r) - k r) dt + dW: its exit time is exact."""
    steps, rate = np.array([0.005, 0.01, 0.02]), 2.0
    radial = sd.SDE("1/(2*x) - k*x", 1.0, params={"k": rate})
    exact = float(sd.theory.mean_exit_time(radial, 0.3, sd.Interval(0.0, 1.0)))
    bias = {}
    for correction, n in (("bridge", 2_000_000), (None, 200_000)):
        ds = exit_times(plane(rate), [0.3, 0.0], DISC, n, correction, vary={"dt": steps})
        mean, error = ds.exit_time.mean("path").values, ds.exit_time.std("path").values / math.sqrt(n)
        bias[correction] = mean - exact
        assert (np.abs(bias[correction]) > 4 * error).all()
        radius = np.sqrt((ds.exit_state**2).sum("component"))
        assert np.allclose(radius, 1.0, atol=1e-12) == (correction == "bridge")
    assert chance.slope(steps, bias["bridge"]) > 0.9
    assert 0.3 < chance.slope(steps, bias[None]) < 0.65
    assert (np.abs(bias["bridge"]) < 0.4 * np.abs(bias[None])).all()


def test_with_the_bridge_brownian_motion_leaves_a_disc_on_time_at_steps_that_are_a_tenth_of_the_time():
    """E tau = (R**2 - r**2) / (2 sigma**2)."""
    for distance in (0.0, 0.6):
        exact = (1 - distance**2) / (2 * 0.8**2)
        for correction in ("bridge", None):
            ds = exit_times(plane(0.0, 0.8, 0.05), [distance, 0.0], DISC, 200_000, correction)
            assert chance.has_mean(ds.exit_time.values, exact, bias=0.004 * exact) == (correction == "bridge")
            assert not chance.has_mean(ds.exit_time.values, 1.04 * exact)


def test_exits_from_the_centre_of_a_disc_are_in_every_direction_alike():
    ds = exit_times(plane(0.0, dt=0.05), [0.0, 0.0], DISC, 50_000)
    x, y = (ds.exit_state.sel(component=c).values for c in "xy")
    assert chance.follows(np.arctan2(y, x), lambda a: (a + math.pi) / (2 * math.pi))
    assert not chance.follows(np.arctan2(y, 1.3 * x), lambda a: (a + math.pi) / (2 * math.pi))


GETOOR = [(1, 0.8), (1, 1.2), (1, 1.6), (2, 1.0), (2, 1.6), (3, 1.2), (3, 1.8)]


@pytest.mark.parametrize(("dim", "alpha"), GETOOR)
def test_stable_exit_times_extrapolated_in_dt_to_one_over_alpha_match_getoor(dim, alpha):
    """Three steps, their biases cancelled in dt**(1/alpha) and dt: what is left is far below the noise."""
    noise = sd.Stable(alpha, isotropic=None if dim == 1 else True)
    steps = np.array([1.0, 0.5, 0.25]) * 0.04
    region = sd.Interval(-1, 1) if dim == 1 else sd.Ball([0] * dim, 1.0)
    x0 = 0.3 if dim == 1 else [0.3] + [0.0] * (dim - 1)
    n = 400_000 if alpha < 1.5 else 1_500_000
    ds = exit_times(brownian(dim, noise=noise), x0, region, n, vary={"dt": steps})
    orders = [1 / alpha, 1.0] if abs(alpha - 1) > 0.01 else [1.0, 2.0]
    system = np.stack([np.ones(3), *(steps**p for p in orders)])
    weights = np.linalg.solve(system, [1.0, 0.0, 0.0])
    mean, error = ds.exit_time.mean("path").values, ds.exit_time.std("path").values / math.sqrt(n)
    value, width = float(weights @ mean), chance.WIDTH * float(np.sqrt(((weights * error) ** 2).sum()))
    exact = float(sd.theory.stable_exit_time(alpha, dim, 1.0, 0.3))
    assert abs(value - exact) < width
    assert width < 0.06 * exact
    assert abs(value - 1.1 * exact) > width
    assert abs(mean[0] - exact) > width or alpha < 1  # the extrapolation does something
    if dim > 1:
        assert abs(value - float(sd.theory.stable_exit_time(alpha, dim - 1, 1.0, 0.3))) > width


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_exit_times_of_recursions_are_those_of_the_transfer_operator(law):
    dynamics = sgd(law)
    exact = sd.theory.chain_exit_time(dynamics, -1.0, LEFT)
    steps = exit_times(dynamics, -1.0, LEFT).n_steps.values
    assert chance.has_mean(steps, exact.steps, bias=exact.steps_error)
    assert not chance.has_mean(steps, 1.04 * exact.steps, bias=exact.steps_error)
    other = sd.theory.chain_exit_time(sgd(law, 0.055), -1.0, LEFT)
    assert not chance.has_mean(steps, other.steps, bias=other.steps_error)


@pytest.mark.parametrize("b", [0.5, 0.9])
def test_exit_times_of_a_truncated_recursion_are_those_of_the_transfer_operator(b):
    region = sd.Interval(-1.7, 0.3)
    dynamics = clipped(b, 0.5)
    exact = sd.theory.chain_exit_time(dynamics, -1.0, region)
    steps = exit_times(dynamics, -1.0, region).n_steps.values
    assert chance.has_mean(steps, exact.steps, bias=exact.steps_error)
    assert not chance.has_mean(steps, 1.04 * exact.steps, bias=exact.steps_error)
    free = sd.theory.chain_exit_time(clipped(50.0, 0.5), -1.0, region)
    assert not chance.has_mean(steps, free.steps)


def test_without_correction_an_euler_chain_is_its_own_truth():
    exact = sd.theory.chain_exit_time(well(0.7), -1.0, LEFT)
    times = exit_times(well(0.7), -1.0, LEFT, correction=None)
    assert chance.has_mean(times.n_steps.values, exact.steps, bias=exact.steps_error)
    assert chance.has_mean(times.exit_time.values, exact.steps * 0.02, bias=exact.steps_error)
    sde = float(sd.theory.mean_exit_time(well(0.7).sde, -1.0, LEFT))
    assert not chance.has_mean(times.exit_time.values, sde)


def test_the_share_of_exits_through_the_upper_end_is_exact():
    """Brownian motion from x leaves (-1, 2) at 2 with probability (x + 1)/3, and it does so at the end itself."""
    ds = exit_times(euler("v", 1.0, 0.05, params={"v": 0.0}, variables=["x"]), 0.5, sd.Interval(-1.0, 2.0), 200_000)
    ends = ds.exit_state.values
    assert set(np.unique(ends)) == {-1.0, 2.0}
    assert chance.has_share(ends == 2.0, 0.5)
    assert not chance.has_share(ends == 2.0, 0.51)
