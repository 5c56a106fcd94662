"""Fairness of the reduction: chains are fair, processes with memory are not, few data decide nothing."""

import numpy as np
import pytest
import scipy.stats

import sdesim as sd
from sdesim.analysis.wells.holding import weibull_shape
from sdesim.analysis.wells.sojourns import counted, cut, pairs, sojourns
from tests.analysis.jump_process import THREE, gamma, simulate
from tests.chance import has_share

RING = np.array([[-1.0, 0.5, 0.5], [0.5, -1.0, 0.5], [0.5, 0.5, -1.0]])


def turning(u, well, before):
    """Never back to where it came from: the next well depends on the one before, its law alone does not show it."""
    onward = np.where(before < 0, (well + 1 + (u > 0.5)) % 3, 3 - well - before)
    return onward


def test_a_markov_chain_is_fair():
    fair = sd.chain.fairness(simulate(THREE, (64,), 300.0, seed=1, capacity=600))
    assert fair.verdict == "fair"
    assert "no deviation beyond 0.1" in fair.reasons[0]
    law = fair.chapman_kolmogorov
    assert law.difference.dims == ("lag", "well", "to_well")
    np.testing.assert_allclose(law.observed.sum("to_well"), 1.0)
    np.testing.assert_allclose(law.predicted.sum("to_well"), 1.0)


def test_intervals_of_a_markov_chain_hold_all_together_at_their_level():
    hits = []
    for seed in range(60):
        fair = sd.chain.fairness(simulate(THREE, (64,), 30.0, seed=seed, capacity=80), lags=[0.5, 1.0], level=0.8)
        law, holding = fair.chapman_kolmogorov, fair.holding_times
        inside = [law.low <= 0, law.high >= 0, holding.low <= 1, holding.high >= 1]
        assert all(np.isfinite(x).all() for x in (law.low, holding.low))
        hits.append(all(bool(x.all()) for x in inside))
    assert has_share(hits, 0.8) or np.mean(hits) > 0.8  # Bonferroni: at least
    wrong = []
    for seed in range(20):
        ds = simulate(THREE, (64,), 30.0, seed=seed, capacity=200, holding=gamma(2.0))
        holding = sd.chain.fairness(ds, lags=[0.5, 1.0], level=0.8).holding_times
        wrong.append(bool(((holding.low <= 1) & (holding.high >= 1)).all()))
    assert not has_share(wrong, 0.8)


def test_gamma_holding_times_are_unfair_and_named():
    fair = sd.chain.fairness(simulate(THREE, (64,), 300.0, seed=2, capacity=900, holding=gamma(2.0)))
    assert fair.verdict == "unfair"
    assert any("holding times of well" in r for r in fair.reasons)
    assert (fair.holding_times.low > 1.1).all()


def test_memory_of_the_well_before_is_unfair_though_holding_times_are_exponential():
    ds = simulate(RING, (64,), 300.0, seed=3, capacity=600, following=turning)
    fair = sd.chain.fairness(ds)
    assert fair.verdict == "unfair"
    assert "after well" in fair.reasons[0]
    assert fair.memory.given_both[0, 1, 2] == 1
    assert ((fair.chapman_kolmogorov.low > 0) | (fair.chapman_kolmogorov.high < 0)).any()
    assert ((fair.holding_times.low < 1) & (fair.holding_times.high > 1)).all()


def test_one_long_path_is_enough():
    ds = simulate(THREE, (1,), 20_000.0, seed=4, capacity=25_000)
    assert sd.chain.fairness(ds).verdict == "fair"
    gammas = simulate(THREE, (1,), 20_000.0, seed=4, capacity=25_000, holding=gamma(2.0))
    assert sd.chain.fairness(gammas).verdict == "unfair"


def test_few_passages_decide_nothing():
    fair = sd.chain.fairness(simulate(THREE, (16,), 10.0, seed=5, capacity=40))
    assert fair.verdict == "undecided"
    assert "interval of the difference" in fair.reasons[0]


def test_the_core_matters_where_recrossings_count_as_passages():
    w = sd.Landscape("x**4/4 - x**2/2")
    dyn = sd.EulerMaruyama(sd.SDE(-w.gradient, 0.6), 0.01)

    def run(core, seed):
        return sd.run(dyn, -1.0, 256, t_max=1000, seed=seed, observers=[sd.Passages(w, core, capacity=2000)])

    ds = run(0.5, 1)
    same = sd.chain.fairness(ds, cores={0.5: run(0.5, 2)})
    assert same.verdict == "fair"
    assert ((same.cores.low < 1) & (same.cores.high > 1)).all()
    wide = sd.chain.fairness(ds, cores={0.999: run(0.999, 3)})
    assert wide.verdict == "unfair"
    assert "with core 0.999 the exit rate of well" in wide.reasons[0]


