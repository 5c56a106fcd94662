"""Scaling exponents: coverage, drifting slopes, points without exits, theory's numbers."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from sdesim.analysis import exits
from sdesim.analysis.estimate import Estimate, Reference
from sdesim.analysis.exit_times.power_law import power_law
from tests.analysis.exit_data import covers, dataset
from tests.chance import ALARM, has_share

LR = np.array([0.01, 0.02, 0.05, 0.1, 0.2])
X = np.log(LR)
SURE = 1 - ALARM


def swept(slope=-1.5, n=400, horizon=np.inf, seed=0, lr=LR, curved=0.0):
    """Exponential exit times whose mean is lr^slope, or curved on log scales."""
    rng, x = np.random.default_rng(seed), np.log(lr)
    mean = np.exp(slope * x + curved * x * x)
    return dataset(rng.exponential(1.0, (lr.size, n)) * mean[:, None], horizon, ("lr", "path")).assign_coords(lr=lr)


def fits(s, curved=0.0, repeats=2000, scatter=1.0, seed=1):
    """Fits to points with normal errors s about log y = 2 - 1.5 x + curved x², truly `scatter` times as large."""
    rng = np.random.default_rng(seed)
    y = 2 - 1.5 * X + curved * X**2 + scatter * s * rng.normal(size=(repeats, X.size))
    return [power_law(X, row, s, 0.95) for row in y]


def inside(laws, slope=-1.5):
    return np.array([law.low <= slope <= law.high for law in laws])


@pytest.mark.parametrize("s", [np.full(5, 0.03), np.array([0.2, 0.1, 0.05, 0.02, 0.01])])
def test_interval_covers_the_slope_of_a_power_law(s):
    laws = fits(s)
    assert covers(inside(laws)) and inside(laws).mean() < 0.975
    assert not covers(inside(laws, -1.5 + 3 * s.max()))


def test_interval_covers_if_the_errors_are_too_small_by_five():
    """Scatter beyond the errors widens the interval by the misfit, but in the few fits that look good all the same."""
    s = np.full(5, 0.03)
    laws = fits(s, scatter=5.0)
    assert covers(inside(laws), 0.93) and np.mean([law.misfit_p_value < 0.05 for law in laws]) > 0.9
    narrow = np.array([abs(law.slope + 1.5) < 1.96 * 0.03 / np.sqrt(np.sum((X - X.mean()) ** 2)) for law in laws])
    assert not covers(narrow)


def test_misfit_p_values_are_exact_and_drift_is_rarely_seen_where_there_is_none():
    laws = fits(np.full(5, 0.03))
    assert has_share([law.misfit_p_value < 0.05 for law in laws], 0.05)
    assert has_share([law.drifts for law in laws], 2 * scipy.stats.norm.sf(3))
    assert np.mean([law.drifts for law in fits(np.full(5, 0.03), curved=0.1, repeats=300)]) > 0.9


def test_slope_and_error_are_those_of_numpys_weighted_regression():
    rng, s = np.random.default_rng(2), np.array([0.3, 0.1, 0.2, 0.05, 0.1])
    y = -1.5 * X + s * rng.normal(size=5)
    found = power_law(X, y, s, 0.95)
    (slope, start), cov = np.polyfit(X, y, 1, w=1 / s, cov="unscaled")
    assert found.slope == pytest.approx(slope) and found.prefactor == pytest.approx(np.exp(start))
    assert found.high - found.slope == pytest.approx(1.959964 * np.sqrt(cov[0, 0]), rel=1e-6)
    quadratic = np.polyfit(X, y, 2, w=1 / s)
    np.testing.assert_allclose(found.ends, np.polyval(np.polyder(quadratic), X[[0, -1]]))
    _, cov = np.polyfit(X, y, 2, w=1 / s, cov="unscaled")
    assert found.curvature == pytest.approx(quadratic[0] / np.sqrt(cov[0, 0]))


def test_slope_without_errors_is_that_of_scipy():
    y = np.exp(-1.5 * X + 0.02 * X**2)
    found, known = exits.scaling_exponent(y, over=LR), scipy.stats.linregress(X, np.log(y))
    half = scipy.stats.t(3).ppf(0.975) * known.stderr
    np.testing.assert_allclose([found.value, found.high - found.value], [known.slope, half])


def test_exponent_of_simulated_exits():
    hits = []
    for seed in range(300):
        hits.append(exits.scaling_exponent(swept(seed=seed, n=40), "lr"))
    assert covers(np.array([f.low <= -1.5 <= f.high for f in hits]), 0.94)
    assert sum("drift" in f.warning for f in hits) < 10
    found = exits.scaling_exponent(swept(horizon=30.0), "lr", level=SURE)
    assert found.low < -1.5 < found.high and found.n == 5 and found.prefactor == pytest.approx(1, rel=0.5)
    rate = exits.scaling_exponent(swept(horizon=30.0), "lr", "exit_rate")
    censored = exits.scaling_exponent(swept(horizon=3.0), "lr")
    assert rate.value == pytest.approx(1.5, abs=0.2) and censored.value == pytest.approx(-1.5, abs=0.3)
    short = exits.scaling_exponent(swept(horizon=3.0), "lr", "restricted_mean", t=3.0)
    assert short.value > -0.7  # another quantity, another slope


def test_wrong_slope_and_drifting_slopes_are_seen():
    found = exits.scaling_exponent(swept(slope=-1.2), "lr", level=SURE)
    assert not found.low < -1.5 < found.high
    drifting = exits.scaling_exponent(swept(curved=0.2, n=4000), "lr")
    ends = -1.5 + 0.4 * X[[0, -1]]
    assert f"drift from {ends[0]:.1f}"[:14] in drifting.warning and "local_slopes" in drifting.warning
    wide, narrow = (f.high - f.low for f in (drifting, exits.scaling_exponent(swept(n=4000), "lr")))
    assert wide > 3 * narrow


def test_local_slopes_by_hand():
    points = Estimate(*(xr.DataArray(v, dims="lr", coords={"lr": [4.0, 1.0, 2.0]}) for v in (
        [8.0, 1.0, 2.0], [4.0, 0.5, 1.0], [16.0, 2.0, 4.0])), 0.95, 3, "")  # fmt: skip
    found = exits.scaling_exponent(points, "lr")
    np.testing.assert_allclose(found.local_slopes.value, [1.0, 2.0])
    np.testing.assert_allclose(found.local_slopes.value["lr"], [2**0.5, 8**0.5])
    np.testing.assert_allclose(found.local_slopes.high - found.local_slopes.value, np.sqrt(2))  # factors of two
    assert list(found.points.value["lr"]) == [1.0, 2.0, 4.0] and found.warning == ""


def test_theory_is_fitted_in_the_same_way():
    exact = exits.scaling_exponent(Reference(3 * LR**-2.0, 1e-9 * LR**-2.0, "closed form"), over=LR)
    assert exact.value == pytest.approx(-2) and exact.prefactor == pytest.approx(3) and exact.warning == ""
    assert exact.points.method == "closed form" and exact.high - exact.low < 1e-8
    curved = exits.scaling_exponent(LR[::-1] ** -2.0 * (1 + LR[::-1]), over=LR[::-1], error=1e-9)
    assert "drift" in curved.warning and np.all(np.diff(curved.local_slopes.value) > 0)
    derivative = -2 + LR / (1 + LR)  # local slopes lie between the derivatives at their ends
    assert np.all((derivative[:-1] < curved.local_slopes.value) & (curved.local_slopes.value < derivative[1:]))


def test_points_without_exit_are_left_out_with_notice():
    ds = swept(n=50, horizon=6.0)
    ds["status"][0], ds["exit_time"][0] = 2, np.nan
    found = exits.scaling_exponent(ds, "lr")
    assert found.n == 4 and "no number at lr = 0.01, left out" in found.warning
    assert np.isnan(found.local_slopes.value[0]) and np.isfinite(found.local_slopes.value[1:]).all()
    ds["status"][:4], ds["exit_time"][:4] = 2, np.nan
    none = exits.scaling_exponent(ds, "lr")
    assert np.isnan(none.value) and none.high == np.inf and "no slope" in none.warning


def test_doubts_about_points_are_passed_on():
    ds = dataset(np.random.default_rng(5).gamma(5, 1 / 5, (2, 3000)) / [[1.0], [2.0]], 0.8, ("lr", "path"))
    found = exits.scaling_exponent(ds.assign_coords(lr=[1.0, 2.0]), "lr")
    assert "of 2 points carry a warning" in found.warning and "rises" in found.warning


def test_other_swept_dimensions_are_kept():
    one, two = swept(), swept(slope=-2.0, seed=7)
    ds = xr.concat([one, two], xr.DataArray([1.0, 2.0], dims="b", name="b"), data_vars="all")
    ds["clock"] = 1e-3
    found = exits.scaling_exponent(ds, "lr")
    alone = exits.scaling_exponent(two, "lr")
    assert found.value.dims == ("b",) and found.value[1] == alone.value and found.high[1] == alone.high
    assert found.local_slopes.value.dims == ("b", "lr") and str(found.method[0].item()).startswith("weighted")
    assert "over b=2" in str(found)


def test_bad_input_is_refused():
    ds = swept()
    with pytest.raises(ValueError, match="did you mean lr"):
        exits.scaling_exponent(ds, "lrr")
    with pytest.raises(ValueError, match="did you mean exit_rate"):
        exits.scaling_exponent(ds, "lr", "exit_rates")
    with pytest.raises(ValueError, match="at least two values of lr"):
        exits.scaling_exponent(ds.isel(lr=[0]), "lr")
    with pytest.raises(ValueError, match="positive, different numbers"):
        exits.scaling_exponent(ds.assign_coords(lr=[0.0, 1.0, 2.0, 3.0, 4.0]), "lr")
    with pytest.raises(ValueError, match="needs positive numbers, got -1"):
        exits.scaling_exponent([1.0, -1.0], over=[1.0, 2.0])
    with pytest.raises(ValueError, match="values of the parameter"):
        exits.scaling_exponent([1.0, 2.0], over="lr")
    with pytest.raises(ValueError, match="one number, got shapes"):
        exits.scaling_exponent([1.0, 2.0], over=[1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="t is for a dataset"):
        exits.scaling_exponent([1.0, 2.0], over=[1.0, 2.0], t=3.0)
    with pytest.raises(TypeError, match="an estimate has its interval"):
        exits.scaling_exponent(exits.exit_rate(ds), "lr", error=0.1)
