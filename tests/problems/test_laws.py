"""Laws of the increments: tail, cdf, density and characteristic function against scipy, mpmath and each other."""

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from sdesim.problems import laws, stable_law
from sdesim.problems.laws import Gaussian, Pareto, Rademacher, Stable, StudentT, Uniform

ALL = [
    Gaussian(),
    Gaussian(0.3),
    Stable(0.6),
    Stable(0.95),
    Stable(1.0, scale=2.0),
    Stable(1.05),
    Stable(1.5),
    Stable(1.99),
    Stable(2.0, scale=0.5),
    Pareto(1.2, 0.1),
    Pareto(3.5),
    StudentT(1.0),
    StudentT(2.7, 0.4),
    Uniform(),
    Uniform(0.2),
]
X = np.array([-3e3, -20.0, -2.5, -0.7, -0.1, -1e-3, 1e-3, 0.05, 0.4, 1.0, 3.0, 30.0, 1e4])


def scipys(law):
    """The same law by scipy.stats, where its digits can be trusted."""
    match law:
        case Gaussian(s):
            return scipy.stats.norm(scale=s)
        case StudentT(df, s):
            return scipy.stats.t(df, scale=s)
        case Uniform(a):
            return scipy.stats.uniform(-a, 2 * a)
        case Stable(1.0, _, s):
            return scipy.stats.cauchy(scale=s)
        case Stable(2.0, _, s):
            return scipy.stats.norm(scale=s * math.sqrt(2))
    return None


@pytest.mark.parametrize("law", [law for law in ALL if scipys(law)], ids=str)
def test_functions_are_those_of_scipy(law):
    exact = scipys(law)
    np.testing.assert_allclose(law.cdf(X), exact.cdf(X), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(law.tail(X), 2 * exact.sf(np.abs(X)), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(law.density(X), exact.pdf(X), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("law", ALL, ids=str)
def test_the_tail_is_that_of_both_sides_of_the_distribution(law):
    np.testing.assert_allclose(law.cdf(-np.abs(X)) * 2, law.tail(X), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(X) + law.cdf(-X), 1.0, rtol=1e-14)
    assert float(law.tail(0.0)) == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(law.tail(np.geomspace(1e-6, 1e6, 200))) <= 0).all()


@pytest.mark.parametrize("law", [law for law in ALL if not isinstance(law, Uniform)], ids=str)
def test_the_density_is_the_slope_of_the_tail(law):
    x = np.array([0.01, 0.03, 0.3, 0.9, 2.2, 8.0])
    h = 1e-4 * x
    slope = (8 * (law.tail(x + h) - law.tail(x - h)) - (law.tail(x + 2 * h) - law.tail(x - 2 * h))) / (12 * h)
    np.testing.assert_allclose(-0.5 * slope, law.density(x), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(law.density(-x), law.density(x))


@pytest.mark.parametrize("law", ALL, ids=str)
def test_the_density_has_mass_one(law):
    unit = getattr(law, "scale", getattr(law, "half_width", 1.0))
    edges = np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 400)]) * unit
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    x = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    if isinstance(law, Uniform):
        assert float(law.density(0.0)) * 2 * law.half_width == pytest.approx(1.0)
        return
    mass = 2 * float(np.sum(half * weights * law.density(x))) + float(law.tail(edges[-1]))
    assert mass == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("law", [law for law in ALL if not isinstance(law, Pareto)], ids=str)
@pytest.mark.parametrize("xi", [0.3, 1.0, 2.5])
def test_the_characteristic_function_is_the_transform_of_the_density(law, xi):
    """E cos(xi Z) = 1 - xi ∫ sin(xi x) H(x) dx over x > 0, half-waves summed by Euler's transformation (mpmath)."""
    if isinstance(law, Uniform):
        value = scipy.integrate.quad(
            lambda x: math.cos(xi * x) * float(law.density(x)), -law.half_width, law.half_width
        )[0]
    else:
        nodes, weights = np.polynomial.legendre.leggauss(40)
        waves = np.arange(80)
        x = (waves[:, None] + 0.5 * (nodes + 1)) * math.pi / xi
        fine = np.geomspace(1e-9, 1.0, 60)
        edges = np.concatenate([[0.0], fine]) * math.pi / xi
        first = 0.5 * np.diff(edges)[:, None] * (nodes + 1) + edges[:-1, None]
        lead = np.sum(0.5 * np.diff(edges)[:, None] * weights * np.sin(xi * first) * law.tail(first))
        terms = (np.sin(xi * x) * law.tail(x)) @ weights * 0.5 * math.pi / xi
        terms[0] = lead
        value = 1 - xi * averaged_sum(terms)
    assert float(law.characteristic(xi)) == pytest.approx(value, abs=2e-9)
    assert float(law.characteristic(-xi)) == float(law.characteristic(xi))


