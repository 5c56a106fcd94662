"""Statistics of a comparison against slow or foreign code, and the rates of their errors."""

import math

import numpy as np
import pytest
import scipy.stats

import sdesim as sd
from sdesim.analysis.compare import permute
from sdesim.analysis.compare.distances import distances
from tests.analysis.compare_data import correlated, recorded
from tests.chance import ALARM

RNG = np.random.default_rng(8)


def samples(n, m, looks=4):
    a, b = RNG.standard_normal((n, looks)), 0.4 + 1.3 * RNG.standard_normal((m, looks))
    a[:, 1], b[:, 1] = np.round(a[:, 1]), np.round(b[:, 1])  # ties
    a[3, 2], b[:2, 2] = np.nan, np.nan
    return a, b


def known(x):
    return x[np.isfinite(x)]


@pytest.mark.parametrize("paired", [False, True])
def test_distances_of_every_permutation_are_those_of_scipy(paired):
    a, b = samples(12, 12 if paired else 17)
    if paired:
        a, b = a + 0 * b, b + 0 * a  # a pair is whole or is not there
    first = permute.labels(len(a), len(b), paired, 20, 1)
    found = distances(a, b, first, paired, 0.9, 10, 0)
    x = np.concatenate([a, b])
    for row, own in enumerate(first):
        for look in range(a.shape[1]):
            one, two = known(x[own, look]), known(x[~own, look])
            assert found.wasserstein_permuted[row, look] == pytest.approx(scipy.stats.wasserstein_distance(one, two))
            energy = scipy.stats.energy_distance(one, two) ** 2
            assert found.energy_permuted[row, look] == pytest.approx(energy, abs=1e-12)


def test_permutations_keep_sizes_and_pairs():
    dealt = permute.labels(5, 9, False, 50, 2)
    assert (dealt.sum(axis=1) == 5).all() and dealt[0, :5].all()
    swapped = permute.labels(6, 6, True, 50, 2)
    assert (swapped[:, :6] ^ swapped[:, 6:]).all() and swapped[0, :6].all()
    assert len({tuple(row) for row in swapped.tolist()}) > 30


@pytest.mark.parametrize("paired", [False, True])
def test_debiased_energy_distance_is_the_mean_over_distinct_paths(paired):
    a, b = RNG.standard_normal(14), 3 + RNG.standard_normal(14)
    found = distances(a[:, None], b[:, None], permute.labels(14, 14, paired, 1, 0), paired, 0.9, 10, 0)

    def mean_gap(x, y, distinct):
        gaps = np.abs(x[:, None] - y)
        return gaps[~np.eye(len(x), dtype=bool)].mean() if distinct else gaps.mean()

    expected = 2 * mean_gap(a, b, paired) - mean_gap(a, a, True) - mean_gap(b, b, True)
    assert found.energy[0, 0] == pytest.approx(expected)


def test_t_statistics_and_intervals_are_those_of_scipy():
    a, b = samples(30, 30)
    for paired in (False, True):
        x = np.stack([a, a, a], axis=1), np.stack([b, b, b], axis=1)
        seen = sd.compare(recorded(x[0], 1), recorded(x[1], 1 if paired else 2), permutations=19)[0]
        t = permute.t_statistics(a, b, permute.labels(30, 30, paired, 3, 0), paired)
        for look in (0, 1, 2):
            one, two = a[:, look], b[:, look]
            if paired:
                both = np.isfinite(one) & np.isfinite(two)
                truth = scipy.stats.ttest_rel(two[both], one[both])
            else:
                truth = scipy.stats.ttest_ind(known(two), known(one), equal_var=False)
            ends = truth.confidence_interval(0.95)
            assert t[0, look] == pytest.approx(abs(truth.statistic))
            row = seen.table.isel(look=look)
            assert [float(row["low"]), float(row["high"])] == pytest.approx([ends.low, ends.high])


def test_corrected_p_values_are_those_of_plain_loops():
    families = [RNG.standard_normal((40, 3)), RNG.standard_normal((40, 2)) ** 2]
    families[0][0, 1] = 2.5
    families[1][1] = families[1][0]  # a tie
    total = 40
    largest = [f.max(axis=1) for f in families]
    ranks = [np.array([np.sum(top >= v) for v in top]) / total for top in largest]
    smallest = np.min(ranks, axis=0)
    for f, top, found in zip(families, largest, permute.adjusted(families), strict=True):
        for look in range(f.shape[1]):
            own = np.sum(top >= f[0, look]) / total
            assert found[look] == pytest.approx(np.sum(smallest <= own + 1e-12) / total)


