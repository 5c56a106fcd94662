"""Generators estimated from passages: coverage of their intervals, agreement with deeptime, wells without data."""

import deeptime.markov.tools.estimation as deep
import numpy as np
import pytest
import scipy.stats
import xarray as xr

import sdesim as sd
from sdesim.analysis.wells import matrix
from sdesim.analysis.wells.sojourns import pairs, sojourns
from tests.analysis.jump_process import THREE, exponential, gamma, simulate
from tests.chance import ALARM, has_share

OFF = ~np.eye(3, dtype=bool)


def covered(estimate, exact):
    """Whether each interval holds the exact number."""
    return np.asarray((estimate.low <= exact) & (exact <= estimate.high))


@pytest.fixture(scope="module")
def many():
    """200 runs of 50 paths with 1e5 passages each, of a chain whose rates are known."""
    return simulate(THREE, (200, 50), 1850.0, seed=3)


def test_intervals_cover_the_rates_of_a_known_chain_at_their_level(many):
    assert 0.95e5 < float(many.transitions.sum(("path", "well", "to_well")).mean()) < 1.05e5
    for level in (0.95, 0.7):
        chain = sd.chain.generator(many, level=level)
        hits = covered(chain.rates, THREE)[:, OFF]
        assert all(has_share(h, level) for h in hits.T)
        assert has_share(hits, level)


def test_intervals_of_what_follows_cover_at_their_level(many):
    chain = sd.chain.generator(many, level=0.9)
    assert has_share(covered(chain.stationary(), matrix.stationary(THREE))[:, 1], 0.9)
    times = covered(chain.mean_first_passage_times(), matrix.first_passage(THREE))
    assert has_share(times[:, 0, 1], 0.9)
    assert has_share(covered(chain.relaxation_times(), matrix.relaxation(THREE))[:, 0], 0.9)
    assert has_share(covered(chain.committor([0], [2]), matrix.committor(THREE, [0], [2]))[:, 1], 0.9)


def test_poisson_intervals_do_not_cover_where_holding_times_are_not_exponential():
    ds = simulate(THREE, (200, 50), 300.0, seed=4, holding=gamma(0.2))
    exits = -np.diag(THREE)
    poisson, any_law = sd.chain.generator(ds, level=0.9), sd.chain.generator(ds, level=0.9, holding="any")

    def shares(chain):
        rate = -np.diagonal(np.asarray(chain.matrix), axis1=1, axis2=2)
        low = -np.diagonal(np.asarray(chain.rates.high), axis1=1, axis2=2)
        high = -np.diagonal(np.asarray(chain.rates.low), axis1=1, axis2=2)
        assert np.allclose(rate.mean(axis=0), exits, rtol=0.03)
        return (low <= exits) & (exits <= high)

    # Started afresh, a renewal process is ahead of its rate by (CV² - 1)/2 events a path: a bias, small here.
    assert not has_share(shares(poisson)[:, 2], 0.9)
    assert shares(any_law).mean() > shares(poisson).mean() + 0.15


def test_intervals_over_paths_cover_at_their_level_whatever_the_law():
    for seed, law in ((5, exponential), (6, gamma(4.0))):
        ds = simulate(THREE, (200, 40), 400.0, seed=seed, holding=law)
        # Rates out of a well with times to get out of it all of it: the long run ratio of passages and time.
        chain = sd.chain.generator(ds, level=0.9, holding="any")
        assert has_share(covered(chain.rates, THREE)[:, 0, 1], 0.9)
        assert has_share(covered(chain.rates, THREE)[:, 2, 0], 0.9)


def test_rates_of_few_passages_are_covered_at_least_at_their_level():
    ds = simulate(THREE, (1000, 1), 8.0, seed=7)
    with pytest.warns(UserWarning, match="was never entered in"):
        chain = sd.chain.generator(ds, level=0.9)
    entered = np.isfinite(np.asarray(chain.matrix))[:, OFF]
    for column, there in zip(covered(chain.rates, THREE)[:, OFF].T, entered.T, strict=True):
        hit = column[there]
        assert scipy.stats.binomtest(int(hit.sum()), hit.size, 0.9, alternative="less").pvalue > ALARM


