"""Variates against the exact laws: in the bulk by goodness of fit, in the tails quantile by quantile."""

import math

import numpy as np
import pytest
import scipy.special as special

from sdesim.core import philox, variates
from sdesim.core.ops import NUMPY
from sdesim.problems.laws import Gaussian, Pareto, Rademacher, Stable, StudentT, Uniform
from tests import chance

N = 100_000
TINY = 2.0**-53  # the smallest uniform
ROUNDING = 1e-12


def words(block=0, n=N):
    return philox.words(11, np.arange(n), philox.NOISE, block)


def uniforms(block=0):
    return tuple(philox.uniform(w) for w in words(block))


def integral(values, nodes):
    return float(np.sum(0.5 * (values[1:] + values[:-1]) * np.diff(nodes)))


# A law, one that differs in the bulk, and one that differs in the tail.
LAWS = [
    (Gaussian(1.3), Gaussian(1.2), Gaussian(1.5)),
    (Stable(0.5), Stable(0.56), Stable(0.65)),
    (Stable(1.0), Stable(1.12), Stable(1.3)),
    (Stable(1.5, scale=2.0), Stable(1.8, scale=2.0), Stable(1.7, scale=2.0)),
    (Stable(1.95), Stable(1.95, scale=1.07), Gaussian(2.0)),
    (Stable(2.0), Gaussian(1.3), Stable(1.8)),
    (Pareto(1.2, 0.1), Pareto(1.35, 0.1), Pareto(1.6, 0.1)),
    (Pareto(3.0), Pareto(3.3), Pareto(4.0)),
    (StudentT(2.5), StudentT(4.0), StudentT(3.5)),
    (StudentT(1.0), StudentT(1.2), StudentT(1.4)),
    (Uniform(0.7), Uniform(0.74), Uniform(0.704)),
]


@pytest.mark.parametrize(("law", "wrong", "other"), LAWS, ids=str)
def test_draws_follow_the_law_and_not_a_near_one(law, wrong, other):
    flat = [w for b in range(law.rounds(1).blocks) for w in words(b)]
    for z in (step[0] for step in law.draw(NUMPY, 1, flat)):
        assert chance.follows(z, law.cdf)
        assert not chance.follows(z, wrong.cdf)


@pytest.mark.parametrize(("law", "other", "wrong"), LAWS, ids=str)
def test_the_largest_fiftieth_of_the_draws_follows_the_tail_of_the_law(law, other, wrong):
    flat = [w for b in range(law.rounds(1).blocks) for w in words(b, 400_000)]
    z = np.abs(law.draw(NUMPY, 1, flat)[0][0])
    level = np.quantile(z, 0.98)
    outer = z[z > level]
    assert chance.follows(outer, lambda x: 1 - law.tail(x) / law.tail(level))
    assert not chance.follows(outer, lambda x: 1 - wrong.tail(x) / wrong.tail(level))


@pytest.mark.parametrize("u", [TINY, 1e-9, 0.3, 1 - TINY])
def test_an_exponential_has_the_right_quantiles_at_both_ends(u):
    value = float(variates.exponential(NUMPY, np.array([u]))[0])
    assert value == pytest.approx(-math.log(u) if u < 0.9 else TINY, rel=1e-15)


@pytest.mark.parametrize("alpha", [0.7, 1.2, 3.0])
@pytest.mark.parametrize("share", [2 * TINY, 1e-12, 1e-9, 1e-3])
def test_a_lomax_quantile_far_in_the_tail_is_right(alpha, share):
    below = variates.symmetric_lomax(NUMPY, alpha, np.array([share / 2]))
    above = variates.symmetric_lomax(NUMPY, alpha, np.array([1 - share / 2]))
    for z, side in ((below, -1), (above, 1)):
        assert np.sign(z[0]) == side
        exact = 1e-4 if side > 0 and share < 1e-11 else ROUNDING  # 1 - share/2 is itself rounded
        assert Pareto(alpha).tail(z[0]) == pytest.approx(share, rel=max(exact, TINY / share))


@pytest.mark.parametrize("df", [1.0, 2.5, 8.0])
@pytest.mark.parametrize("u", [TINY, 1e-9])
def test_the_radius_of_a_student_variate_far_out_has_its_exact_tail(df, u):
    z = variates.student(NUMPY, df, np.array([u]), np.array([0.5]))
    assert (1 + float(z[0]) ** 2 / df) ** (-df / 2) == pytest.approx(u, rel=1e-11)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0, 1.1, 1.5, 1.9])
