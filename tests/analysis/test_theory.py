"""Mean exit times of diffusions and stable processes against closed forms and independent solvers."""
import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from sdesim.analysis import theory
from sdesim.dynamics.sde import SDE
from sdesim.observe.regions import Ball, HalfSpace, Interval
from sdesim.problems.laws import Gaussian, Stable

X, A = sp.Symbol("x", real=True), sp.Symbol("a", real=True)


def sde(drift, diffusion, noise=None, **params):
    """A one-dimensional SDE; a list of factors is one noise each."""
    matrix = [diffusion] if isinstance(diffusion, list) else diffusion
    return SDE(drift, matrix, noise=noise or Gaussian(), params=params)


def test_brownian_motion_leaves_after_the_product_of_the_distances():
    x0 = np.array([[-0.9, 0.0], [0.3, 1.99]])
    found = theory.mean_exit_time(sde(0, 1), x0, Interval(-1, 2))
    np.testing.assert_allclose(found.value, (x0 + 1) * (2 - x0), rtol=1e-13)
    assert np.all(found.error < 1e-12)


def test_brownian_motion_with_drift_and_two_noises():
    """Mean (2 P(right) - 1) / μ from the middle of (-1, 1), with σ² = 0.36 + 0.64."""
    found = theory.mean_exit_time(sde(A, [0.6, 0.8], a=1.5), 0.0, Interval(-1, 1))
    assert found.value == pytest.approx(np.tanh(1.5) / 1.5, rel=1e-13)
    assert float(found) == found.value


def test_scale_of_the_noise_and_stable_at_two_count():
    assert theory.mean_exit_time(sde(0, 1, Gaussian(2.0)), 0.0, Interval(-1, 1)).value == pytest.approx(0.25)
    assert theory.mean_exit_time(sde(0, 1, Stable(2.0)), 0.0, Interval(-1, 1)).value == pytest.approx(0.5)


def test_reflecting_wall_on_either_side():
    left = theory.mean_exit_time(sde(0, 1), 0.25, Interval(-9, 1), reflecting=0)
    assert left.value == pytest.approx(1 - 0.0625)
    right = theory.mean_exit_time(sde(0, 1), [-0.25], Interval(-1, np.inf), reflecting=0.0)
    np.testing.assert_allclose(right.value, [1 - 0.0625])


@pytest.mark.parametrize("end", [1.0, 3.0, 8.0])
def test_ornstein_uhlenbeck_first_passage_matches_mpmath(end):
    """E τ from 0 to b of dX = -X dt + √2 dW is √(2π) ∫_0^b exp(u²/2) Φ(u) du."""
    integral = mp.quad(lambda u: mp.exp(u * u / 2) * mp.ncdf(u), mp.linspace(0, end, 9))
    exact = float(mp.sqrt(2 * mp.pi) * integral)
    ou = sde(-X, sp.sqrt(2))
    for region in (Interval(-np.inf, end), Interval(-end, np.inf)):
        assert theory.mean_exit_time(ou, 0.0, region).value == pytest.approx(exact, rel=1e-11)


def test_geometric_brownian_motion_with_a_natural_end_at_zero():
    found = theory.mean_exit_time(sde(0.3 * X, 0.4 * X), [0.5, 1.0], Interval(0, 2))
    np.testing.assert_allclose(found.value, np.log([4, 2]) / (0.3 - 0.08), rtol=1e-10)


def test_geometric_brownian_motion_between_two_ends():
    """Optional stopping of log X, with the chance to leave above from X^p, p = 1 - 2μ/σ²."""
    mu, s, p = 0.3, 0.4, 1 - 2 * 0.3 / 0.16
    above = (1 - 0.5**p) / (2**p - 0.5**p)
    exact = (above * np.log(2) + (1 - above) * np.log(0.5)) / (mu - s * s / 2)
    found = theory.mean_exit_time(sde(mu * X, s * X), 1.0, Interval(0.5, 2))
    assert found.value == pytest.approx(exact, rel=1e-11)


def test_square_root_diffusion_stops_at_an_attainable_zero():
    """dX = √(2X) dW on (0, 2): x u'' = -1 gives u = x log(2/x)."""
    found = theory.mean_exit_time(sde(0, sp.sqrt(2 * X)), [0.1, 1.0], Interval(0, 2))
    np.testing.assert_allclose(found.value, np.array([0.1, 1.0]) * np.log([20, 2]), rtol=1e-9)