def test_weibull_shape_is_scipys_and_covers_with_censoring():
    rng = np.random.default_rng(6)
    times = rng.weibull(1.7, 2000) * 3
    end = rng.exponential(4, 2000)
    shape, error = weibull_shape(np.minimum(times, end), times < end)
    data = scipy.stats.CensoredData(uncensored=times[times < end], right=end[times >= end])
    theirs = scipy.stats.weibull_min.fit(data, floc=0)[0]
    assert shape == pytest.approx(theirs, rel=1e-3)
    assert abs(shape - 1.7) < 4 * error
    assert 0.02 < error < 0.05


def test_stays_are_those_of_the_paths_put_together_by_hand():
    w = sd.Landscape("x**4/4 - x**2/2")
    dyn = sd.EulerMaruyama(sd.SDE(-w.gradient, 0.8), 0.02)
    start = np.array([-1.0, 1.0, 0.0, 0.2])
    watched = [sd.Passages(w, capacity=100), sd.Record(np.arange(2001) * 0.02)]
    ds = sd.run(dyn, start, 4, t_max=40.0, seed=3, observers=watched)
    s = sojourns(ds)
    cores = watched[0].cores()
    for p in range(4):
        inside = np.stack([np.asarray(c.contains(ds.state.values[p][:, None])) for c in cores])
        where = np.where(inside.any(axis=0), inside.argmax(axis=0), -1)
        here, stays = -1, []
        for k, j in enumerate(where):
            if j >= 0 and j != here:
                here = int(j)
                stays.append((k * 0.02, here))
        mine = s.path == p
        assert s.well[mine].tolist() == [j for _, j in stays]
        np.testing.assert_allclose(s.start[mine], [t for t, _ in stays], atol=1e-9)
        np.testing.assert_allclose(s.end[mine], [*[t for t, _ in stays[1:]], 40.0], atol=1e-9)
    assert len(s.path) > 8


def test_cutting_paths_loses_no_passage_and_no_time_and_windows_are_counted_by_hand():
    ds = simulate(THREE, (5,), 50.0, seed=7, capacity=200)
    s = sojourns(ds)
    moves, time = counted(s)
    np.testing.assert_array_equal(moves, ds.transitions)
    np.testing.assert_allclose(time, ds.occupancy_time)
    for pieces in (1, 4, 13):
        parts = counted(cut(s, pieces))
        np.testing.assert_array_equal(parts[0].sum(axis=0), moves.sum(axis=0))
        np.testing.assert_allclose(parts[1].sum(axis=0), time.sum(axis=0))
    lag, found = 0.7, pairs(s, 0.7)
    for p in range(5):
        mine = s.path == p
        at = s.start[mine][0] + np.arange(int(50.0 / lag) + 1) * lag
        wells = s.well[mine][np.searchsorted(s.start[mine], at, side="right") - 1]
        by_hand = np.zeros((3, 3))
        np.add.at(by_hand, (wells[:-1], wells[1:]), 1)
        np.testing.assert_array_equal(found[p], by_hand)


@pytest.mark.parametrize(
    ("make", "more", "words"),
    [
        (lambda: simulate(THREE, (4,), 100.0, 1, capacity=10), {}, r"Passages\(landscape, capacity=\d+\)"),
        (lambda: simulate(THREE, (2, 4), 9.0, 1, capacity=99), {}, r"ds.isel\(cell0=0\)"),
        (lambda: simulate(THREE, (4,), 9.0, 1, capacity=99).drop_vars("last_well"), {}, "last_well"),
        (lambda: simulate(THREE, (4,), 0.3, 1, capacity=99), {}, "no well was left 10 times"),
        (lambda: simulate(THREE, (64,), 9.0, 1, capacity=99), {"lags": [99.0]}, "lags must be in"),
        (lambda: simulate(THREE, (64,), 9.0, 1, capacity=99), {"tolerance": 2}, "tolerance"),
        (lambda: stopped(), {}, "without FirstExit"),
    ],
)
def test_records_that_cannot_be_judged_are_refused(make, more, words):
    with pytest.raises(ValueError, match=words):
        sd.chain.fairness(make(), **more)


def stopped():
    ds = simulate(THREE, (64,), 9.0, 1, capacity=99)
    ds["status"][0] = 1
    return ds
