"""Variance, side and full law of 1-D exit times against closed forms and independent solvers."""
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from scipy.linalg import eigh_tridiagonal
from scipy.special import erf, ndtr

from sdesim.analysis import theory
from sdesim.analysis.diffusion.bidiagonal import bidiagonal_svd
from sdesim.dynamics.sde import SDE
from sdesim.observe.regions import Ball, Interval
from sdesim.problems.laws import Stable

X = sp.Symbol("x", real=True)
INFINITE = float("inf")
BROWNIAN = SDE(0, 1)


def brownian_survival(t, x, terms=400):
    """P(τ > t) for Brownian motion in (-1, 1) from x: the theta series."""
    k = np.arange(terms)[:, None]
    odd = 2 * k + 1
    parts = (-1.0) ** k / odd * np.cos(odd * np.pi * x / 2) * np.exp(-((odd * np.pi) ** 2) * np.ravel(t) / 8)
    return (4 / np.pi * parts.sum(axis=0)).reshape(np.shape(t))


def close(reference, exact, within):
    """Whether a reference is exact to `within` times the largest value, and its stated error covers the difference."""
    difference = np.abs(reference.value - exact)
    return bool(np.all(difference <= within * np.max(exact)) and np.all(difference <= reference.error + 1e-13))


@pytest.mark.parametrize(("x0", "within"), [(0.0, 1e-9), (0.3, 1e-9), (-0.95, 1e-6)])
def test_brownian_exit_time_from_an_interval_follows_the_theta_series(x0, within):
    """Error of order (cell width / distance to the end)**4, so larger next to it."""
    law = theory.exit_law(BROWNIAN, x0, Interval(-1, 1))
    times = np.geomspace(1e-3, 10, 40)
    assert close(law.survival(times), brownian_survival(times, x0), within)
    assert close(law.rates, np.pi**2 / 8 * np.arange(1, 9) ** 2, 1e-6)
    assert law.survival(0.0).value == pytest.approx(1, abs=1e-12)
    assert law.std.value**2 == pytest.approx(2 / 3 * (1 - x0**4), rel=1e-12)


def test_the_theta_series_of_another_start_does_not_fit():
    law = theory.exit_law(BROWNIAN, 0.3, Interval(-1, 1))
    assert not close(law.survival(0.5), brownian_survival(0.5, 0.31), 1e-9)


def test_quantiles_undo_the_survival_and_the_density_is_its_slope():
    law = theory.exit_law(BROWNIAN, 0.2, Ball(0.0, 1.0))
    shares = np.array([1e-3, 0.25, 0.5, 0.999])
    found = law.quantile(shares)
    np.testing.assert_allclose(brownian_survival(found.value, 0.2), 1 - shares, atol=1e-9)
    step = 1e-5
    slope = (brownian_survival(0.4 - step, 0.2) - brownian_survival(0.4 + step, 0.2)) / (2 * step)
    assert law.density(0.4).value == pytest.approx(float(slope), rel=1e-6)


def test_ornstein_uhlenbeck_reaches_its_centre_by_a_time_change():
    """X_t = exp(-kt) B(σ²(exp(2kt) - 1)/2k), so P(τ > t) = erf(|x| / √(σ²(exp(2kt) - 1)/k))."""
    k, sigma, x0 = 1.5, 0.8, -1.0
    law = theory.exit_law(SDE(-k * X, sigma), x0, Interval(-INFINITE, 0.0))
    times = np.geomspace(0.01, 8, 30)
    exact = erf(1 / np.sqrt(sigma**2 * np.expm1(2 * k * times) / k))
    assert close(law.survival(times), exact, 1e-8)
    assert close(law.rates, k * np.arange(1, 16, 2), 1e-6)


@pytest.mark.parametrize("turned", [1, -1])
def test_brownian_motion_with_drift_has_the_inverse_gaussian_law(turned):
    drift = 2.0
    region = Interval(-INFINITE, 0.0) if turned == 1 else Interval(0.0, INFINITE)
    law = theory.exit_law(SDE(turned * drift, 1), -turned * 1.0, region)
    times = np.geomspace(0.05, 4, 20)
    root = np.sqrt(times)
    below = ndtr((drift * times - 1) / root) + np.exp(2 * drift) * ndtr(-(drift * times + 1) / root)
    assert close(law.survival(times), 1 - below, 1e-6)
    assert law.mean.value == pytest.approx(1 / drift, rel=1e-11)
    assert law.std.value**2 == pytest.approx(1 / drift**3, rel=1e-11)