def averaged_sum(terms):
    """Sum of an alternating series by repeated averages of its partial sums."""
    sums = np.cumsum(terms)[20:]
    while len(sums) > 1:
        sums = 0.5 * (sums[1:] + sums[:-1])
    return float(sums[0])


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.9, 0.99, 0.9985, 1.0003, 1.01, 1.1, 1.5, 1.9])
def test_the_far_stable_tail_is_its_asymptotic_series(alpha):
    """P(|Z| > x) ~ (2/pi) sum (-1)**(k+1) Gamma(k alpha) sin(k pi alpha/2) / k! x**(-k alpha) (Nolan 2020, 3.5)."""
    for x in (1e5, 1e8, 1e12):
        with mpmath.workdps(40):
            series, k = mpmath.mpf(0), 1
            while k < 40:
                term = (-1) ** (k + 1) * mpmath.gamma(k * alpha) * mpmath.sin(k * mpmath.pi * alpha / 2)
                term *= mpmath.mpf(x) ** (-k * alpha) / mpmath.factorial(k)
                series, k = series + term, k + 1
                if abs(term) < abs(series) * 1e-18:
                    break
            exact = float(2 / mpmath.pi * series)
        assert float(Stable(alpha).tail(x)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.8, 1.2, 1.5, 1.8])
def test_the_stable_law_in_the_middle_is_the_inverse_transform(alpha):
    """Density and tail from exp(-|xi|**alpha) by mpmath's quadrature, an independent route to Zolotarev's integral."""
    x = np.array([0.2, 1.0, 4.0])
    with mpmath.workdps(20):
        cut = mpmath.mpf(45) ** (1 / mpmath.mpf(alpha))
        for value, density, tail in zip(x, Stable(alpha).density(x), Stable(alpha).tail(x), strict=True):
            edges = [mpmath.mpf(10) ** -12, *[mpmath.mpf(10) ** -k for k in range(8, 0, -2)]]
            step = mpmath.pi / value
            edges += [k * step for k in range(1, int(cut / step) + 2)] if step < cut else [cut]
            edges = sorted({mpmath.mpf(0), *edges, cut})
            wave = mpmath.quad(lambda s, v=value: mpmath.cos(s * v) * mpmath.exp(-(s**alpha)), edges, maxdegree=6)
            mass = mpmath.quad(
                lambda s, v=value: mpmath.sin(s * v) / s * mpmath.exp(-(s**alpha)), edges[1:], maxdegree=6
            )
            mass += mpmath.mpf(value) * edges[1]
            assert density == pytest.approx(float(wave / mpmath.pi), rel=1e-9)
            assert tail == pytest.approx(float(1 - 2 * mass / mpmath.pi), rel=1e-8)


def test_the_stable_law_is_continuous_in_alpha_at_one_and_two():
    x = np.array([0.1, 1.0, 5.0, 1e3])
    for near in (1 - 1e-6, 1 + 1e-6):
        np.testing.assert_allclose(Stable(near).tail(x), Stable(1.0).tail(x), rtol=2e-5)
        np.testing.assert_allclose(Stable(near).density(x), Stable(1.0).density(x), rtol=2e-5)
    for edge in (0.998, 1.002):  # where interpolation between indices takes over
        inner, outer = (edge + s * 1e-8 * (1 - edge) / abs(1 - edge) for s in (500, -500))
        np.testing.assert_allclose(Stable(inner).tail(x), Stable(outer).tail(x), rtol=2e-4)
        np.testing.assert_allclose(Stable(inner).density(x), Stable(outer).density(x), rtol=2e-4)
    np.testing.assert_allclose(Stable(2 - 1e-6).density(x[:3]), Stable(2.0).density(x[:3]), rtol=1e-4)


