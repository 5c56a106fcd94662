"""Side and place of the exit: coverage, laws known in closed form, and a run."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import sdesim as sd
from sdesim.analysis import exits
from sdesim.analysis.exit_times.location import _of_cell
from sdesim.analysis.exit_times.sample import Sample
from sdesim.analysis.exit_times.side import _of_sample
from tests.analysis.exit_data import covers, dataset, hits
from tests.chance import ALARM

SURE = 1 - ALARM


def two_sided(rng, n, share, depends=False, dims=("path",), shape=()):
    """Exponential exits, a share of them at 2 and the others at -1; at 2 later, if they depend on each other."""
    up = rng.random((*shape, n)) < share
    times = rng.exponential(1.0, up.shape) * (1 + 2 * (depends & up))
    state = np.where(times <= 1.0, np.where(up, 2.0, -1.0), np.nan)
    return dataset(times, 1.0, dims, exit_state=(dims, state))


@pytest.mark.parametrize(("n", "share"), [(8, 0.2), (60, 0.9)])
def test_share_of_a_side_is_covered_by_enumeration(n, share):
    """Every number of exits through the high end, weighted by its probability."""
    inside = np.zeros(n + 1, dtype=bool)
    for k in range(n + 1):
        place, ones = np.where(np.arange(n) < k, 2.0, -1.0), np.ones(n)
        found = _of_sample(Sample(ones, ones > 0), place, 0 * ones, level=0.95)
        inside[k] = found["low"][1] <= share <= found["high"][1]
    weights = scipy.stats.binom(n, [[share], [1 - share]]).pmf(np.arange(n + 1))
    covered, wrong = (weights * inside).sum(axis=1)
    assert 0.95 <= covered <= 1 and wrong < 0.8


def test_shares_of_a_dataset_add_up_and_count():
    ds = two_sided(np.random.default_rng(0), 400, 0.3)
    found = exits.exit_side(ds, between=0.0, level=SURE)
    assert found.value.dims == ("side",) and float(found.value.sum()) == pytest.approx(1)
    assert found.low.sel(side="high") < 0.3 < found.high.sel(side="high")
    assert found.n == found.n_exited == 400 - found.n_censored and found.warning == ""
    np.testing.assert_allclose(found.low.sel(side="low"), 1 - found.high.sel(side="high"))


def test_a_side_that_depends_on_the_time_carries_a_warning():
    ds = two_sided(np.random.default_rng(1), 20_000, 0.5, depends=True)
    assert "high end come later" in exits.exit_side(ds, between=0.0).warning
    quiet = [exits.exit_side(two_sided(np.random.default_rng(s), 200, 0.5), 0.0).warning for s in range(50)]
    assert quiet == [""] * 50


def test_sides_of_a_sweep_with_a_point_for_each_cell():
    ds = two_sided(np.random.default_rng(2), 100, 0.3, False, ("shift", "path"), (2,)).assign_coords(shift=[0.0, 10.0])
    ds["exit_state"] = ds["exit_state"] + ds["shift"]
    found = exits.exit_side(ds, between=ds["shift"])
    assert found.value.dims == ("shift", "side")
    alone = exits.exit_side(ds.isel(shift=1), between=10.0)
    np.testing.assert_array_equal(found.value[1], alone.value)
    assert exits.exit_side(ds, between=0.0).value[1, 1] == 1  # a wrong point puts every exit on one side


@pytest.fixture(scope="module")
def brownian():
    """Brownian motion from 0 in (-1, high): leaves at high with probability 1/(1 + high)."""
    motion = sd.EulerMaruyama(sd.SDE(drift="0*x", diffusion=1.0), dt=1e-2)
    observers = [sd.FirstExit(sd.Interval(-1.0, 2.0))]
    return sd.run(motion, 0.0, 4000, t_max=100.0, seed=5, observers=observers, vary={"high": [1.0, 2.0, 4.0]})


def test_brownian_motion_leaves_as_the_scale_function_says(brownian):
    found = exits.exit_side(brownian, level=SURE).low.sel(side="high"), exits.exit_side(brownian, level=SURE).high
    truth = 1 / (1 + brownian["high"])
    assert np.all((found[0] < truth) & (truth < found[1].sel(side="high")))
    place = exits.exit_location(brownian, level=SURE)
    assert np.all((place.mean.low < 0) & (place.mean.high > 0))  # a martingale
    assert np.all((place.covariance.low < brownian["high"]) & (brownian["high"] < place.covariance.high))
    assert place.covariance.value.dims == ("high",) and place.quantiles.value.dims == ("high", "quantile")


def test_the_ends_come_from_the_run_or_are_asked_for(brownian):
    one = brownian.sel(high=1.0, drop=True)
    assert "low" in one.attrs["parameters"]
    assert exits.exit_side(one).value[1] == exits.exit_side(one, between=-0.5).value[1]  # low alone is known
    with pytest.raises(ValueError, match=r"between=x\) with a point"):
        exits.exit_side(two_sided(np.random.default_rng(0), 9, 0.5))


def disc(rng, n, start=0.0):
    """Exit of Brownian motion from the unit disc at its centre: uniform on the circle (start: shifted law)."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle) + start, np.sin(angle)], axis=1)