@pytest.mark.parametrize("drift", [0.1, 5.0, 400.0])
def test_small_variance_beside_a_large_mean_is_not_lost(drift):
    """A passage over distance 1 at speed μ has variance μ⁻³: at μ = 400 a 400th of the squared mean."""
    found = theory.exit_time_variance(SDE(drift, 1), [-1.0, -0.5], Interval(-INFINITE, 0.0))
    np.testing.assert_allclose(found.value, np.array([1.0, 0.5]) / drift**3, rtol=1e-10)


def test_law_of_a_double_well_matches_finite_differences():
    """Uniform grid, central differences, no scale function: errors of order the square of the spacing."""
    sigma, low, x0, times = 0.6, -2.5, -1.0, np.array([0.3, 1.0, 5.0, 30.0])
    answers = []
    for n in (500, 1000):
        x = np.linspace(low, 0.0, n + 1)
        h = x[1] - x[0]
        f = 2 / sigma**2 * (x**4 / 4 - x**2 / 2)
        up = 0.5 * (sigma / h) ** 2 * np.exp(0.5 * (f[:-1] - f[1:]))
        down = 0.5 * (sigma / h) ** 2 * np.exp(0.5 * (f[1:] - f[:-1]))
        diagonal = np.append(up[0], up[1:] + down[:-1])
        values, vectors = eigh_tridiagonal(diagonal, -np.sqrt(up[:-1] * down[:-1]))
        root = np.exp(-f[:-1] / 2)
        at = int(np.argmin(np.abs(x[:-1] - x0)))
        weights = vectors[at] / root[at] * (vectors.T @ root)
        answers.append(np.exp(-np.outer(times, values)) @ weights)
        assert x[at] == pytest.approx(x0, abs=1e-12)
    exact = (4 * answers[1] - answers[0]) / 3
    law = theory.exit_law(SDE(X - X**3, sigma), x0, Interval(-INFINITE, 0.0))
    np.testing.assert_allclose(law.survival(times).value, exact, atol=3e-6)


def test_a_deep_well_keeps_its_slow_rate_beside_the_fast_ones():
    """Mean 2.7e11 from the well: the slowest rate is its inverse up to a relative 1e-11, the next ones are near 2."""
    well = SDE(X - X**3, 0.14)
    law = theory.exit_law(well, -1.0, Interval(-INFINITE, 0.0))
    assert law.mean.value * law.rates.value[0] == pytest.approx(1, abs=1e-10)
    assert law.rates.value[1] == pytest.approx(2, rel=0.1)
    assert law.std.value / law.mean.value == pytest.approx(1, abs=1e-9)
    times = law.mean.value * np.array([0.1, 1.0, 3.0])
    np.testing.assert_allclose(law.survival(times).value, np.exp([-0.1, -1, -3]), rtol=1e-9)
    assert law.quantile(0.5).value == pytest.approx(np.log(2) * law.mean.value, rel=1e-9)


def test_variance_of_a_double_well_matches_a_boundary_value_solver():
    """½σ²w'' + μw' = -2u for the second moment w, solved together with the mean u."""
    from scipy.integrate import solve_bvp

    sigma, low, high, x0 = 0.5, -1.6, 1.3, -1.0
    grid = np.linspace(low, high, 301)

    def slope(x, y):
        mu = x - x**3
        return np.array([y[1], -2 * (1 + mu * y[1]) / sigma**2, y[3], -2 * (2 * y[0] + mu * y[3]) / sigma**2])

    solved = solve_bvp(
        slope, lambda a, b: np.array([a[0], b[0], a[2], b[2]]), grid, np.ones((4, grid.size)), tol=1e-9, max_nodes=10**5
    )
    mean, second = solved.sol(x0)[[0, 2]]
    found = theory.exit_time_variance(SDE(X - X**3, sigma), x0, Interval(low, high))
    assert found.value == pytest.approx(second - mean**2, rel=1e-6)
    law = theory.exit_law(SDE(X - X**3, sigma), x0, Interval(low, high))
    grid = np.concatenate([np.linspace(0, 50, 20001), np.geomspace(50, 3000, 20001)[1:]])
    assert np.trapezoid(law.survival(grid).value, grid) == pytest.approx(law.mean.value, rel=1e-5)


