"""Which set a chain reaches first: closed forms, enumeration, slow quadrature in long doubles, and simulation."""

from typing import Any

import numpy as np
import pytest
from scipy.special import erfc
from scipy.stats import norm

import sdesim as sd
from sdesim.analysis.recursion.committor import chain_committor, chain_exit_side
from sdesim.analysis.recursion.exit import chain_exit_time
from sdesim.analysis.recursion.factors import PositiveFactors
from sdesim.problems.laws import Gaussian, Pareto, Stable, Uniform
from tests.analysis.test_chain_exit_time import Recursion
from tests.chance import has_share

INF = np.inf
WELL = sd.Landscape("x**4/4 - x**2/2")


def euler(sigma: float, dt: float = 0.01) -> Any:
    return sd.EulerMaruyama(sd.SDE(-WELL.gradient, sigma), dt)


@pytest.mark.parametrize("ratio", [1.1, 1.7, 3.0])
def test_factors_keep_every_digit_of_the_ruin_of_a_gambler(ratio):
    """From k of n: (r^k - 1)/(r^n - 1), down to 1e-28."""
    n, p = 61, 1 / (1 + ratio)
    matrix = np.diag(np.full(n - 2, p), 1) + np.diag(np.full(n - 2, 1 - p), -1)
    into = np.zeros((n - 1, 2))
    into[0, 0], into[-1, 1] = 1 - p, p
    factors = PositiveFactors(matrix, into.sum(axis=1))
    k = np.arange(1, n)
    exact = np.expm1(k * np.log(ratio)) / np.expm1(n * np.log(ratio))
    np.testing.assert_allclose(factors.solve(into[:, 1]), exact, rtol=1e-12)


def test_factors_of_a_full_matrix_solve_both_equations_and_give_the_stationary_law():
    rng = np.random.default_rng(0)
    matrix = rng.random((131, 131))
    closed = matrix / matrix.sum(axis=1, keepdims=True)
    law = PositiveFactors(closed, np.zeros(131)).stationary()
    np.testing.assert_allclose(law @ closed, law, rtol=1e-13)
    right, rest = rng.standard_normal(131), np.eye(131) - 0.9 * closed
    factors = PositiveFactors(0.9 * closed, np.full(131, 0.1))
    np.testing.assert_allclose(rest @ factors.solve(right), right, atol=1e-13)
    np.testing.assert_allclose(rest.T @ factors.solve(right, adjoint=True), right, atol=1e-13)


def test_independent_states_reach_a_set_in_proportion_to_its_mass():
    chain = Recursion(np.zeros_like, 1.0, Gaussian())
    found = chain_committor(chain, [0.0, 3.0], (-INF, -1.0), (7.0, INF))
    exact = norm.sf(7) / (norm.sf(7) + norm.sf(1))
    np.testing.assert_allclose(found.value, exact, rtol=1e-9)
    bounded = chain_committor(chain, 0.0, [sd.Interval(-2.0, -1.0), (1.0, 2.0)], sd.Ball(6.0, 0.5))
    b = norm.sf(5.5) - norm.sf(6.5)
    assert bounded.value == pytest.approx(b / (b + 2 * (norm.sf(1) - norm.sf(2))), rel=1e-7)


def test_truncated_walk_is_the_gambler():
    """Noise far beyond b: every step is ±b; from 0 the walk is ruined at -3 b or reaches 4 b."""
    walk = sd.Truncated(Recursion(lambda x: x, 1.0, Uniform(1e7)), 0.1)
    side = chain_exit_side(walk, 0.0, sd.Interval(-0.25, 0.35))
    assert side.value == pytest.approx(3 / 7, rel=1e-5)
    assert abs(side.value - 3 / 7) <= side.error