def test_what_was_never_seen_has_poissons_upper_bound_and_does_not_spoil_the_rest():
    up = np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    exact = matrix.with_diagonal(up)
    ds = simulate(exact, (60, 10), 300.0, seed=8)
    free, known = sd.chain.generator(ds, level=0.9), sd.chain.generator(ds, level=0.9, allowed="neighbours")
    exposure = free.exposure.isel(cell0=0, well=0).item()
    assert free.rates.high[0, 0, 4].item() == pytest.approx(scipy.stats.chi2.isf(0.05, 2) / 2 / exposure)
    assert free.matrix[0, 0, 4] == 0
    assert (known.rates.high[:, 0, 4] == 0).all()
    times = matrix.first_passage(exact)
    assert has_share(covered(known.mean_first_passage_times(), times)[:, 0, 5], 0.9)
    assert has_share(covered(free.mean_first_passage_times(), times)[:, 0, 1], 0.9)


def test_rates_agree_with_deeptimes_from_counts_at_a_lag():
    ds = simulate(np.array([[-0.5, 0.5, 0], [0.25, -1.0, 0.75], [0, 0.3, -0.3]]), (50,), 2000.0, seed=9, capacity=1500)
    chain = sd.chain.generator(ds, level=0.999)
    lag = 0.4
    counts = pairs(sojourns(ds), lag).sum(axis=0)
    theirs = deep.rate_matrix(counts, dt=lag, method="KL")  # reversible maximum likelihood, as this chain is
    near = np.asarray(chain.rates.high - chain.rates.low)
    assert (np.abs(theirs - chain.matrix.values) <= 2 * near + 1e-3).all()


def test_swept_parameters_are_kept_and_cells_are_runs_of_their_own():
    w = sd.Landscape("x**4/4 - x**2/2")
    dyn = sd.EulerMaruyama(sd.SDE(-w.gradient, 0.7), 0.02)
    watched = [sd.Passages(w, capacity=4)]
    ds = sd.run(dyn, -1.0, 16, t_max=200, vary={"diffusion": [0.5, 0.7]}, observers=watched)
    chain = sd.chain.generator(ds)
    assert chain.matrix.dims == ("diffusion", "well", "to_well")
    one = sd.chain.generator(ds.isel(diffusion=1))
    np.testing.assert_array_equal(one.matrix, chain.matrix[1])
    np.testing.assert_array_equal(one.rates.low, chain.rates.low[1])
    assert chain.stationary().value.dims == ("diffusion", "well")
    assert one.matrix.attrs["units"] == "1/time"


def test_wells_never_entered_or_never_left_are_named():
    q = np.array([[-1.0, 1.0, 0], [0, 0, 0], [1.0, 0, -1.0]])
    ds = simulate(q, (4,), 10.0, seed=1)
    with pytest.warns(UserWarning) as caught:
        chain = sd.chain.generator(ds)
    said = [str(w.message) for w in caught]
    assert any("well 2 (x = 0.5) was never left" in s for s in said)
    assert any("well 3 (x = 1.5) was never entered" in s for s in said)
    assert np.isnan(chain.matrix[2]).all()
    with pytest.raises(ValueError, match=r"well 3 \(x = 1.5\) was never entered"):
        chain.stationary()
    with pytest.raises(ValueError, match=r"well 2 \(x = 0.5\) was never left"):
        chain.only([0, 1]).stationary()
    times = chain.only([0, 1]).mean_first_passage_times().value
    assert np.isfinite(times[0, 1])
    assert np.isinf(times[1, 0])


def test_paths_that_diverged_are_left_out_and_counted():
    ds = simulate(THREE, (4,), 100.0, seed=1)
    ds["status"][1] = 3
    with pytest.warns(UserWarning, match="1 diverged"):
        chain = sd.chain.generator(ds)
    np.testing.assert_array_equal(chain.matrix, sd.chain.generator(ds.isel(path=[0, 2, 3])).matrix)
    ds["status"][:] = 3
    with pytest.raises(ValueError, match="all 4 paths diverged"):
        sd.chain.generator(ds)


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        (lambda ds: ds.drop_vars("transitions"), {}, r"Passages\(landscape\)"),
        (lambda ds: ds.assign(occupancy_time=0 * ds.occupancy_time), {}, "no path ever entered the core"),
        (lambda ds: ds, {"level": 1.0}, "level"),
        (lambda ds: ds, {"holding": "gamma"}, "'exponential', 'any'"),
        (lambda ds: ds, {"allowed": "neighbours"}, "which allowed= excludes"),
        (lambda ds: ds, {"allowed": np.eye(2, dtype=bool)}, "boolean array"),
        (lambda ds: ds.isel(path=[0]), {"holding": "any"}, "one only"),
    ],
)
def test_datasets_and_words_that_make_no_generator_are_refused(change, more, words):
    ds: xr.Dataset = simulate(THREE, (4,), 100.0, seed=1)
    with pytest.raises(ValueError, match=words):
        sd.chain.generator(change(ds), **more)