def test_brownian_motion_leaves_at_the_top_in_proportion():
    x0 = np.array([[-0.9, 0.0], [0.3, 1.99]])
    found = theory.exit_side(BROWNIAN, x0, Interval(-1, 2))
    np.testing.assert_allclose(found.value, (x0 + 1) / 3, rtol=1e-13)


def test_side_of_a_deep_double_well_is_tiny_and_accurate():
    sigma = mp.mpf("0.1")
    with mp.workdps(30):

        def scale(low, high):
            grid = mp.linspace(low, high, 40)
            return mp.quad(lambda y: mp.exp((y**4 / 2 - y**2) / sigma**2), grid)

        exact = float(scale(mp.mpf("-1.2"), -1) / scale(mp.mpf("-1.2"), mp.mpf("0.5")))
    found = theory.exit_side(SDE(X - X**3, 0.1), -1.0, Interval(-1.2, 0.5))
    assert found.value == pytest.approx(exact, rel=1e-11) and exact < 1e-18


@pytest.mark.parametrize(("drift", "share"), [(0.5, 1.0), (0.0, 1.0), (-0.5, np.exp(-1.0))])
def test_a_path_may_run_away_and_never_leave(drift, share):
    """From -1 with drift μ the level 0 is reached with probability min(1, exp(2μ))."""
    found = theory.exit_side(SDE(drift, 1), -1.0, Interval(-INFINITE, 0.0))
    assert found.value == pytest.approx(share, rel=1e-11)
    mirrored = theory.exit_side(SDE(-drift, 1), 1.0, Interval(0.0, INFINITE))
    assert 1 - mirrored.value == pytest.approx(share, rel=1e-11)


def test_singular_values_of_a_graded_bidiagonal_matrix_keep_relative_accuracy():
    n = 12
    d, e = 10.0 ** np.linspace(-9, 6, n), 10.0 ** np.linspace(-8, 5, n - 1)
    with mp.workdps(60):
        matrix = mp.matrix(n, n)
        for i in range(n):
            matrix[i, i] = mp.mpf(float(d[i]))
            if i < n - 1:
                matrix[i, i + 1] = mp.mpf(float(e[i]))
        exact = [float(s) for s in mp.svd_r(matrix, compute_uv=False)]
    values, turned = bidiagonal_svd(d, e, np.eye(n))
    np.testing.assert_allclose(values, sorted(exact, reverse=True), rtol=1e-13)
    np.testing.assert_allclose(turned @ turned.T, np.eye(n), atol=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.exit_law(BROWNIAN, [0.0, 0.1], Interval(-1, 1)), "one start"),
        (lambda: theory.exit_law(BROWNIAN, 0.0, Interval(-INFINITE, 1)), "infinite"),
        (lambda: theory.exit_law(BROWNIAN, 2.0, Interval(-1, 1)), "not inside"),
        (lambda: theory.exit_law(BROWNIAN, 0.0, Interval(-1, 1), n_cells=3), "n_cells"),
        (lambda: theory.exit_side(SDE("-x", 1, noise=Stable(1.5)), 0.0, Interval(-1, 1)), "exit_side needs Gaussian"),
        (lambda: theory.exit_time_variance(SDE(["-x", "-y"], 1), 0.0, Interval(-1, 1)), "one dimension"),
        (lambda: theory.exit_law(BROWNIAN, 0.0, Interval(-1, 1)).quantile(1.0), "in \\(0, 1\\)"),
        (lambda: theory.exit_law(BROWNIAN, 0.0, Interval(-1, 1)).survival(-1.0), "0 or more"),
    ],
)
def test_questions_outside_the_assumptions_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