def test_least_p_values_count_the_arrangements():
    assert permute.least_p_value(4, 4, False) == pytest.approx(2 / math.comb(8, 4))
    assert permute.least_p_value(3, 5, False) == pytest.approx(1 / math.comb(8, 3))
    assert permute.least_p_value(6, 6, True) == pytest.approx(2 / 2**6)


def shares(make, repetitions, **options):
    """Of repetitions: a difference found; band holds zero everywhere; all single intervals hold it."""
    found = []
    for i in range(repetitions):
        a, b = make(np.random.default_rng([9, i]))
        one = sd.compare(a, b, permutations=99, seed=i, **options)[0]
        t = one.table
        inside = [
            bool(((t[low] <= 0) & (t[high] >= 0)).all()) for low, high in (("band_low", "band_high"), ("low", "high"))
        ]
        found.append((one.parts, *inside))
    return np.array(found).sum(axis=0)


def no_more_than(hits, n, rate):
    return scipy.stats.binomtest(int(hits), n, rate, alternative="greater").pvalue > ALARM


def independent(rng):
    return recorded(correlated(rng, 16, 4), 1), recorded(correlated(rng, 12, 4), 2)


def from_one_start(rng):
    start = 3 * rng.standard_normal((16, 1, 1))
    return recorded(start + correlated(rng, 16, 4), 1), recorded(start + correlated(rng, 16, 4), 1)


def of_one_noise(rng):
    """Equal laws of pairs that cannot change places: the other lags behind the same noise."""
    z = correlated(rng, 16, 5)
    return recorded(z[:, :, 1:], 1), recorded(z[:, :, :-1], 1)


@pytest.mark.parametrize("make", [independent, from_one_start, of_one_noise])
def test_equal_laws_raise_no_more_alarms_than_stated(make):
    n = 200
    alarms, band, single = shares(make, n)
    assert alarms <= 20  # 10 expected at most
    assert no_more_than(alarms, n, 0.05)
    assert no_more_than(n - band, n, 0.05)
    assert not no_more_than(n - single, n, 0.05)  # twelve looks without a correction


def test_dependent_paths_taken_for_independent_ones_are_judged_too_timidly():
    alarms, band, _ = shares(from_one_start, 40, paired=False)
    assert alarms == 0 and band == 40


def test_a_shift_of_a_fifth_of_a_standard_deviation_is_found_with_500_paths():
    def shifted(size):
        def make(rng):
            other = correlated(rng, 500)
            other[:, 0] += size
            return recorded(correlated(rng, 500), 1), recorded(other, 2)

        return make

    assert shares(shifted(0.2), 10)[0] >= 8
    assert shares(shifted(0.02), 5)[0] <= 2


def normal_energy(shift):
    """Energy distance of N(0, 1) and N(shift, 1): E|N(m, s²)| = s sqrt(2/π) exp(-m²/2s²) + m erf(m/(s sqrt 2))."""
    s = math.sqrt(2)
    folded = s * math.sqrt(2 / math.pi) * math.exp(-(shift**2) / (2 * s**2)) + shift * math.erf(shift / (s * 2**0.5))
    return 2 * folded - 2 * s * math.sqrt(2 / math.pi)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_of_distances_hold_the_distance_also_at_zero(shift):
    n, looks = 40, 300
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((n, looks)), shift + rng.standard_normal((n, looks))
    found = distances(a, b, permute.labels(n, n, False, 1, 0), False, 0.9, 200, 0)
    for ends, truth in ((found.wasserstein, shift), (found.energy, normal_energy(shift))):
        missed = np.sum((ends[:, 1] > truth + 1e-12) | (ends[:, 2] < truth))
        assert no_more_than(missed, looks, 0.1)
        wrong = truth + 0.6
        assert not no_more_than(np.sum((ends[:, 1] > wrong) | (ends[:, 2] < wrong)), looks, 0.1)
    assert found.energy[:, 0].mean() == pytest.approx(normal_energy(shift), abs=0.02)