@pytest.mark.parametrize(
    ("drift", "diffusion", "low", "high", "start"),
    [
        (X - X**3, sp.Float(0.7), -1.6, 0.0, -1.0),
        (X - X**3, sp.sqrt(1 + X**2) / 2, -1.2, 1.7, 0.4),
        (sp.sin(3 * X) - X, sp.exp(-(X**2) / 4), -1.0, 1.5, 0.1),
    ],
)
def test_multiplicative_noise_matches_a_boundary_value_solver(drift, diffusion, low, high, start):
    from scipy.integrate import solve_bvp

    mu, sigma = sp.lambdify(X, drift), sp.lambdify(X, diffusion)
    grid = np.linspace(low, high, 201)
    solved = solve_bvp(
        lambda x, u: np.array([u[1], -2 * (1 + mu(x) * u[1]) / sigma(x) ** 2]),
        lambda a, b: np.array([a[0], b[0]]),
        grid,
        np.ones((2, grid.size)),
        tol=1e-9,
        max_nodes=100_000,
    )
    assert solved.success
    found = theory.mean_exit_time(sde(drift, diffusion), start, Interval(low, high))
    assert found.value == pytest.approx(solved.sol(start)[0], rel=1e-7)


def double_well(sigma, low):
    """Mean passage of the double well from -1 to 0 as a double integral in mpmath, reflected at `low`."""

    def v(x):
        return 2 * (x**4 / 4 - x**2 / 2) / sigma**2

    def inner(y):
        return mp.quad(lambda z: mp.exp(v(y) - v(z)), mp.linspace(low, y, 6))

    return float(2 / sigma**2 * mp.quad(inner, mp.linspace(-1, 0, 4)))


def test_double_well_with_a_natural_end_matches_mpmath():
    found = theory.mean_exit_time(sde(X - X**3, 0.7), -1.0, Interval(-np.inf, 0.0))
    with mp.workdps(15):
        exact = double_well(mp.mpf("0.7"), mp.mpf(-4))
    assert found.value == pytest.approx(exact, rel=1e-9)


def test_high_barrier_neither_overflows_nor_loses_digits():
    """Barriers up to 555 in units of σ²/2: Kramers' formula, whose relative error is of order σ²."""
    values = []
    for sigma in (0.06, 0.03):
        found = theory.mean_exit_time(sde(X - X**3, sigma), -1.0, Interval(-np.inf, 0.5))
        kramers = np.log(np.pi * np.sqrt(2)) + 0.5 / sigma**2
        values.append(np.log(found.value) - kramers)
        assert found.error < 1e-9 * found.value
    assert abs(values[1]) < 2e-3 and values[0] / values[1] == pytest.approx(4, rel=0.05)


def test_values_beyond_floats_are_refused_with_their_size():
    with pytest.raises(ValueError, match="about 1e54"):
        theory.mean_exit_time(sde(X - X**3, 0.02), -1.0, Interval(-np.inf, 0.0))


def test_kink_in_the_drift_is_resolved():
    """Drift -sign(x - 0.3): a piecewise exponential solution."""
    found = theory.mean_exit_time(sde(-sp.sign(X - 0.3), 1), 0.0, Interval(-1, 1))
    a, b = 1.3, 0.7
    # u = A + B exp(2sy) + sy, s = sign of y = x - 0.3, solves u''/2 - su' = -1; u and u' are continuous
    rows = np.array([[1, np.exp(2 * a), 0, 0], [0, 0, 1, np.exp(2 * b)], [1, 1, -1, -1], [0, -2, 0, -2]])
    first, second, *_ = np.linalg.solve(rows, [-a, -b, 0.0, 2.0])
    exact = first + second * np.exp(0.6) + 0.3
    assert found.value == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("model", "x0", "region", "message"),
    [
        (sde(0, 1), 0.0, Interval(-np.inf, 1), "infinite: paths wander towards -inf"),
        (sde(-1, 1), 0.0, Interval(-np.inf, 1), "infinite: with positive probability paths run to -inf"),
        (sde(X**3, 1), 0.0, Interval(-np.inf, 1), "infinite: with positive probability"),
        (sde(0.05 * X, 0.4 * X), 1.0, Interval(0, 2), "run to 0 for ever"),
        (sde(1, X), -0.5, Interval(-1, 1), "diffusion vanishes near x="),
        (sde(0, 0), 0.0, Interval(-1, 1), "the mean exit time is infinite|diffusion vanishes"),
        (sde(0, 1), 3.0, Interval(-1, 1), "x0=3 is not inside"),
        (sde(0, 1, Stable(1.5)), 0.0, Interval(-1, 1), "stable_exit_time"),
        (sde("x*t", 1), 0.0, Interval(-1, 1), "do not depend on the time"),
        (SDE(["x", "y"], 1), 0.0, Interval(-1, 1), "one dimension, got 2"),
        (sde(0, 1), 0.0, Ball((0.0, 0.0), 1.0), "2 dimensions, not one"),
    ],
)
def test_refusals_name_the_assumption(model, x0, region, message):
    with pytest.raises(ValueError, match=message) as error:
        theory.mean_exit_time(model, x0, region)
    assert "\n" not in str(error.value)


