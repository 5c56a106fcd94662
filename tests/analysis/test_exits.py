"""Exit-time estimators: coverage of the intervals, censoring, swept dimensions, Kaplan–Meier."""
import numpy as np
import pytest
import xarray as xr

from sdesim.analysis import exits
from sdesim.analysis.exit_times.mean import mean_of_sample
from sdesim.analysis.exit_times.sample import over_cells
from sdesim.analysis.exit_times.trend import laplace
from tests.analysis.exit_data import CENSORED, DIVERGED, EXITED, INTERRUPTED, censored, dataset


def coverage(draw, n, horizon, truth, repeats=2000, seed=0):
    """Share of repetitions whose 95 % interval contains the truth."""
    rng = np.random.default_rng(seed)
    covered = 0
    for _ in range(repeats):
        times = draw(rng, n)
        found = mean_of_sample(censored(times, horizon), 0.95)
        covered += found["low"] <= truth <= found["high"]
    return covered / repeats


def exponential(rng, n):
    return rng.exponential(2.0, n)


@pytest.mark.parametrize("n", [5, 30, 200])
def test_interval_of_the_sample_mean_covers_exponential_exit_times(n):
    found = coverage(exponential, n, np.inf, 2.0)
    assert 0.95 - 4 * 0.0049 < found < 0.95 + 4 * 0.0049


@pytest.mark.parametrize("n", [30, 200])
def test_interval_of_the_sample_mean_covers_exit_times_of_another_shape(n):
    assert coverage(lambda rng, n: rng.gamma(3, 2 / 3, n), n, np.inf, 2.0) > 0.93


@pytest.mark.parametrize("n", [30, 200])
def test_interval_with_censoring_covers_exponential_exit_times(n):
    assert 0.945 < coverage(exponential, n, 1.0, 2.0) < 0.995


def test_interval_of_the_wrong_law_does_not_cover():
    """Exit times after a delay, censored: not exponential, and the test of coverage sees it."""
    assert coverage(lambda rng, n: 1.0 + rng.exponential(1.0, n), 200, 1.5, 2.0, repeats=300) < 0.5


def test_leaving_out_censored_paths_would_not_cover():
    rng = np.random.default_rng(4)
    ds = dataset(rng.exponential(2.0, 500), 1.0)
    only_exited = ds.isel(path=np.flatnonzero(ds["status"] == EXITED))
    assert exits.mean_exit_time(only_exited).high < 1.0
    assert exits.mean_exit_time(ds).low < 2.0 < exits.mean_exit_time(ds).high


def test_estimate_says_what_it_is():
    rng = np.random.default_rng(2)
    found = exits.mean_exit_time(dataset(rng.exponential(2.0, 400), 1.0))
    assert found.n_exited + found.n_censored == found.n == 400
    assert found.value == pytest.approx(np.minimum(rng.exponential(2.0, 400), 1.0).mean() / 0.39, rel=0.3)
    assert "exponential law assumed" in found.method and found.warning == ""
    assert f"{found.value:.2f}"[:3] in str(found) and "n_censored" in repr(found)


def test_every_exit_seen_gives_the_sample_mean():
    times = np.random.default_rng(3).exponential(2.0, 50)
    found = exits.mean_exit_time(dataset(times))
    assert found.value == pytest.approx(times.mean()) and "sample mean" in found.method
    assert found.low < found.value < found.high and found.high - found.value > found.value - found.low


def test_exponential_interval_of_nine_exits_is_the_exact_one():
    from scipy.stats import chi2

    times = np.arange(1.0, 10.0)
    found = exits.mean_exit_time(dataset(times), level=0.9)
    np.testing.assert_allclose([found.low, found.high], 90 / chi2.ppf([0.95, 0.05], 18))


def test_no_exit_gives_a_lower_bound_only():
    found = exits.mean_exit_time(dataset(np.full(100, 5.0), 1.0))
    assert np.isnan(found.value) and found.high == np.inf
    assert found.low == pytest.approx(100 / -np.log(0.05))
    assert np.exp(-100 / found.low) == pytest.approx(0.05)
    assert "no exit seen" in found.method


@pytest.mark.parametrize(("shape", "word"), [(4.0, "rises"), (0.4, "falls")])
def test_censored_exits_that_are_not_exponential_carry_a_warning(shape, word):
    rng = np.random.default_rng(5)
    assert word in exits.mean_exit_time(dataset(rng.gamma(shape, 1 / shape, 2000), 0.8)).warning


