"""Distances of chains: against matrix exponentials, coverage of their intervals."""

import numpy as np
import pytest
import scipy.linalg

import sdesim as sd
from sdesim.analysis.wells import matrix
from tests.analysis.jump_process import THREE, simulate
from tests.chance import has_share

OTHER = matrix.with_diagonal(THREE * np.array([[1, 1.5, 1], [1, 1, 1], [1, 1, 0.8]]))


def exact(a, b, lag):
    return 0.5 * np.abs(scipy.linalg.expm(a * lag) - scipy.linalg.expm(b * lag)).sum(axis=1).max()


def test_the_distance_of_known_chains_is_the_largest_total_variation():
    d = sd.chain.distance(sd.chain.known(THREE), sd.chain.known(OTHER), lag=0.7)
    assert d.value == pytest.approx(exact(THREE, OTHER, 0.7), rel=1e-12)
    assert d.error == 0
    assert sd.chain.distance(sd.chain.known(THREE), sd.chain.known(THREE)).value == 0
    inexact = sd.chain.known(sd.theory.Reference(OTHER, 0.01, "rough"))
    moved = sd.chain.distance(sd.chain.known(THREE), inexact, lag=0.7)
    assert 0.001 < moved.error < 0.1


def test_the_default_lag_is_the_longest_relaxation_time_of_the_second():
    d = sd.chain.distance(sd.chain.known(THREE), sd.chain.known(OTHER))
    assert d.lag == pytest.approx(matrix.relaxation(OTHER)[0])


def test_scaled_chains_of_different_speed_are_the_same():
    d = sd.chain.distance(sd.chain.known(THREE), sd.chain.known(100 * THREE), scaled=True)
    assert d.value < 1e-12
    assert sd.chain.distance(sd.chain.known(THREE), sd.chain.known(100 * THREE)).value > 0.3


def test_intervals_of_the_distance_cover_and_tell_chains_apart():
    hits, same, apart = [], [], []
    for seed in range(30):
        chain = sd.chain.generator(simulate(THREE, (16,), 60.0, seed=seed), seed=seed)
        other = sd.chain.generator(simulate(OTHER, (16,), 60.0, seed=1000 + seed), seed=seed + 1)
        for far, store in ((other, hits), (sd.chain.known(THREE), same)):
            d = sd.chain.distance(chain, far, lag=0.7, level=0.9)
            truth = exact(THREE, OTHER, 0.7) if far is other else 0.0
            store.append(d.low <= truth <= d.high)
        apart.append(sd.chain.distance(chain, sd.chain.known(2 * OTHER), lag=0.7).low == 0)
    for found in (hits, same):
        assert has_share(found, 0.9) or np.mean(found) > 0.9  # the triangle inequality: at least
    assert not has_share(apart, 0.9)


def test_ratios_of_rates_cover_at_their_level():
    ds, base = simulate(THREE, (200, 16), 60.0, seed=5), simulate(OTHER, (200, 16), 60.0, seed=6)
    hits = []
    for i in range(100):
        a, b = sd.chain.generator(ds.isel(cell0=i)), sd.chain.generator(base.isel(cell0=i), seed=1)
        ratio = sd.chain.rate_ratios(a, b, level=0.9)
        hits.append((float(ratio.low[0, 1]) <= 1 / 1.5 <= float(ratio.high[0, 1]), float(ratio.high[0, 1]) < 1))
    inside, told = np.array(hits).T
    assert has_share(inside, 0.9)
    assert not has_share(told, 0.05)
    known = sd.chain.rate_ratios(sd.chain.known(THREE), sd.chain.known(OTHER))
    assert known.value[0, 1].item() == pytest.approx(1 / 1.5)


def test_the_drift_between_two_learning_rates_is_a_distance_of_scaled_chains():
    w = sd.Landscape("x**4/4 - x**2/2 + x/10")
    near, far = (
        sd.chain.jumps(sd.SGD(w, lr, noise=sd.Pareto(1.3, 0.1))) for lr in (0.01, 0.005)
    )
    fast = sd.chain.distance(near, far)
    assert sd.chain.distance(near, far, scaled=True).value < 0.01 < fast.value


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (sd.chain.known(THREE), sd.chain.known(np.ones((2, 2)))), "3 and 2 wells"),
        (lambda: (sd.chain.known(THREE, [0.0, 1, 2]), sd.chain.known(THREE, [0.0, 1, 3])), "different wells"),
        (lambda: (sd.chain.generator(simulate(THREE, (2, 9), 50.0, 1)), sd.chain.known(THREE)), "select values of"),
        (lambda: (sd.chain.known(THREE), sd.chain.known(np.diag([1.0, 1.0], 1))), "well 3 was never left"),
    ],
)
def test_chains_that_cannot_be_compared_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        sd.chain.distance(*make())
