"""Exit rate: exact intervals, censoring, delayed entry, recursions."""

import numpy as np
import pytest
import xarray as xr

from sdesim.analysis import exits
from sdesim.analysis.exit_times.rate import exponential_rate
from tests.analysis.exit_data import censored, covers, dataset, hits
from tests.chance import ALARM, has_share


def estimate(sample, level=0.95):
    _, low, high = exponential_rate(sample, level)
    return {"low": low, "high": high}


@pytest.mark.parametrize("n", [3, 40])
def test_interval_is_exact_if_every_path_exits(n):
    found = hits(lambda rng: censored(rng.exponential(2.0, n), np.inf), estimate, 0.5)
    assert has_share(found, 0.95)
    assert not has_share(hits(lambda rng: censored(rng.gamma(4, 0.5, n + 20), np.inf), estimate, 0.5), 0.95)


@pytest.mark.parametrize(("n", "horizon"), [(30, 0.2), (200, 2.0)])
def test_interval_covers_censored_exponential_exits(n, horizon):
    assert covers(hits(lambda rng: censored(rng.exponential(2.0, n), horizon), estimate, 0.5))
    assert not covers(hits(lambda rng: censored(rng.gamma(3, 2 / 3, 400), horizon), estimate, 0.5, 300))


def test_delayed_entry_leaves_the_relaxation_out():
    """No exit before 1, rate 1 from there on: the rate after 1 is 1, the rate from the start is not."""

    def draw(rng):
        return censored(1 + rng.exponential(1.0, 100), 2.5)

    assert covers(hits(lambda rng: draw(rng).after(1.0), estimate, 1.0))
    assert not covers(hits(draw, estimate, 1.0, 300))


def test_rate_of_a_dataset_by_hand():
    ds = dataset([0.5, 1.0, 2.0, 5.0, 9.0], 4.0, clock=0.25)
    found = exits.exit_rate(ds)
    assert found.value == pytest.approx(3 / 11.5) and found.time_at_risk == pytest.approx(11.5)
    assert (found.n, found.n_exited, found.n_censored) == (5, 3, 2)
    assert found.low < found.value < found.high and found.warning == ""
    late = exits.exit_rate(ds, after=1.0)  # the paths that left at .5 and 1 are gone by then
    assert late.value == pytest.approx(1 / (1 + 3 + 3)) and (late.n, late.n_exited) == (3, 1)


def test_rate_is_the_inverse_of_the_censored_mean():
    ds = dataset(np.random.default_rng(0).exponential(2.0, 300), 1.0)
    rate, mean = exits.exit_rate(ds), exits.mean_exit_time(ds)
    np.testing.assert_allclose([rate.value, rate.low, rate.high], [1 / mean.value, 1 / mean.high, 1 / mean.low])


def test_rate_of_a_recursion_is_the_exit_probability_per_step():
    rng, p, clock = np.random.default_rng(1), 0.2, 0.1
    found = hits(lambda rng: censored(clock * rng.geometric(p, 100), clock * 7, clock), estimate, p / clock)
    assert covers(found)
    late = censored(clock * rng.geometric(p, 50_000), clock * 30, clock).after(0.55)
    assert late.time.min() == pytest.approx(clock)  # at risk from step 5 on: the next exit is one step later
    low, high = estimate(late, 1 - ALARM).values()
    assert low < p / clock < high


def test_swept_dimensions_and_entry_times_of_each_cell():
    rng = np.random.default_rng(2)
    times = np.array([[0.0], [3.0]]) + rng.exponential(1.0, (2, 500))
    ds = dataset(times, 5.0, ("delay", "path")).assign_coords(delay=[0.0, 3.0])
    found = exits.exit_rate(ds, after=ds["delay"], level=1 - ALARM)
    assert found.value.dims == ("delay",) and found.value.attrs["units"] == "1/time"
    assert np.all((found.low < 1) & (found.high > 1))
    alone = exits.exit_rate(ds.isel(delay=1), after=3.0, level=1 - ALARM)
    assert alone.value == found.value[1] and alone.n == found.n[1]
    assert exits.exit_rate(ds.isel(delay=1), level=1 - ALARM).high < 1


def test_no_exit_gives_an_upper_bound_and_advice():
    found = exits.exit_rate(dataset(np.full(100, 5.0), 1.0))
    assert np.isnan(found.value) and found.low == 0
    assert np.exp(-100 * found.high) == pytest.approx(0.05)
    assert "no exit seen" in found.method and "rare_exit_time" in found.warning
    assert "rare_exit_time" in exits.mean_exit_time(dataset(np.full(100, 5.0), 1.0)).warning


def test_a_rate_that_changes_carries_a_warning():
    ds = dataset(np.random.default_rng(3).gamma(4, 0.25, 2000), 0.8)
    assert "rises" in exits.exit_rate(ds).warning


def test_bad_input_is_refused():
    ds = dataset([1.0, 2.0])
    with pytest.raises(ValueError, match=r"no path is at risk after 7: .*until 2"):
        exits.exit_rate(ds, after=7.0)
    with pytest.raises(ValueError, match="after must be a time"):
        exits.exit_rate(ds, after=-1.0)
    with pytest.raises(ValueError, match="dimensions lr, the exit times have path"):
        exits.exit_rate(ds, after=xr.DataArray([0.0, 1.0], dims="lr"))
    with pytest.raises(ValueError, match="between 0 and 1"):
        exits.exit_rate(ds, level=0)