def test_other_refusals():
    with pytest.raises(ValueError, match="same side"):
        theory.mean_exit_time(sde(0, 1), [-0.5, 0.5], Interval(-1, 1), reflecting=0.0)
    with pytest.raises(TypeError, match="Interval"):
        theory.mean_exit_time(sde(0, 1), 0.0, "x>0")


def test_ball_and_half_space_in_one_dimension_are_intervals():
    ball = Ball(1.0, 2.0)
    assert theory.mean_exit_time(sde(0, 1), 1.0, ball).value == pytest.approx(4.0)
    half = HalfSpace((-2.0,), 2.0)
    assert theory.mean_exit_time(sde(-2, 1), 0.0, half).value == pytest.approx(0.5)


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_stable_exit_at_two_is_brownian_motion_of_variance_two(dim):
    found = theory.stable_exit_time(2.0, dim, 1.5, [0.0, 1.0], scale=0.5)
    np.testing.assert_allclose(found, (2.25 - np.array([0, 1])) / (2 * dim * 0.25))


def test_cauchy_leaves_an_interval_after_the_root_of_the_product():
    assert theory.stable_exit_time(1.0, 1, 2.0, 1.0) == pytest.approx(np.sqrt(3))
    found = theory.stable_interval_exit_time(1.0, [0.0, 2.5], -1.0, 3.0, scale=2.0)
    np.testing.assert_allclose(found, [np.sqrt(3) / 2, np.sqrt(3.5 * 0.5) / 2])


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.9])
def test_stable_exit_matches_the_fractional_laplacian(alpha):
    """The mean u solves -(-Δ)^{α/2} u = -1: at 0 by the singular integral of the generator in d = 1."""

    def u(y):
        return theory.stable_exit_time(alpha, 1, 1.0, min(y, 1 - 1e-15))

    level = mp.gamma(1 + alpha) * mp.sin(mp.pi * alpha / 2) / mp.pi
    inside = mp.quad(lambda y: (u(float(y)) - u(0.0)) * y ** (-1 - alpha), [mp.mpf("1e-5"), 0.01, 0.5, 1])
    near = -mp.mpf("1e-5") ** (2 - alpha) / (2 - alpha) * alpha / 2 * u(0.0)
    outside = -u(0.0) / alpha
    assert float(2 * level * (inside + near + outside)) == pytest.approx(-1, rel=1e-4)


@pytest.mark.parametrize(("dim", "alpha"), [(1, 1.5), (2, 1.2), (3, 1.6)])
def test_stable_exit_of_a_ball_matches_extrapolated_walks_and_not_the_wrong_dimension(dim, alpha):
    """Euler steps of exact stable increments; the bias of order h^{1/α} is removed with two step sizes."""
    rng, n = np.random.default_rng(dim), 8000
    means, errors = [], []
    for h in (4e-3, 1e-3):
        x, steps, alive = np.zeros((n, dim)), np.zeros(n), np.arange(n)
        while alive.size:
            u, e = np.pi * rng.random(alive.size), rng.exponential(size=alive.size)
            a = alpha / 2
            radial = np.sin(a * u) / np.sin(u) ** (1 / a) * (np.sin((1 - a) * u) / e) ** ((1 - a) / a)
            jump = np.sqrt(2 * radial)[:, None] * rng.standard_normal((alive.size, dim))
            x[alive] += h ** (1 / alpha) * jump
            steps[alive] += 1
            alive = alive[np.linalg.norm(x[alive], axis=1) < 1]
        means.append(h * steps.mean())
        errors.append(h * steps.std() / np.sqrt(n))
    ratio = 4 ** (1 / alpha)
    extrapolated = (ratio * means[1] - means[0]) / (ratio - 1)
    error = np.hypot(ratio * errors[1], errors[0]) / (ratio - 1)
    assert abs(extrapolated - theory.stable_exit_time(alpha, dim, 1.0)) < 5 * error
    assert abs(extrapolated - theory.stable_exit_time(alpha, dim + 1, 1.0)) > 5 * error


@pytest.mark.parametrize(
    "arguments",
    [(0.0, 1, 1.0), (2.1, 1, 1.0), (1.5, 0, 1.0), (1.5, 1, -1.0), (1.5, 1, 1.0, 1.0), (1.5, 1, 1.0, 0.0, 0)],
)
def test_stable_exit_refuses_values_out_of_range(arguments):
    with pytest.raises(ValueError):
        theory.stable_exit_time(*arguments)


def test_empty_or_infinite_stable_interval_is_refused():
    for low, high in [(1.0, 1.0), (-np.inf, 1.0)]:
        with pytest.raises(ValueError, match="finite"):
            theory.stable_interval_exit_time(1.5, 0.0, low, high)
