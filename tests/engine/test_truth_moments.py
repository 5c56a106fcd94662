"""Laws of linear equations and geometric Brownian motion: closed forms of the chain and of the SDE."""

import math

import numpy as np
import pytest
import scipy.special as special

import sdesim as sd
from tests import chance
from tests.engine.named import brownian, euler, linear

RATE, NOISE = 1.3, 0.6


def chain_law(dt, steps, x0=1.0):
    """Mean and variance of the Euler chain of dX = -k X dt + s dW after so many steps."""
    q = 1 - RATE * dt
    return x0 * q**steps, NOISE**2 * dt * (1 - q ** (2 * steps)) / (1 - q * q)


@pytest.fixture(scope="module")
def decaying():
    times = [0.0, 0.1, 0.5, 2.0]
    observers = [sd.Record(times), sd.Moments(times)]
    return sd.run(linear(RATE, NOISE, 0.05), 1.0, 200_000, t_max=2.0, observers=observers, seed=1)


def test_an_ornstein_uhlenbeck_chain_has_its_exact_law_at_every_time(decaying):
    for time in (0.1, 0.5, 2.0):
        x = decaying.state.sel(time=time).values
        mean, variance = chain_law(0.05, round(time / 0.05))
        assert chance.follows(x, lambda v, m=mean, s=variance: special.ndtr((v - m) / math.sqrt(s)))
        assert not chance.follows(x, lambda v, m=mean, s=variance: special.ndtr((v - m) / math.sqrt(1.06 * s)))
        assert chance.has_mean(x, mean)
        assert not chance.has_mean(x, mean + 0.01)


def test_moments_are_those_of_the_recorded_states(decaying):
    for i in range(4):
        x = decaying.state.isel(time=i).values
        centred = x - x.mean()
        assert float(decaying.moment_mean[i]) == pytest.approx(x.mean(), rel=1e-13)
        for power, name in ((2, "variance"), (3, "third"), (4, "fourth")):
            assert float(decaying[f"moment_{name}"][i]) == pytest.approx((centred**power).mean(), rel=1e-9, abs=1e-12)
    assert (decaying.moment_count == 200_000).all()


def test_the_fourth_moment_is_that_of_a_normal(decaying):
    _, variance = chain_law(0.05, 40)
    spread = 3 * variance**2 * math.sqrt(96 / 9 / 200_000)  # standard error of a fourth moment: sqrt(96) s**4
    assert abs(float(decaying.moment_fourth[3]) - 3 * variance**2) < chance.WIDTH * spread


def test_a_stationary_start_stays_stationary():
    variance = NOISE**2 * 0.05 / (1 - (1 - RATE * 0.05) ** 2)
    start = sd.Gaussian(math.sqrt(variance))
    ds = sd.run(
        linear(RATE, NOISE, 0.05), start, 100_000, t_max=3.0, observers=[sd.Record([0, 3.0]), sd.Moments([0, 3.0])]
    )
    for i in (0, 1):
        assert chance.follows(ds.state.isel(time=i).values, lambda v: special.ndtr(v / math.sqrt(variance)))
    sde = NOISE**2 / (2 * RATE)
    assert not chance.follows(ds.state.isel(time=1).values, lambda v: special.ndtr(v / math.sqrt(sde * 1.1)))


def test_the_bias_of_the_stationary_variance_is_of_first_order_in_dt():
    """Common noise cannot help here; the steps are large enough that the bias is many standard errors."""
    steps = [0.1, 0.2, 0.4]
    ds = sd.run(
        linear(RATE, NOISE), 0.0, 400_000, n_steps=60, observers=[sd.Record([0]), sd.Moments([0])], vary={"dt": steps}
    )
    variance = ds.final_state.var("path").values
    limit = NOISE**2 / (2 * RATE)
    exact = [limit / (1 - RATE * dt / 2) for dt in steps]
    error = np.array(exact) * math.sqrt(2 / 400_000)
    assert (np.abs(variance - exact) < chance.WIDTH * error).all()
    assert 0.9 < chance.slope(steps, variance - limit) < 1.3
    assert (np.abs(variance - limit) > 10 * error).all()


