"""The two normals of a word: against exact arithmetic on the bits of the word, and against the law."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special as special
import scipy.stats
from numba import njit

from sdesim.core import normals, philox
from tests import chance

N = 200_000
ULP = 2.0**-52


@njit(error_model="numpy")
def compiled(words, out):
    for i in range(words.size):
        out[i, 0], out[i, 1] = normals.normal_first(words[i]), normals.normal_second(words[i])


def pairs(words):
    out = np.empty((words.size, 2))
    compiled(words.view(np.int64), out)
    return out


def exact_pair(word):
    """Both normals of a word with 40 digits, from the definition of its fields."""
    with mpmath.workdps(40):
        n, m = (word >> 23) & ((1 << 40) - 1), word & ((1 << 22) - 1)
        radius = mpmath.sqrt(-2 * mpmath.log((n + mpmath.mpf(1) / 2) / 2**40))
        angle = mpmath.pi / 2 * ((m + mpmath.mpf(1) / 2) / 2**22 - mpmath.mpf(1) / 2)
        ends = [mpmath.cos(angle), mpmath.sin(angle)]
        if (word >> 22) & 1:
            ends.reverse()
        return [float((-1 if word >> 63 else 1) * radius * end) for end in ends]


def fields(sign, n, choice, m):
    return (sign << 63) | (n << 23) | (choice << 22) | m


EDGES = [
    fields(sign, n, choice, m)
    for sign in (0, 1)
    for choice in (0, 1)
    for n in (0, 1, (1 << 39) - 1, 1 << 39, 777_472_127_993, 777_472_127_994, (1 << 40) - 1)
    for m in (0, 1, (1 << 21) - 1, 1 << 21, (1 << 22) - 1)
]


def sample():
    words = np.random.default_rng(5).integers(0, 1 << 64, 5_000, dtype=np.uint64)
    words[: len(EDGES)] = EDGES
    return words


def test_compiled_normals_are_exact_to_four_ulp():
    words = sample()
    truth = np.array([exact_pair(int(w)) for w in words])
    assert np.abs(pairs(words) / truth - 1).max() <= 4 * ULP
    turned = np.array([exact_pair(int(w) ^ 2) for w in words])  # the next but one angle of the grid
    assert np.abs(pairs(words) / turned - 1).min() > 4 * ULP


def test_numpys_normals_are_exact_to_rounding():
    words = sample()
    truth = np.array([exact_pair(int(w)) for w in words])
    assert np.abs(np.stack(philox.normal_pair(words), axis=-1) / truth - 1).max() <= 8 * ULP


@pytest.mark.parametrize("n", [0, 1, 1000, 1 << 30])
def test_the_radius_has_the_exact_tail_of_its_uniform(n):
    a, b = pairs(np.array([fields(0, n, 0, 12345)], dtype=np.uint64))[0]
    assert math.exp(-(a * a + b * b) / 2) == pytest.approx((n + 0.5) / 2**40, rel=1e-13)


def test_all_eight_parts_of_the_circle_are_met_alike():
    a, b = pairs(philox.words(3, np.arange(N), philox.NOISE, 0)[0]).T
    octant = np.floor(4 * (np.arctan2(b, a) / math.pi + 1)).astype(int) % 8
    counts = np.bincount(octant, minlength=8)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    counts[0] += N // 50
    assert scipy.stats.chisquare(counts).pvalue < 1e-3


def test_normals_of_both_words_are_normal_and_independent():
    z = [v for w in philox.words(11, np.arange(N), philox.NOISE, 0) for v in pairs(w).T]
    for i, a in enumerate(z):
        assert chance.follows(a, special.ndtr)
        assert not chance.follows(a, lambda x: special.ndtr(x / 1.03))
        for b in z[:i]:
            assert chance.follows((a + b) / math.sqrt(2), special.ndtr)
            assert not chance.follows((a + 1.1 * b) / math.sqrt(2), special.ndtr)
            assert chance.has_mean(a * a * b * b, 1.0)
            assert not chance.has_mean(a * a * b * b, 1.05)
    a, b = z[:2]
    assert chance.follows(a**2 + b**2, scipy.stats.chi2(2).cdf)


def test_the_tail_beyond_four_deviations_has_the_right_share():
    """Conditioned on a radius beyond 4: the share of the first normal beyond 4, by the angle alone."""
    low = int(math.exp(-8) * 2**40)
    rng = np.random.default_rng(2)
    n = rng.integers(0, low, N).astype(np.uint64)
    rest = rng.integers(0, 1 << 64, N, dtype=np.uint64) & np.uint64((1 << 63) | ((1 << 23) - 1))
    a = pairs((n << np.uint64(23)) | rest)[:, 0]
    share = 2 * special.ndtr(-4.0) / math.exp(-8)
    assert chance.has_mean((np.abs(a) > 4).astype(float), share)
    assert not chance.has_mean((np.abs(a) > 4).astype(float), 1.04 * share)
