"""Test of the exponential law: its null law under censoring and on a time grid, and its power."""

import numpy as np
import pytest
import scipy.stats

from sdesim.analysis import exits
from sdesim.analysis.exit_times.exponentiality import _of_sample, anderson_darling, anderson_darling_tail, within_steps
from sdesim.analysis.exit_times.trend import places
from tests.analysis.exit_data import censored, dataset
from tests.chance import follows, has_mean, has_share


def p_values(draw, repeats=2000, seed=0):
    rng = np.random.default_rng(seed)
    found = np.array([_of_sample(draw(rng))["p_value"] for _ in range(repeats)])
    return found[np.isfinite(found)]


def uniform(p):
    return np.clip(p, 0, 1)


@pytest.mark.parametrize(("n", "horizon"), [(20, np.inf), (40, 0.7), (60, 2.0), (300, 0.1)])
def test_p_values_are_uniform_for_exponential_exits(n, horizon):
    found = p_values(lambda rng: censored(rng.exponential(1.0, n), horizon))
    assert found.size > 1900 and follows(found, uniform) and has_share(found < 0.05, 0.05)


@pytest.mark.parametrize("p", [0.02, 0.4, 0.8])
def test_p_values_are_uniform_for_geometric_exits_on_a_grid(p):
    found = p_values(lambda rng: censored(0.1 * rng.geometric(p, 80), 0.1 * np.ceil(1.5 / p) + 0.01, 0.1))
    assert follows(found, uniform) and has_share(found < 0.05, 0.05)


def test_geometric_exits_without_the_correction_would_be_rejected():
    found = p_values(lambda rng: censored(0.1 * rng.geometric(0.4, 80), 0.45), 300)
    assert not follows(found, uniform)


def test_p_values_are_uniform_after_a_relaxation():
    def draw(rng):
        return censored(rng.choice([0.3, 0.6], 60) + rng.exponential(1.0, 60), 2.0)

    assert follows(p_values(lambda rng: draw(rng).after(0.6)), uniform)
    assert not follows(p_values(draw, 300), uniform)


WRONG = {
    "gamma": (lambda rng: rng.gamma(2, 0.5, 100), 0.9),
    "weibull": (lambda rng: rng.weibull(0.7, 100), 0.7),
    "two rates": (lambda rng: rng.exponential(np.where(rng.random(100) < 0.5, 0.2, 1.8)), 0.9),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_laws_are_found_out(name):
    draw, power = WRONG[name]
    found = p_values(lambda rng: censored(draw(rng), 1.0), 300)
    assert np.mean(found < 0.05) > power and not follows(found, uniform)


@pytest.mark.parametrize(("z", "p"), [(1.933, 0.10), (2.492, 0.05), (3.857, 0.01)])
def test_law_of_the_statistic_has_the_published_quantiles(z, p):
    """Anderson and Darling 1954, table 1; three decimals of z."""
    assert anderson_darling_tail(z) == pytest.approx(p, abs=3e-4)


def test_law_of_the_statistic_is_that_of_a_sum_of_squares():
    """P(sum X_j² / (j (j + 1)) > z) by Imhof's inversion of the characteristic function."""
    from scipy.integrate import quad

    j = np.arange(1, 2001)
    share = 1 / (j * (j + 1))

    def integrand(u, z):
        angle = 0.5 * np.arctan(share * u).sum() + 0.5 * u / 2001 - 0.5 * z * u
        return np.sin(angle) / (u * np.exp(0.25 * np.log1p((share * u) ** 2).sum()))

    for z in (0.3, 1.0, 4.0):
        exact = 0.5 + quad(integrand, 1e-12, 600, args=(z,), limit=1000)[0] / np.pi
        assert anderson_darling_tail(z) == pytest.approx(exact, abs=1e-7)
    below, above = anderson_darling_tail(16.0), anderson_darling_tail(16.0 + 1e-9)
    assert above == pytest.approx(below, rel=0.02) and anderson_darling_tail(0.0) == 1


def test_statistic_is_scipys():
    x = np.sort(np.random.default_rng(0).random(30))
    expected = scipy.stats.goodness_of_fit(
        scipy.stats.uniform, x, known_params={"loc": 0, "scale": 1}, statistic="ad", n_mc_samples=1
    ).statistic
    assert anderson_darling(x) == pytest.approx(expected, rel=1e-10)


def test_places_by_hand():
    """Exits at 1, 3, 4, a loss at 2: total time at risk 4, then 3 more, then 2, then 1; the last is the whole."""
    sample = censored(np.array([1.0, 9.0, 3.0, 4.0]), np.array([9.0, 2.0, 9.0, 9.0]))
    np.testing.assert_allclose(places(sample), [4 / 10, 9 / 10])


def test_spreading_within_steps_makes_a_geometric_law_exponential():
    rng, p = np.random.default_rng(1), 0.5
    sample = censored(1.0 * rng.geometric(p, 20_000), np.inf, 1.0)
    rate = -np.log1p(-p)
    spread = within_steps(sample, 1.0).time
    assert np.all(np.ceil(spread) == sample.time) and has_mean(spread, 1 / rate, 0.01)
    assert follows(spread[:4000], lambda t: -np.expm1(-rate * t))
    assert not follows(sample.time[:4000], lambda t: -np.expm1(-rate * t))


def test_a_dataset_over_a_sweep_and_what_it_says():
    rng = np.random.default_rng(2)
    times = np.stack([rng.exponential(1.0, 500), rng.gamma(3, 1 / 3, 500)])
    ds = dataset(times, 1.0, ("shape", "path")).assign_coords(shape=[1.0, 3.0])
    found = exits.exponentiality(ds)
    assert found.p_value.dims == ("shape",) and found.p_value[0] > 1e-6 > found.p_value[1]
    assert found.trend[1] > 4 and found.distance[1] > 3 * found.distance[0]
    one = exits.exponentiality(ds.isel(shape=1))
    assert one.p_value == found.p_value[1] and "p=" in str(one) and f"{one.n_exited} exits" in str(one)
    assert exits.exponentiality(ds.isel(shape=1)).p_value == one.p_value  # the same draw each time


def test_few_exits_give_no_p_value():
    found = exits.exponentiality(dataset(np.arange(1.0, 10.0)))
    assert np.isnan(found.p_value) and "9 exits are too few" in found.warning
    none = exits.exponentiality(dataset(np.full(20, 9.0), 1.0))
    assert np.isnan(none.p_value) and "rare_exit_time" in none.warning