def place_of(states, name, entry):
    found = _of_cell(Sample(np.ones(len(states)), np.ones(len(states), bool)), states, np.array([0.1, 0.5]), 0.95)[name]
    return {"low": found[(1, *entry)], "high": found[(2, *entry)]}


PLACES = [("mean", (0,), 0.0), ("quantiles", (0, 0), -np.cos(0.1 * np.pi)), ("quantiles", (1, 1), 0.0),
          ("covariance", (0, 0), 0.5), ("covariance", (0, 1), 0.0)]  # fmt: skip


@pytest.mark.parametrize(("name", "entry", "truth"), PLACES)
@pytest.mark.parametrize("n", [20, 100])
def test_place_of_the_exit_from_a_disc_is_covered(n, name, entry, truth):
    found = hits(lambda rng: disc(rng, n), lambda x: place_of(x, name, entry), truth, 1000)
    assert covers(found)


def test_place_of_another_law_is_not_covered():
    wrong = lambda rng: disc(rng, 100, 0.3)  # noqa: E731
    assert not covers(hits(wrong, lambda x: place_of(x, "mean", (0,)), 0.0, 200))
    assert not covers(hits(wrong, lambda x: place_of(x, "quantiles", (0, 1)), 0.0, 200))
    assert not covers(hits(lambda rng: 1.2 * disc(rng, 100), lambda x: place_of(x, "covariance", (0, 0)), 0.5, 200))


def test_components_are_labelled_and_numpys():
    states = disc(np.random.default_rng(3), 50)
    ds = dataset(np.ones(50), exit_state=(("path", "component"), states)).assign_coords(component=["x", "y"])
    found = exits.exit_location(ds, [0.5])
    np.testing.assert_allclose(found.mean.value, states.mean(axis=0))
    np.testing.assert_allclose(found.covariance.value, np.cov(states.T))
    assert found.covariance.value.sel(component="x", other_component="y") == found.covariance.value[0, 1]
    assert float(found.quantiles.value.sel(component="y", quantile=0.5)) in states[:, 1] and found.mean.n == 50
    with pytest.raises(ValueError, match="one variable, exit states have 2"):
        exits.exit_side(ds)


def test_heavy_tails_behind_the_boundary_carry_a_warning():
    rng = np.random.default_rng(4)
    ds = dataset(np.ones(1000), exit_state=("path", 1 + rng.pareto(0.8, 1000)))
    assert "look at the quantiles" in exits.exit_location(ds).warning
    ds["exit_state"][:] = rng.normal(size=1000)
    assert exits.exit_location(ds).warning == ""


def test_no_exit_and_few_exits():
    none = dataset(np.full(9, 9.0), 1.0, exit_state=("path", np.full(9, np.nan)))
    side, place = exits.exit_side(none, between=0.0), exits.exit_location(none)
    assert np.all(np.isnan(side.value)) and np.all(side.low == 0) and np.all(side.high == 1)
    assert np.isnan(place.mean.value) and place.mean.high == np.inf and np.all(place.quantiles.low == -np.inf)
    assert "rare_exit_time" in side.warning and "rare_exit_time" in place.warning
    few = exits.exit_location(dataset(np.ones(4), exit_state=("path", np.arange(4.0))))
    assert few.mean.value == 1.5 and few.mean.high == np.inf and "too few" in few.warning
    assert few.covariance.value == pytest.approx(np.var(np.arange(4.0), ddof=1))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no exit_state"):
        exits.exit_location(dataset([1.0]))
    with pytest.raises(ValueError, match="no exit_state"):
        exits.exit_side(xr.Dataset())
    with pytest.raises(ValueError, match="probabilities"):
        exits.exit_location(two_sided(np.random.default_rng(0), 9, 0.5), [5, 95])