def test_stable_draws_have_the_exact_tail_at_the_quantile_of_a_thousand_millionth(alpha):
    """P(|Z| > x) as the integral over the angle of the exponential's share, from the variate itself.

    At a fixed angle |Z| grows with -log u for alpha < 1 and falls for alpha > 1, so the share of u with
    |Z| > x is found by bisection on the variate; the integral over angles is then compared with Zolotarev's.
    """
    law = Stable(alpha)
    x = tail_quantile(law, 1e-9)
    if alpha == 1.0:
        t = np.array([0.5 + math.atan(x) / math.pi])
        assert float(variates.symmetric_stable(NUMPY, 1.0, t, np.array([0.3]))[0]) == pytest.approx(x, rel=1e-6)
        return
    w = np.exp(np.linspace(math.log(1e-15), math.log(0.5), 4001))  # 1 - t or t, near the edge where |Z| is large
    share = share_beyond(alpha, x, 1 - w)
    inside = np.concatenate([[0.0], w]), np.concatenate([[share[0]], share])
    got = 2 * integral(inside[1], inside[0])
    assert got == pytest.approx(1e-9, rel=2e-4)


def tail_quantile(law, p):
    low, high = 0.0, 400.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(law.tail(math.exp(middle))) > p else (low, middle)
    return math.exp(0.5 * (low + high))


def share_beyond(alpha, x, t):
    """P(|Z| > x | t), by bisection on W = -log u in its logarithm."""
    low, high = np.full_like(t, -600.0), np.full_like(t, 7.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        beyond = np.abs(stable_of_exponential(alpha, t, np.exp(middle))) > x
        rising = alpha < 1  # |Z| falls with W for alpha < 1
        low, high = np.where(beyond == rising, middle, low), np.where(beyond == rising, high, middle)
    w = np.exp(0.5 * (low + high))
    return -np.expm1(-w) if alpha < 1 else np.exp(-w)


class GivenExponential:
    """Operations under which the variate reads an exponential where it draws one."""

    def __init__(self, w):
        self.w = w

    def __getattr__(self, name):
        return getattr(NUMPY, name)

    def log_normal_range(self, value):
        return -self.w if value is None else np.log(value)


def stable_of_exponential(alpha, t, w):
    return variates.symmetric_stable(GivenExponential(w), alpha, t, None)


@pytest.mark.parametrize("a", [0.25, 0.5, 0.75, 0.95, 1.0])
def test_positive_stable_draws_have_the_laplace_transform_of_kanter(a):
    s = variates.positive_stable(NUMPY, a, *uniforms(3))
    assert (s > 0).all()
    for rate in (0.3, 1.0, 4.0):
        assert chance.has_mean(np.exp(-rate * s), math.exp(-(rate**a)), bias=ROUNDING)
        assert not chance.has_mean(np.exp(-rate * s), math.exp(-((1.25 * rate) ** a)), bias=ROUNDING)


def test_positive_stable_of_one_half_is_the_levy_law():
    s = variates.positive_stable(NUMPY, 0.5, *uniforms(5))
    assert chance.follows(s, lambda x: special.erfc(0.5 / np.sqrt(x)))
    assert not chance.follows(s, lambda x: special.erfc(0.53 / np.sqrt(x)))


@pytest.mark.parametrize("alpha", [0.8, 1.5, 2.0])
@pytest.mark.parametrize("dim", [2, 3])
def test_isotropic_stable_vectors_have_the_norm_in_their_characteristic_function(alpha, dim):
    law = Stable(alpha, isotropic=True, scale=0.7)
    flat = [w for b in range(law.rounds(dim).blocks) for w in words(b)]
    z = np.stack(law.draw(NUMPY, dim, flat)[0], axis=-1)
    for direction in np.eye(dim)[0], np.ones(dim) / math.sqrt(dim):
        along = z @ direction
        for xi in (0.5, 1.5):
            expected = math.exp(-((0.7 * xi) ** alpha))
            assert chance.has_mean(np.cos(xi * along), expected)
            assert not chance.has_mean(np.cos(xi * along), expected + 0.02)
    apart = Stable(alpha, isotropic=False, scale=0.7)
    flat = [w for b in range(apart.rounds(dim).blocks) for w in words(b)]
    other = np.stack(apart.draw(NUMPY, dim, flat)[0], axis=-1)
    diagonal = other @ np.ones(dim) / math.sqrt(dim)
    assert chance.has_mean(np.cos(diagonal), math.exp(-dim * (0.7 / math.sqrt(dim)) ** alpha))
    assert chance.has_mean(np.cos(diagonal), math.exp(-(0.7**alpha))) == (alpha == 2.0)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_coin_is_fair_and_its_flips_are_independent(dim):
    law = Rademacher(1.5)
    flat = [w for b in range(law.rounds(dim).blocks) for w in words(b)]
    steps = law.draw(NUMPY, dim, flat)
    assert len(steps) == law.rounds(dim).steps
    flips = [z for step in steps for z in step]
    for i, z in enumerate(flips):
        assert set(np.unique(z)) == {-1.5, 1.5}
        assert chance.has_share(z > 0, 0.5)
        assert not chance.has_share(z > 0, 0.52)
        assert np.array_equal(z > 0, flat[i] >= np.uint64(1 << 63))  # the first bit
        assert all(chance.has_share(z == other, 0.5) for other in flips[:i])
