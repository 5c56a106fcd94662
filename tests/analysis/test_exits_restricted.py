"""Restricted mean exit time: by hand, by slow reference code, by scipy, and coverage."""

import itertools

import numpy as np
import pytest
import scipy.stats

from sdesim.analysis import exits
from sdesim.analysis.exit_times.restricted import _of_sample, area
from sdesim.analysis.exit_times.sample import Sample
from tests.analysis.exit_data import CENSORED, censored, covers, dataset, hits
from tests.chance import ALARM


def mixed(rng, n, late):
    """Exponential exits of mean 1, paths lost at uniform times, one followed for ever."""
    times, lost = rng.exponential(1.0, n), np.append(np.inf, rng.uniform(0, late, n - 1))
    return Sample(np.minimum(times, lost), times <= lost)


def by_definition(sample, t):
    """Area and Greenwood's variance with a loop over exit times."""
    at = [u for u in np.unique(sample.time[sample.exited]) if u <= t]
    at_risk = [np.sum(sample.time >= u) for u in at]
    d = [np.sum((sample.time == u) & sample.exited) for u in at]
    s = np.append(1.0, np.cumprod([1 - k / y for k, y in zip(d, at_risk, strict=True)]))
    edges = np.concatenate([[0.0], at, [t]])
    pieces = s * np.diff(edges)
    variance = sum(
        pieces[j + 1 :].sum() ** 2 * d[j] / (at_risk[j] * (at_risk[j] - d[j]))
        for j in range(len(at))
        if at_risk[j] > d[j]
    )
    return pieces.sum(), np.sqrt(variance)


def test_table_of_five_paths_by_hand():
    """Exits at 1, 2, 4 and losses at 3, 5: S = 4/5, 3/5, 3/10; area to 5 = 1 + .8 + 1.2 + .3."""
    sample = Sample(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([True, True, False, True, False]))
    value, error, _ = area(sample, 5.0)
    assert value == pytest.approx(1 + 0.8 + 1.2 + 0.3)
    assert error**2 == pytest.approx(2.3**2 / (5 * 4) + 1.5**2 / (4 * 3) + 0.3**2 / (2 * 1))


@pytest.mark.parametrize("t", [0.3, 1.0, 2.0])
def test_area_and_error_follow_their_definition_with_ties(t):
    sample = mixed(np.random.default_rng(0), 60, 4.0)
    sample = sample._replace(time=np.ceil(sample.time * 10) / 10)
    value, error, influence = area(sample, t)
    np.testing.assert_allclose([value, error], by_definition(sample, t), rtol=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-10)
    data = scipy.stats.CensoredData(sample.time[sample.exited], right=sample.time[~sample.exited])
    fine = (np.arange(200_000) + 0.5) * t / 200_000
    assert value == pytest.approx(scipy.stats.ecdf(data).sf.evaluate(fine).mean() * t, abs=1e-4)


def test_influences_are_the_derivative_in_the_weight_of_a_path():
    """Adding k copies of a path moves the area by influence k / n, up to second order."""
    sample, k = mixed(np.random.default_rng(1), 12, 3.0), 1000
    _, _, influence = area(sample, 1.0)
    for i in range(12):
        copies = np.repeat(np.arange(12), k)
        more = Sample(*(np.append(a[copies], a[i]) for a in (sample.time, sample.exited)))
        moved = (area(more, 1.0)[0] - area(sample, 1.0)[0]) * (12 * k + 1)
        assert moved == pytest.approx(influence[i], abs=2e-3)


def test_without_censoring_it_is_the_mean_of_the_cut_times():
    times = np.random.default_rng(2).exponential(1.0, 40)
    found = exits.restricted_mean(dataset(times), 0.7)
    cut = np.minimum(times, 0.7)
    assert found.value == pytest.approx(cut.mean()) and found.error == pytest.approx(cut.std() / np.sqrt(40))
    assert found.n_exited == np.sum(times <= 0.7) and found.n_exited + found.n_censored == found.n == 40


CASES = [(12, 1.0, None), (30, 1.0, 2.0), (200, 1.5, 3.0), (400, 0.02, None), (400, 0.02, 2.0), (1000, 0.012, None)]


@pytest.mark.parametrize(("n", "t", "late"), CASES)
def test_interval_covers_with_many_and_with_few_exits(n, t, late):
    def draw(rng):
        return censored(rng.exponential(1.0, n), t) if late is None else mixed(rng, n, late)

    def estimate(sample):
        if sample.time.max() < t and not sample.exited[np.argmax(sample.time)]:
            return {"low": 0.0, "high": t}  # refused by restricted_mean
        return _of_sample(sample, np.array([t]), 0.95)

    assert covers(hits(draw, estimate, 1 - np.exp(-t), 1000))


def test_interval_with_few_exits_covers_by_enumeration():
    """Every outcome of six paths with exit times on three points, weighted by its probability."""
    points, weights, covered = np.array([0.5, 1.5, 4.0]), np.array([0.1, 0.15, 0.75]), 0.0
    truth = weights @ np.minimum(points, 2.0)
    for outcome in itertools.combinations_with_replacement(range(3), 6):
        times = points[list(outcome)]
        counts = np.bincount(outcome, minlength=3)
        found = _of_sample(censored(times, 2.0), np.array([2.0]), 0.95)
        weight = scipy.stats.multinomial.pmf(counts, 6, weights)
        covered += weight * (found["low"] <= truth <= found["high"])
    assert 0.95 <= covered <= 1


def test_dropping_lost_paths_would_not_cover():
    def drop(sample):
        kept = sample.exited | (sample.time >= 1.0)
        return _of_sample(Sample(sample.time[kept], sample.exited[kept]), np.array([1.0]), 0.95)

    assert not covers(hits(lambda rng: mixed(rng, 400, 1.2), drop, 1 - np.exp(-1.0), 200))


def test_swept_dimensions_and_times_of_each_cell():
    rng = np.random.default_rng(4)
    ds = dataset(rng.exponential(1.0, (2, 300)) * [[1.0], [3.0]], 4.0, ("a", "path")).assign_coords(a=[1.0, 3.0])
    found = exits.restricted_mean(ds, ds["a"], 1 - ALARM)
    assert found.value.dims == ("a",) and found.value.attrs["units"] == "time"
    truth = ds["a"] * (1 - np.exp(-1.0))
    assert np.all((found.low < truth) & (truth < found.high))
    assert exits.restricted_mean(ds.isel(a=1), 3.0, 1 - ALARM).high == found.high[1]


def test_no_exit_gives_a_lower_bound_and_advice():
    found = exits.restricted_mean(dataset(np.full(50, 9.0), 2.0), 2.0)
    assert np.isnan(found.value) and found.high == 2.0 and "rare_exit_time" in found.warning
    assert (found.low / 2.0) ** 50 == pytest.approx(0.05)


def test_beyond_the_last_path_at_risk_is_refused():
    ds = dataset([1.0, 2.0, 9.0], 3.0)
    with pytest.raises(ValueError, match=r"t=3.5 lies beyond .* until 3"):
        exits.restricted_mean(ds, 3.5)
    assert exits.restricted_mean(dataset([1.0, 2.0]), 5.0).value == pytest.approx(1.5)
    ds["status"][:] = CENSORED
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="positive time"):
            exits.restricted_mean(ds, bad)