@pytest.mark.parametrize("alpha", [0.8, 1.5, 2.0])
def test_a_linear_chain_with_stable_noise_is_stable_with_its_exact_scale(alpha):
    """S(n+1)**alpha = |1 - k dt|**alpha S(n)**alpha + s**alpha dt."""
    dt, n = 0.1, 40
    ds = sd.run(linear(RATE, NOISE, dt, sd.Stable(alpha)), 0.0, 100_000, n_steps=n, seed=2)
    q = abs(1 - RATE * dt) ** alpha
    scale = (NOISE**alpha * dt * (1 - q**n) / (1 - q)) ** (1 / alpha)
    x = ds.final_state.values
    assert chance.follows(x, sd.Stable(alpha, scale=scale).cdf)
    assert not chance.follows(x, sd.Stable(alpha, scale=1.08 * scale).cdf)
    for xi in (0.5, 2.0):
        assert chance.has_mean(np.cos(xi * x), math.exp(-((scale * xi) ** alpha)))


MU, SIGMA, T = 0.4, 0.7, 1.0
STEPS = [1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128]


@pytest.fixture(scope="module")
def geometric():
    """Geometric Brownian motion beside the Brownian motion that drives it: the closed form needs its end."""
    dynamics = euler(["mu*x", 0], [["s*x"], [1]], variables=["x", "w"], params={"mu": MU, "s": SIGMA})
    return sd.run(dynamics, [1.0, 0.0], 100_000, t_max=T, vary={"dt": STEPS}, seed=4)


def closed_form(w):
    return np.exp((MU - SIGMA**2 / 2) * T + SIGMA * w)


def test_geometric_brownian_motion_converges_to_its_closed_form_with_strong_order_one_half(geometric):
    x, w = (geometric.final_state.sel(component=c).values for c in "xw")
    for row in w:
        assert chance.follows(row, special.ndtr)
    error = np.sqrt(((x - closed_form(w)) ** 2).mean(axis=1))
    assert 0.45 < chance.slope(STEPS, error) < 0.58
    unrelated = np.sqrt(((x - closed_form(np.roll(w, 1, axis=1))) ** 2).mean(axis=1))
    assert chance.slope(STEPS, unrelated) < 0.05


def test_geometric_brownian_motion_has_weak_order_one(geometric):
    """The closed form of the same path is a control variate: its mean is known, its noise almost that of the chain."""
    x, w = (geometric.final_state.sel(component=c).values for c in "xw")
    exact = math.exp(MU * T)
    for row, noise, dt in zip(x, w, STEPS, strict=True):
        assert chance.has_mean(row, (1 + MU * dt) ** round(T / dt))
        assert chance.has_mean(closed_form(noise), exact)
    bias = [(1 + MU * dt) ** round(T / dt) - exact for dt in STEPS]
    measured = (x - closed_form(w)).mean(axis=1)
    assert (np.abs(measured - bias) < chance.WIDTH * (x - closed_form(w)).std(axis=1) / math.sqrt(x.shape[1])).all()
    second = (x**2 - closed_form(w) ** 2).mean(axis=1)
    assert 0.85 < chance.slope(STEPS[:3], second[:3]) < 1.15


@pytest.mark.parametrize("substeps", [2, 3, 4])
def test_a_coarse_chain_with_substeps_sees_the_path_of_the_fine_one(substeps):
    """Additive noise and no drift: both end at the same point, whatever the shape of the rounds."""
    for dim in (1, 2):
        coarse = sd.EulerMaruyama(brownian(dim).sde, 0.12, substeps)
        fine = sd.EulerMaruyama(brownian(dim).sde, 0.12 / substeps)
        x0 = 0.0 if dim == 1 else [0.0, 0.0]
        a, b = (sd.run(d, x0, 5, t_max=1.2, seed=3, engine="reference") for d in (coarse, fine))
        np.testing.assert_allclose(a.final_state.values, b.final_state.values, rtol=1e-12, atol=1e-13)
        other = sd.run(fine, x0, 5, t_max=1.2, seed=4, engine="reference")
        assert not np.allclose(a.final_state.values, other.final_state.values)


def test_strong_order_measured_with_substeps_on_one_path_is_one_half():
    """The same fine Brownian path under ever coarser chains, on the reference engine."""
    fine, levels = 64, [2, 4, 8, 16]
    sde = sd.SDE("mu*x", "s*x", params={"mu": MU, "s": SIGMA})
    chains = [sd.EulerMaruyama(sde, m / fine, m) for m in levels]
    ends = [sd.run(c, 1.0, 4000, t_max=1.0, engine="reference").final_state.values for c in chains]
    additive = sd.EulerMaruyama(brownian(1).sde, 1 / fine)
    w = sd.run(additive, 0.0, 4000, t_max=1.0, engine="reference").final_state.values
    errors = [np.sqrt(np.mean((x - closed_form(w)) ** 2)) for x in ends]
    assert 0.4 < chance.slope([m / fine for m in levels], errors) < 0.62