def nystrom(sigma: float, dt: float, x0: float, panels: int) -> float:
    """The committor of (-inf, -1), (0, inf) by Gauss–Legendre panels and elimination in long doubles."""
    x, w = np.polynomial.legendre.leggauss(8)
    ends = np.linspace(-1, 0, panels + 1)
    half = 0.5 / panels
    nodes = ((0.5 * (ends[:-1] + ends[1:]))[:, None] + half * x).ravel().astype(np.longdouble)
    weights = np.tile(half * w, panels).astype(np.longdouble)
    scale = np.longdouble(sigma * np.sqrt(dt))

    def step(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = at + np.longdouble(dt) * (at - at**3)
        kernel = np.exp(-0.5 * ((nodes - mean[:, None]) / scale) ** 2) / (scale * np.sqrt(2 * np.longdouble(np.pi)))
        return kernel * weights, 0.5 * erfc((-mean / scale / np.sqrt(2)).astype(float)).astype(np.longdouble)

    kernel, right = step(nodes)
    rest = np.column_stack([np.eye(nodes.size, dtype=np.longdouble) - kernel, right])
    for k in range(nodes.size - 1):
        rest[k + 1 :, k:] -= np.outer(rest[k + 1 :, k] / rest[k, k], rest[k, k:])
    h = np.empty(nodes.size, dtype=np.longdouble)
    for k in reversed(range(nodes.size)):
        h[k] = (rest[k, -1] - rest[k, k + 1 : -1] @ h[k + 1 :]) / rest[k, k]
    kernel, right = step(np.array([x0], dtype=np.longdouble))
    return float(kernel[0] @ h + right[0])


@pytest.mark.parametrize(("sigma", "size"), [(0.29, 1e-3), (0.2, 1e-6), (0.155, 1e-9), (0.1345, 1e-12)])
def test_excursions_of_the_double_well_match_slow_quadrature_to_their_relative_error(sigma, size):
    found = chain_committor(euler(sigma), -0.9, (-INF, -1.0), (0.0, INF), max_nodes=1500)
    exact = nystrom(sigma, 0.01, -0.9, 36)
    assert size / 3 < exact < 3 * size
    assert abs(found.value - exact) <= found.error < 5e-3 * exact


def test_the_slow_quadrature_is_converged_where_it_is_hardest():
    assert nystrom(0.1345, 0.01, -0.9, 36) == pytest.approx(nystrom(0.1345, 0.01, -0.9, 44), rel=1e-6)


def graded_masses(law: Any, mean: Any, scale: float, cells: int, x0: float) -> float:
    """Committor of (-inf, -3 s), (1, inf), s the scale of the noise; the state is moved to the middle of its cell."""
    s = scale * law.scale
    grading = np.linspace(np.arcsinh(-3.0), np.arcsinh(1 / s), cells + 1)
    edges = s * np.sinh(grading)
    middle = 0.5 * (edges[1:] + edges[:-1])
    table = np.concatenate([[0.0], np.geomspace(1e-6, 2 / s, 20_000)])
    log_tail = np.log(law.tail(law.scale * table))

    def beyond(x: np.ndarray) -> np.ndarray:
        t = (edges - mean(x)[:, None]) / s
        tail = np.exp(np.interp(np.abs(t), table, log_tail)) / 2
        return np.where(t > 0, tail, -tail)

    def masses(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        above = beyond(x)
        inside = above[:, :-1] - above[:, 1:]
        return np.where((above[:, :-1] < 0) & (above[:, 1:] > 0), 1 + inside, inside), above[:, -1]

    inner, right = masses(middle)
    h = np.linalg.solve(np.eye(cells) - inner, right)
    inner, right = masses(np.array([x0]))
    return float(inner[0] @ h + right[0])


@pytest.mark.parametrize(("law", "scale"), [(Stable(1.5), 1.5e-4), (Pareto(1.2, 0.1), 1e-4)])
def test_one_in_a_million_with_jumps_matches_an_independent_discretisation(law, scale):
    def mean(x: Any) -> Any:
        return 0.9 * x

    coarse, fine = (graded_masses(law, mean, scale, n, 0.0) for n in (500, 1000))
    found = chain_committor(Recursion(mean, scale, law), 0.0, (-INF, -3 * scale * law.scale), (1.0, INF))
    exact = fine + (fine - coarse) / 3
    assert 1e-7 < exact < 1e-5
    assert abs(fine / coarse - 1) < 2e-3
    assert found.value == pytest.approx(exact, rel=5e-4)
    assert found.error < 1e-3 * exact


def first_of(chain: Any, sets: Any, x0: float, n: int, seed: int) -> np.ndarray:
    """Whether each of n paths visits the second set first, the slow obvious way."""
    rng, x, hit = np.random.default_rng(seed), np.full(n, x0), np.zeros(n, dtype=bool)
    alive = np.arange(n)
    while alive.size:
        x[alive] = chain(x[alive], rng)
        in_a, in_b = (np.any([(x[alive] > a) & (x[alive] < b) for a, b in s], axis=0) for s in sets)
        hit[alive[in_b]] = True
        alive = alive[~(in_a | in_b)]
    return hit


def test_jumps_over_a_set_are_no_visits():
    """Clipped heavy steps on a bounded line, sets of two intervals; the twin with another b must fail."""
    a, b = [(-0.6, -0.4), (0.9, 1.0)], [(0.25, 0.45), (-1.0, -0.9)]

    def chain(x: np.ndarray, rng: Any) -> np.ndarray:
        z = rng.choice([-1, 1], x.size) * 0.5 * rng.pareto(1.2, x.size)
        return np.clip(x + np.clip(-0.1 * x + 0.2 * z, -0.5, 0.5), -1.6, 1.6)

    hit = first_of(chain, (a, b), 0.0, 40_000, 3)

    def exact(width: float) -> float:
        free = Recursion(lambda x: 0.9 * x, 0.2, Pareto(1.2, 0.5))
        held = sd.Projected(sd.Truncated(free, width), sd.Interval(-1.6, 1.6))
        return float(chain_committor(held, 0.0, a, b))

    assert has_share(hit, exact(0.5))
    assert not has_share(hit, exact(0.3))


@pytest.mark.parametrize("b", [0.5, 0.28])
def test_stated_error_covers_the_change_to_a_finer_grid(b):
    held = sd.Truncated(Recursion(lambda x: x - 0.05 * (x**3 - x), 0.05, Pareto(1.2, 0.1)), b)
    rough, fine = (chain_committor(held, -0.9, (-INF, -1.0), (0.0, INF), rtol=r) for r in (0.1, 1e-3))
    assert abs(rough.value - fine.value) < rough.error
    assert fine.error < rough.error


def test_open_sides_are_cut_where_they_hardly_count():
    chain = Recursion(lambda x: 0.9 * x, 0.3, Gaussian())
    free = chain_committor(chain, 0.4, (-0.2, 0.2), (2.9, 3.1))
    held = chain_committor(chain, 0.4, (-0.2, 0.2), (2.9, 3.1), domain=(-30.0, 30.0))
    mirrored = chain_committor(chain, -0.4, (-0.2, 0.2), (-3.1, -2.9))
    assert free.value == pytest.approx(held.value, rel=1e-4)
    assert free.value == pytest.approx(mirrored.value, rel=1e-4)


def test_sides_of_a_symmetric_region_are_equal_and_sum_to_one():
    chain = Recursion(lambda x: 0.7 * x, 0.5, Stable(1.5))
    assert chain_exit_side(chain, 0.0, sd.Interval(-1, 1)).value == pytest.approx(0.5, rel=1e-6)
    high, low = (chain_exit_side(chain, x, sd.Interval(-1, 1)).value for x in (0.4, -0.4))
    assert high + low == pytest.approx(1.0, rel=1e-6)


def test_mean_exit_time_of_a_trillion_steps_keeps_its_digits():
    """Independent states leave after 1/q steps, also when 1 - q is one in double precision."""
    chain = Recursion(np.zeros_like, 1.0, Gaussian())
    q = 2 * norm.sf(7.2)
    law = chain_exit_time(chain, 0.0, sd.Interval(-7.2, 7.2))
    assert 1 / q > 1e12
    assert law.steps == pytest.approx(1 / q, rel=1e-8)
    assert law.steps_error < 1e-2 / q
    assert law.quasi_stationary().rate.value == pytest.approx(q, rel=1e-3)


def test_exit_law_of_independent_states_is_geometric():
    law = chain_exit_time(Recursion(np.zeros_like, 1.0, Gaussian(), clock=0.1), [0.0, 0.5], sd.Interval(-2.0, 2.0))
    q = 2 * norm.sf(2)
    steps = np.array([1, 2, 50])
    np.testing.assert_allclose(law.probability(steps)[1], q * (1 - q) ** (steps - 1), rtol=1e-6)
    p = np.array([1e-3, 0.3, 0.9, 0.9999])
    expected = np.ceil(np.log1p(-p) / np.log1p(-q))
    np.testing.assert_array_equal(law.quantile(p), [expected, expected])
    stay = law.quasi_stationary()
    assert stay.survival.value == pytest.approx(1 - q, rel=1e-9)
    assert stay.rate.value == pytest.approx(-np.log1p(-q) / 0.1, rel=1e-7)
    np.testing.assert_allclose(stay.density([0.0, 1.0]), norm.pdf([0, 1]) / (1 - q), rtol=3e-2)


def test_quasi_stationary_rate_is_that_of_late_survival():
    law = chain_exit_time(euler(0.6), -1.0, sd.Interval(-INF, 0.0))
    slow = law.quasi_stationary()
    late = law.survival([8000, 16000])
    assert slow.rate.value == pytest.approx(np.log(late[0] / late[1]) / 80, rel=2e-3)  # ten times the default rtol
    assert slow.rate.error < 1e-3 * slow.rate.value
    assert slow.node_mass.sum() == pytest.approx(1.0)


def test_a_chain_that_runs_away_needs_a_domain():
    """Lomax jumps so far that the next step of a cubic drift overflows."""
    chain = sd.SGD(WELL, 1e-3, noise=Pareto(1.2, 0.1))
    with pytest.raises(ValueError, match=r"goes beyond .* give domain="):
        chain_committor(chain, -0.9, (-1.02, -0.98), (0.0, INF))
    held = chain_committor(chain, -0.9, (-1.02, -0.98), (0.0, INF), domain=(-3.0, 1.0), rtol=1e-2)
    assert 0 < held.value < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: chain_committor(d, -2.0, (-INF, -1.0), (1.0, INF)), "lies in the set A"),
        (lambda d: chain_committor(d, 2.0, (-INF, -1.0), (1.0, INF)), "lies in the set B"),
        (lambda d: chain_committor(d, 0.0, (-INF, 0.5), (0.2, INF)), "overlap"),
        (lambda d: chain_committor(d, 0.0, (1.0, -1.0), (2.0, 3.0)), "empty"),
        (lambda d: chain_committor(d, 0.0, (-3.0, -1.0), (2.0, 3.0), domain=(1.0, 4.0)), "must contain x0"),
        (lambda d: chain_exit_side(d, 0.0, sd.Interval(-INF, 1.0)), "one end"),
        (lambda d: chain_exit_time(d, 0.0, sd.Interval(-1, 1)).quantile(1.0), "probabilities in"),
        (lambda d: chain_exit_time(d, 0.0, sd.Interval(-1, 1)).probability(0), "integers >= 1"),
    ],
)
def test_refusals_are_one_line_and_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(Recursion(lambda x: 0.5 * x, 0.3, Gaussian()))
    assert "\n" not in str(error.value)