def test_exponential_exits_carry_no_warning():
    rng = np.random.default_rng(6)
    trends = []
    for _ in range(400):
        sample = over_cells(dataset(rng.exponential(1.0, 200), 0.8), lambda s: s)[0]
        trends.append(laplace(sample))
    assert abs(np.mean(trends)) < 5 / 20 and np.std(trends) == pytest.approx(1, abs=0.2)


def test_diverged_paths_are_left_out_with_notice_and_interrupted_ones_kept():
    ds = dataset([1.0, 2.0, 3.0, 4.0], 2.5)
    ds["status"][:] = [EXITED, EXITED, DIVERGED, INTERRUPTED]
    found = exits.mean_exit_time(ds)
    assert (found.n_exited, found.n_censored, found.n_diverged, found.n) == (2, 1, 1, 3)
    assert found.value == pytest.approx((1 + 2 + 2.5) / 2)
    assert "1 diverged paths left out" in found.warning


def test_swept_dimensions_are_kept():
    rng = np.random.default_rng(7)
    scales = np.array([1.0, 2.0, 4.0])
    ds = dataset(rng.exponential(1.0, (3, 300)) * scales[:, None], 3.0, ("sigma", "path"))
    ds = ds.assign_coords(sigma=scales)
    ds["clock"] = ("sigma", np.full(3, 1e-3))
    found = exits.mean_exit_time(ds.transpose("path", "sigma"))
    single = exits.mean_exit_time(ds.sel(sigma=2.0))
    assert found.value.dims == ("sigma",)
    assert found.value.sel(sigma=2.0) == single.value and found.high.sel(sigma=2.0) == single.high
    assert found.value.attrs["units"] == "time" and "over sigma=3" in str(found)
    curve = exits.survival(ds, [0.5, 1.0])
    assert curve["survival"].dims == ("sigma", "time")
    np.testing.assert_allclose(
        curve["survival"].sel(sigma=4.0), exits.survival(ds.sel(sigma=4.0), [0.5, 1.0])["survival"]
    )


def product_limit(time, exited, at):
    """Kaplan–Meier from its definition."""
    value = 1.0
    for t in np.unique(time[exited]):
        if t <= at:
            value *= 1 - np.sum((time == t) & exited) / np.sum(time >= t)
    return value


def test_survival_is_the_product_limit():
    rng = np.random.default_rng(8)
    ds = dataset(rng.exponential(1.0, 60), 9.0)
    late = np.arange(60) % 3 == 0
    ds["status"] = ds["status"].where(~late, CENSORED)
    ds["n_steps"] = ds["n_steps"].where(~late, 700)
    sample = over_cells(ds, lambda s: s)[0]
    grid = np.array([0.0, 0.2, 0.7, 1.5])
    found = exits.survival(ds, grid)
    expected = [product_limit(sample.time, sample.exited, t) for t in grid]
    np.testing.assert_allclose(found["survival"], expected, atol=1e-12)
    assert np.all(found["low"] <= found["survival"]) and np.all(found["survival"] <= found["high"])


def test_survival_band_covers_and_a_wrong_law_is_outside():
    rng, grid, covered = np.random.default_rng(9), np.array([0.3, 0.8]), np.zeros(2)
    for _ in range(300):
        band = exits.survival(dataset(rng.exponential(1.0, 100), 1.0), grid)
        covered += (band["low"].values <= np.exp(-grid)) & (np.exp(-grid) <= band["high"].values)
    assert np.all(covered / 300 > 0.90)
    band = exits.survival(dataset(rng.gamma(3, 1 / 3, 1000), 1.0), grid)
    assert np.all((np.exp(-grid) < band["low"]) | (np.exp(-grid) > band["high"]))


def test_survival_is_unknown_beyond_the_last_path_at_risk():
    curve = exits.survival(dataset([1.0, 2.0, 9.0], 3.0), [0.5, 2.5, 3.5])
    assert curve["survival"].values[0] == 1 and curve["high"].values[0] == 1
    assert curve["low"].values[0] == pytest.approx(0.025 ** (1 / 3))
    assert np.isnan(curve["survival"].values[2])
    assert exits.survival(dataset([1.0, 2.0]), [2.5])["survival"].values[0] == 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="FirstExit"):
        exits.mean_exit_time(xr.Dataset())
    with pytest.raises(ValueError, match="between 0 and 1"):
        exits.mean_exit_time(dataset([1.0]), level=95)
    broken = dataset([1.0, 2.0])
    broken["status"][:] = DIVERGED
    with pytest.raises(ValueError, match="all 2 paths diverged"):
        exits.mean_exit_time(broken)
