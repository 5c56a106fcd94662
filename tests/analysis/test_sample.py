"""Means, shares and distances: intervals are those of scipy, and cover as often as they say."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from sdesim.analysis import sample

TABLE = xr.DataArray(np.ones((2, 2)), dims=("path", "mu"))

def test_mean_and_interval_are_those_of_scipy_in_every_cell() -> None:
    x = np.random.default_rng(1).exponential(size=(3, 50))
    found = sample.mean(xr.DataArray(x, dims=("zeta", "path"), coords={"zeta": [0.0, 1.0, 2.0]}), level=0.99)
    low, high = stats.t.interval(0.99, 49, x.mean(axis=1), stats.sem(x, axis=1))
    np.testing.assert_allclose(found.value, x.mean(axis=1))
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    assert found.value.dims == ("zeta",) and found.n == 50


def test_one_value_says_nothing_about_a_mean() -> None:
    found = sample.mean([2.0])
    assert (found.value, found.low, found.high) == (2.0, -np.inf, np.inf)


@pytest.mark.parametrize("k", [0, 1, 7, 29, 30])
def test_share_has_the_exact_binomial_interval(k: int) -> None:
    found = sample.share(np.arange(30) < k, level=0.999)
    truth = stats.binomtest(k, 30).proportion_ci(0.999, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((k / 30, truth.low, truth.high))


def test_shares_keep_the_other_dimensions() -> None:
    hits = xr.DataArray(np.array([[True, True], [False, True]]), dims=("path", "mu"))
    found = sample.share(hits)
    assert list(found.value) == [0.5, 1.0] and list(found.high.values)[1] == 1.0


def test_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    x = np.random.default_rng(2).normal(size=400)
    found = sample.distance(x, stats.norm.cdf)
    assert found.value == pytest.approx(stats.kstest(x, "norm").statistic)


def covered(shift: float) -> float:
    """How often the 80 % interval holds the distance of N(shift, 1) from N(0, 1)."""
    truth = 2 * stats.norm.cdf(shift / 2) - 1
    hits = 0
    for seed in range(300):
        found = sample.distance(np.random.default_rng(seed).normal(shift, 1, 200), stats.norm.cdf, level=0.8)
        hits += found.low <= truth <= found.high
    return hits / 300


def test_interval_of_a_distance_covers_it() -> None:
    assert covered(0.0) >= 0.8 - 0.1
    assert covered(1.0) >= 0.8 - 0.1


def test_interval_of_a_distance_excludes_a_wrong_law() -> None:
    x = np.random.default_rng(5).normal(1.0, 1.0, 2000)
    assert sample.distance(x, stats.norm.cdf, level=1 - 1e-6).low > 0.2


def lines(seed: int, root: float = 2.0, slope: float = -0.5) -> xr.DataArray:
    """Noisy values of slope * (x - root) for 40 paths at 5 places."""
    x = np.linspace(1.0, 4.0, 5)
    noise = np.random.default_rng(seed).normal(0.0, 0.6, (40, 5))
    return xr.DataArray(slope * (x - root) + noise, dims=("path", "q"), coords={"q": x})


def test_zero_of_lines_without_noise_is_exact() -> None:
    x = np.linspace(0.0, 3.0, 4)
    rows = xr.DataArray([2.0 - x, 2.0 - x], dims=("path", "q"), coords={"q": x})
    found = sample.zero(rows, "q")
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_interval_of_a_zero_is_where_the_mean_line_may_vanish() -> None:
    y = lines(3)
    found = sample.zero(y, "q", level=0.9)
    slope, start = np.polyfit(y["q"], y.values.T, 1)
    for x, sign in ((found.low, -1), (found.high, 1)):
        assert abs(stats.ttest_1samp(start + slope * x, 0.0).pvalue) == pytest.approx(0.1)
        assert stats.ttest_1samp(start + slope * (x + sign * 0.01), 0.0).pvalue < 0.1


def test_interval_of_a_zero_covers_it_and_not_another() -> None:
    found = [sample.zero(lines(seed), "q", level=0.9) for seed in range(400)]
    assert np.mean([e.low <= 2.0 <= e.high for e in found]) == pytest.approx(0.9, abs=0.075)
    assert np.mean([e.low <= 2.6 <= e.high for e in found]) < 0.5


def test_zero_of_lines_that_may_be_flat_is_unknown() -> None:
    found = sample.zero(lines(1, slope=0.0), "q", level=0.99)
    assert (found.low, found.high) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample.mean([]), "no path"),
        (lambda: sample.mean([1.0, np.nan]), "1 of 2 values are not finite"),
        (lambda: sample.mean([[1.0]]), "shape"),
        (lambda: sample.mean([1.0, 2.0], level=1.0), r"level must be in \(0, 1\)"),
        (lambda: sample.mean(xr.DataArray([1.0], dims="time")), "no path"),
        (lambda: sample.share([0.5, 1.0]), "true or false"),
        (lambda: sample.zero(TABLE.isel(mu=[0]), "mu"), "several paths and values"),
        (lambda: sample.zero(TABLE, "zeta"), "several paths and values"),
        (lambda: sample.distance(TABLE, stats.norm.cdf), "one value a path"),
    ],
)
def test_bad_values_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