def test_the_stable_density_near_zero_joins_its_series():
    x = np.array([0.0, 1e-12, 9.9e-6, 1.01e-5, 1e-3])
    for alpha in (0.5, 0.9, 1.5):
        at_zero = math.gamma(1 + 1 / alpha) / math.pi
        np.testing.assert_allclose(stable_law.density(alpha, x)[:4], at_zero, rtol=1e-7)


def test_a_gaussian_is_not_a_stable_law_of_the_same_scale():
    assert abs(float(Stable(2.0).tail(1.0)) - float(Gaussian(1.0).tail(1.0))) > 0.1
    assert Stable(2.0).variance == 2 * Gaussian(1.0).variance


@pytest.mark.parametrize(
    ("law", "variance"),
    [
        (Gaussian(3.0), 9.0),
        (Uniform(3.0), 3.0),
        (Stable(2.0, scale=3.0), 18.0),
        (Pareto(4.0, 3.0), 3.0),
        (StudentT(4.0, 3.0), 18.0),
    ],
)
def test_the_variance_is_the_integral_of_the_tail(law, variance):
    """E Z**2 = 2 ∫ x H(x) dx."""
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 1e7, 300)])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    x = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    assert law.variance == variance
    assert 2 * float(np.sum(half * weights * x * law.tail(x))) == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("law", [Stable(1.9), Pareto(2.0), StudentT(2.0)])
def test_heavy_tails_have_no_variance(law):
    assert law.variance == math.inf


@pytest.mark.parametrize(
    ("law", "index"),
    [
        (Gaussian(), 2),
        (Stable(1.3), 1.3),
        (Pareto(1.2), 1.2),
        (Pareto(5.0), 2),
        (StudentT(1.5), 1.5),
        (StudentT(9), 2),
        (Uniform(), 2),
    ],
)
def test_the_scaling_index_is_that_of_sums(law, index):
    assert law.index == index


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(0.0), "Gaussian scale must be positive, got 0"),
        (lambda: Gaussian(math.nan), "Gaussian scale must be positive"),
        (lambda: Gaussian("1"), "Gaussian scale must be a number, got '1'"),
        (lambda: Stable(0.0), r"Stable alpha must be in \(0, 2\], got 0"),
        (lambda: Stable(2.1), r"Stable alpha must be in \(0, 2\], got 2.1"),
        (lambda: Stable(-1), r"Stable alpha must be in \(0, 2\], got -1"),
        (lambda: Stable(1.5, scale=-1), "Stable scale must be positive, got -1"),
        (lambda: Stable(1.5, 0.3), "isotropic must be True or False, got 0.3"),
        (lambda: Pareto(0), "Pareto alpha must be positive, got 0"),
        (lambda: Pareto(1.5, 0), "Pareto scale must be positive, got 0"),
        (lambda: StudentT(math.inf), "StudentT df must be positive, got inf"),
        (lambda: Uniform(-0.1), "Uniform half_width must be positive, got -0.1"),
        (lambda: laws.law_named("gausian"), "unknown noise 'gausian': did you mean gaussian"),
        (lambda: Rademacher(0.0), "Rademacher scale must be positive, got 0"),
        (lambda: Rademacher().density(0.0), "two atoms, at ±scale, and no density"),
        (lambda: Pareto(1.5).characteristic(1.0), "no elementary characteristic function"),
    ],
)
def test_a_parameter_out_of_range_is_refused_in_one_line(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_coin_has_its_two_atoms_and_the_cosine_as_characteristic_function():
    law, x = Rademacher(0.5), np.array([-0.6, -0.5, -0.4, 0.4, 0.5, 0.6])
    np.testing.assert_array_equal(law.cdf(x), [0, 0.5, 0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(law.tail(x), [0, 0, 1, 1, 0, 0])
    waves = np.linspace(-9, 9, 7)
    mean = 0.5 * (np.exp(0.5j * waves) + np.exp(-0.5j * waves))
    np.testing.assert_allclose(law.characteristic(waves), mean.real, atol=1e-15)
    assert law.variance == 0.25 and law.index == 2
