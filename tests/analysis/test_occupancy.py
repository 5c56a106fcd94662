import numpy as np
import pytest
import xarray as xr
from scipy import stats

import sdesim as sd
from sdesim.analysis.occupancy import occupancy


def recorded(n_paths: int = 40, seed: int = 2) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {"occupancy_time": (("path", "well"), 5.0 * rng.dirichlet([2.0, 5.0, 3.0], size=n_paths))}
    )


def test_shares_and_intervals_are_those_of_scipy() -> None:
    ds = recorded()
    estimate = occupancy(ds, level=0.99)
    share = ds["occupancy_time"].values / 5.0
    low, high = stats.t.interval(0.99, 39, share.mean(axis=0), stats.sem(share, axis=0))
    np.testing.assert_allclose(estimate.value, share.mean(axis=0))
    np.testing.assert_allclose(estimate.low, low)
    np.testing.assert_allclose(estimate.high, high)


def test_wells_together_are_one_number() -> None:
    ds = recorded()
    share = ds["occupancy_time"].values[:, [0, 2]].sum(axis=1) / 5.0
    estimate = occupancy(ds, wells=[0, 2])
    low, high = stats.t.interval(0.95, 39, share.mean(), stats.sem(share))
    assert (float(estimate.value), float(estimate.low), float(estimate.high)) == pytest.approx(
        (share.mean(), low, high)
    )


def covered(truth: float) -> float:
    """How often the 90 % interval of the middle well's share holds `truth`."""
    hits = 0
    for seed in range(400):
        estimate = occupancy(recorded(20, seed), level=0.9)
        hits += bool(estimate.low[1] <= truth <= estimate.high[1])
    return hits / 400


def test_interval_covers_the_true_share_and_not_a_wrong_one() -> None:
    assert covered(0.5) == pytest.approx(0.9, abs=0.075)
    assert covered(0.6) < 0.5


def test_single_path_has_no_interval() -> None:
    estimate = occupancy(recorded(1))
    assert (estimate.low == 0).all() and (estimate.high == 1).all()


def test_well_never_visited_has_an_upper_bound() -> None:
    time = np.zeros((20, 2))
    time[:, 0] = 3.0
    estimate = occupancy(xr.Dataset({"occupancy_time": (("path", "well"), time)}))
    bound = stats.binomtest(0, 20).proportion_ci(0.95, method="exact").high
    assert list(estimate.value) == [1.0, 0.0]
    assert float(estimate.high[1]) == pytest.approx(bound)
    assert float(estimate.low[0]) == pytest.approx(1 - bound)


def test_dataset_without_wells_is_refused() -> None:
    with pytest.raises(ValueError, match="no occupancy_time"):
        occupancy(xr.Dataset())
    with pytest.raises(ValueError, match="level must be"):
        occupancy(recorded(), level=1.0)


def test_a_chain_with_several_long_runs_has_no_stationary_law():
    f = sd.Landscape("x**2/2 + cos(20*x)/5", domain=(-5, 5))
    with pytest.raises(ValueError, match=r"does not come from every well to every other.*take more noise"):
        sd.theory.chain_stationary_law(sd.SGD(f, 0.01, noise=sd.Uniform(1.0)), domain=(-5, 5), max_nodes=1000)
