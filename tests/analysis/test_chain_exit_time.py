"""The transfer operator against closed forms, enumeration, an independent discretisation and simulation."""
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdesim.analysis.recursion.exit import chain_exit_time
from sdesim.analysis.recursion.stationary import chain_stationary_law
from sdesim.core.ops import NUMPY
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.sde import SDE
from sdesim.dynamics.sgd import SGD
from sdesim.dynamics.wrappers import Projected, Truncated
from sdesim.observe.regions import Interval
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import Gaussian, Pareto, Stable, StudentT, Uniform


@dataclass(frozen=True)
class Recursion:
    """X⁺ = m(X) + scale Z, with the members of a dynamics that the operator reads."""

    mean: Any
    scale: float
    noise: Any
    clock: float = 1.0
    dim: int = 1

    def step(self, ops: Any, x: Any, z: Any, k: int) -> Any:
        return self.mean(x) + self.scale * z


def paper_slope(x: Any) -> Any:
    """Gradient of the function of Wang, Oh and Rhee 2021, by a complex step (x < 1.65)."""
    y = np.asarray(x) + 1e-30j
    f = (y + 1.6) * (y + 1.3) ** 2 * (y - 0.2) ** 2 * (y - 0.7) ** 2 * (y - 1.6) * (0.05 * (1.65 - y)) ** 0.6
    f *= (1 + 1 / (0.01 + 4 * (y - 0.5) ** 2)) * (1 + 1 / (0.1 + 4 * (y + 1.5) ** 2))
    return (f * (1 - np.exp(-5 * (y + 0.8) ** 2) / 4)).imag / 1e-30


def paper(lr: float, b: float | None = None) -> Any:
    dynamics: Any = Recursion(lambda x: x - lr * paper_slope(x), lr, Pareto(1.2, 0.1), clock=lr)
    if b is not None:
        dynamics = Truncated(dynamics, b)
    return Projected(dynamics, Interval(-1.6, 1.6))


WELL = Interval(-1.3, 0.2)
UNIT = Interval(-1.0, 1.0)


def simulate(
    mean: Any, scale: float, draw: Any, x0: float, region: Any, n: int, clip: Any = None
) -> np.ndarray:
    """Exit steps of n paths, the slow obvious way; `clip(x, proposed)` wraps the step."""
    x, steps, alive = np.full(n, x0), np.zeros(n), np.arange(n)
    while alive.size:
        proposed = mean(x[alive]) + scale * draw(alive.size)
        x[alive] = proposed if clip is None else clip(x[alive], proposed)
        steps[alive] += 1
        alive = alive[(x[alive] > region.low) & (x[alive] < region.high)]
    return steps


@pytest.mark.parametrize(
    ("lr", "b", "published", "digits"),
    [
        (0.02, None, 1117.6, 5e-4),
        (0.002, None, 17827, 5e-4),
        (0.02, 0.5, 13066, 2e-4),
        (0.01, 0.28, 1.37e6, 1e-3),
    ],
)
def test_exit_of_the_wide_well_of_wang2021_matches_the_recorded_values(lr, b, published, digits):
    result = chain_exit_time(paper(lr, b), -0.7, WELL)
    assert result.steps == pytest.approx(published, rel=digits)
    assert result.steps_error < 3e-4 * result.steps
    assert result.value == pytest.approx(lr * result.steps)


def finite_volume_steps(lr: float, cells: int, x0: float) -> float:
    """Mean exit steps with the state moved to the middle of its cell, masses from the cdf."""
    law = Pareto(1.2, 0.1 * lr)
    edges = np.linspace(-1.3, 0.2, cells + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])

    def masses(x: np.ndarray) -> np.ndarray:
        return np.diff(law.cdf(edges - (x - lr * paper_slope(x))[:, None]), axis=1)

    mean = np.linalg.solve(np.eye(cells) - masses(middle), np.ones(cells))
    return float(1 + masses(np.array([x0]))[0] @ mean)


def test_exit_of_the_wide_well_matches_an_independent_discretisation():
    coarse, fine = (finite_volume_steps(0.02, n, -0.7) for n in (1200, 2400))
    extrapolated = fine + (fine - coarse) / 3
    result = chain_exit_time(paper(0.02), -0.7, WELL)
    assert abs(fine - coarse) < 1e-3 * fine
    assert result.steps == pytest.approx(extrapolated, rel=2e-5)


@pytest.mark.parametrize("b", [0.5, 0.28, 0.35])
def test_stated_error_covers_the_change_to_a_finer_grid(b):
    rough = chain_exit_time(paper(0.02, b), -0.7, WELL, rtol=0.02)
    fine = chain_exit_time(paper(0.02, b), -0.7, WELL, rtol=1e-3)
    assert abs(rough.steps - fine.steps) < rough.steps_error
    assert fine.steps_error < rough.steps_error


def clip_of_paper(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.clip(x + np.clip(y - x, -0.5, 0.5), -1.6, 1.6)


def test_truncated_and_projected_recursion_matches_simulation_and_a_wrong_b_does_not():
    rng, lr, n = np.random.default_rng(11), 0.2, 4000

    def mean(x: Any) -> Any:
        return x - lr * 0.5 * x

    def draw(size: int) -> np.ndarray:
        return rng.choice([-1, 1], size) * 0.5 * rng.pareto(1.2, size)

    steps = simulate(mean, lr, draw, 0.1, Interval(-0.9, 1.1), n, clip_of_paper)
    error = steps.std() / np.sqrt(n)

    def exact(b: float) -> float:
        dynamics = Projected(Truncated(Recursion(mean, lr, Pareto(1.2, 0.5)), b), Interval(-1.6, 1.6))
        return chain_exit_time(dynamics, 0.1, Interval(-0.9, 1.1)).steps

    assert abs(steps.mean() - exact(0.5)) < 5 * error
    assert abs(steps.mean() - exact(0.7)) > 10 * error


def test_either_order_of_the_wrappers_is_one_clip():
    base = Recursion(lambda x: 0.8 * x + 0.3, 0.3, Gaussian())
    outer = Projected(Truncated(base, 0.4), Interval(-0.2, 0.6))
    inner = Truncated(Projected(base, Interval(-0.2, 0.6)), 0.4)
    rng = np.random.default_rng(5)
    region = Interval(-1.0, 0.55)
    draw = rng.standard_normal
    for dynamics, clip in [
        (outer, lambda x, y: np.clip(x + np.clip(y - x, -0.4, 0.4), -0.2, 0.6)),
        (inner, lambda x, y: x + np.clip(np.clip(y, -0.2, 0.6) - x, -0.4, 0.4)),
    ]:
        steps = simulate(lambda x: 0.8 * x + 0.3, 0.3, draw, -0.1, region, 40_000, clip)
        exact = chain_exit_time(dynamics, -0.1, region)
        assert abs(steps.mean() - exact.steps) < 5 * steps.std() / 200
        assert exact.std == pytest.approx(steps.std(), rel=0.03)


PAPER = (
    "(x+1.6)*(x+1.3)**2*(x-.2)**2*(x-.7)**2*(x-1.6)*(.05*abs(1.65-x))**.6*(1+1/(.01+4*(x-.5)**2))"
    "*(1+1/(.1+4*(x+1.5)**2))*(1-exp(-5*(x+.8)**2)/4)"
)


def test_sgd_on_the_landscape_is_the_recursion_written_by_hand():
    sgd = SGD(Landscape(PAPER, domain=(-1.6, 1.6)), 0.05, Pareto(1.2, 0.1))
    dynamics = Projected(Truncated(sgd, 0.5), Interval(-1.6, 1.6))
    found = chain_exit_time(dynamics, -0.7, WELL, rtol=2e-3)
    by_hand = chain_exit_time(paper(0.05, 0.5), -0.7, WELL, rtol=2e-3)
    assert found.steps == pytest.approx(by_hand.steps, rel=1e-6)
    assert found.value == pytest.approx(0.05 * found.steps)


def test_euler_steps_match_simulation_by_their_own_step():
    """Multiplicative noise from two drivers; the twin with one driver only must fail."""
    sde = SDE("x - x**3", [["0.5*sqrt(1 + x**2)", "a"]], params={"a": 0.4})
    dynamics, rng, n = EulerMaruyama(sde, 0.05), np.random.default_rng(21), 20_000
    x, steps, alive = np.full((n, 1), -1.0), np.zeros(n), np.arange(n)
    while alive.size:
        x[alive] = dynamics.step(NUMPY, x[alive], rng.standard_normal((alive.size, 2)), 0)
        steps[alive] += 1
        alive = alive[x[alive, 0] < 0.0]
    error = 0.05 * steps.std() / np.sqrt(n)
    region = Interval(-np.inf, 0.0)
    assert abs(0.05 * steps.mean() - chain_exit_time(dynamics, -1.0, region).value) < 5 * error
    twin = EulerMaruyama(SDE("x - x**3", "0.5*sqrt(1 + x**2)"), 0.05)
    assert abs(0.05 * steps.mean() - chain_exit_time(twin, -1.0, region).value) > 10 * error


@pytest.mark.parametrize("noise", [Gaussian(), Stable(1.5)])
def test_substeps_of_the_noise_leave_the_chain_as_it_is(noise):
    sde = SDE("-x", 0.7, noise=noise)
    one, four = (chain_exit_time(EulerMaruyama(sde, 0.1, m), 0.0, UNIT) for m in (1, 4))
    assert one.steps == pytest.approx(four.steps, rel=1e-9)


def test_coefficients_that_depend_on_time_are_refused():
    with pytest.raises(ValueError, match="do not depend on the time"):
        chain_exit_time(EulerMaruyama(SDE("-x*t", 1), 0.1), 0.0, UNIT)


def test_uniform_random_walk_leaves_after_e_steps():
    """Sums of uniforms on (0, 1) exceed one after e steps on average, after more than n with chance 1/n!."""
    walk = Recursion(lambda x: x + 0.5, 1.0, Uniform(0.5), clock=0.1)
    result = chain_exit_time(walk, 1e-12, Interval(-1.0, 1.0))
    assert result.steps == pytest.approx(np.e, rel=1e-5)
    assert result.value == pytest.approx(0.1 * np.e, rel=1e-5)
    factorials = [1.0, 1.0, 1 / 2, 1 / 6, 1 / 24]
    np.testing.assert_allclose(result.survival([0, 1, 2, 3, 4]), factorials, rtol=2e-3)


def test_independent_states_leave_after_a_geometric_number_of_steps():
    result = chain_exit_time(Recursion(np.zeros_like, 1.0, Stable(1.5)), [0.0, 0.9], Interval(-1.0, 1.0))
    q = Stable(1.5).tail(1.0)
    np.testing.assert_allclose(result.steps, 1 / q, rtol=1e-7)
    np.testing.assert_allclose(result.std, np.sqrt(1 - q) / q, rtol=1e-7)
    np.testing.assert_allclose(result.survival([3, 400])[0], (1 - q) ** np.array([3, 400]), rtol=1e-5)


def test_truncated_walk_on_five_points_matches_enumeration():
    """Noise far beyond b: every step is ±b, and the walk from 0 leaves ±2.5 b after 9 steps on average."""
    walk = Truncated(Recursion(lambda x: x, 1.0, Uniform(1e7)), 0.1)
    result = chain_exit_time(walk, 0.0, Interval(-0.25, 0.25))
    step = 0.5 * (np.eye(5, k=1) + np.eye(5, k=-1))
    powers = [np.linalg.matrix_power(step, k)[2].sum() for k in (0, 3, 5, 20, 300)]
    assert result.steps == pytest.approx(9.0, rel=1e-5)
    np.testing.assert_allclose(result.survival([0, 3, 5, 20, 300]), powers, rtol=1e-4, atol=1e-12)


LAWS = [Gaussian(), Stable(1.3), StudentT(3.0), StudentT(0.8), Pareto(1.0), Uniform(2.0)]


@pytest.mark.parametrize("law", LAWS)
def test_mean_of_an_exponential_over_one_step_matches_quadrature(law):
    """A row of the operator integrates against the law: compared with quadrature of the density."""
    from scipy.integrate import quad

    from sdesim.analysis.recursion.kernel import ChainKernel

    kernel = ChainKernel(Recursion(lambda x: 0.5 * x, 0.3, law))
    nodes = np.linspace(-1, 1, 41)
    values = np.exp(nodes)
    row = kernel.operator(kernel.at(np.array([0.4])), nodes)[0]

    def inner(y: float) -> float:
        return np.interp(y, nodes, values) * law.density((y - 0.2) / 0.3) / 0.3

    breaks = np.unique(np.concatenate([nodes, [0.2, 0.8]]))
    pieces = sum(quad(inner, a, b, epsabs=1e-13)[0] for a, b in pairwise(breaks))
    outside = values[0] * law.tail(4.0) / 2 + values[-1] * law.tail(0.8 / 0.3) / 2
    assert row @ values == pytest.approx(pieces + outside, rel=1e-9)


def test_survival_of_many_steps_matches_plain_powers():
    result = chain_exit_time(paper(0.05), -0.7, WELL, rtol=1e-2)
    v = np.ones(result.n_nodes)
    counts, expected = [300, 500, 1000, 3000], []
    for k in range(1, 3001):
        if k in counts:
            expected.append((result.operator.rows(np.array([-0.7]))[0] @ v)[0])
        v = result.operator.matrix @ v
    np.testing.assert_allclose(result.survival(counts), expected, rtol=1e-8)


def test_infinite_region_is_cut_where_the_chain_hardly_ever_goes():
    """Gaussian AR(1), one end: the mean from the automatic cut equals the one from a generous domain."""
    chain = Recursion(lambda x: 0.9 * x, 0.3, Gaussian())
    free = chain_exit_time(chain, 0.0, Interval(-np.inf, 1.0))
    held = chain_exit_time(chain, 0.0, Interval(-np.inf, 1.0), domain=(-20.0, 5.0))
    assert free.steps == pytest.approx(held.steps, rel=1e-5)
    mirrored = chain_exit_time(chain, 0.0, Interval(-1.0, np.inf))
    assert mirrored.steps == pytest.approx(free.steps, rel=1e-5)


def test_stationary_law_of_an_autoregression_is_normal():
    from scipy.stats import norm

    sd = 0.3 / np.sqrt(1 - 0.9**2)
    chain = Recursion(lambda x: 0.9 * x, 0.3, Gaussian())
    law = chain_stationary_law(chain, (-9 * sd, 9 * sd), [(sd, 9 * sd)])
    assert law.interval_mass.value[0] == pytest.approx(norm.sf(1), abs=2e-6)
    assert law.variance.value == pytest.approx(sd**2, rel=1e-5)
    assert law.mass(sd, 2 * sd) == pytest.approx(norm.sf(1) - norm.sf(2), rel=1e-3)
    np.testing.assert_allclose(law.density(sd * np.array([0.0, 1.0])) * sd, norm.pdf([0, 1]), atol=1e-3)
    assert law.leak < 1e-12
    assert law.cell_mass().sum() == pytest.approx(1.0)


def test_stationary_law_of_a_stable_autoregression_has_the_scale_of_the_geometric_sum():
    a, alpha = 0.8, 1.5
    scale = 0.1 * (1 - a**alpha) ** (-1 / alpha)
    ends = 5e3 * scale
    law = chain_stationary_law(Recursion(lambda x: a * x, 0.1, Stable(alpha)), (-ends, ends), [(scale, ends)])
    assert law.interval_mass.value[0] == pytest.approx(Stable(alpha).tail(1.0) / 2, rel=2e-3)


def test_stationary_law_with_atoms_matches_the_law_of_one_clipped_step():
    held = Projected(Recursion(np.zeros_like, 1.0, Gaussian()), Interval(-1.0, 0.5))
    law = chain_stationary_law(held)
    np.testing.assert_allclose(law.atoms(), [Gaussian().tail(1.0) / 2, Gaussian().tail(0.5) / 2], rtol=1e-9)
    assert law.density(-1.0) == pytest.approx(Gaussian().density(1.0), rel=2e-2)
    assert law.leak == 0.0


def test_wells_of_wang2021_hold_less_mass_when_sharp_and_truncated():
    law = chain_stationary_law(paper(0.002, 0.5), max_nodes=1800)
    np.testing.assert_allclose(law.intervals[1:, 0], [-1.3, 0.2, 0.7], atol=1e-9)
    np.testing.assert_allclose(law.interval_mass.value.sum(), 1.0, atol=1e-5)
    sharp = law.interval_mass.value[[0, 2]]
    free = chain_stationary_law(paper(0.002), max_nodes=1200).interval_mass.value[[0, 2]]
    assert np.all(sharp < 0.2 * free)


def test_occupancy_matches_simulation_of_the_truncated_recursion_and_not_of_the_free_one():
    """Independent paths long after their start; the free recursion is the wrong twin."""
    rng, lr, n = np.random.default_rng(3), 0.05, 4000

    def mean(x: Any) -> Any:
        return x - lr * (x**3 - x - 0.1)

    x = rng.uniform(-1.5, 1.5, n)
    for _ in range(1500):
        noise = rng.choice([-1, 1], n) * rng.pareto(1.2, n)
        x = np.clip(x + np.clip(mean(x) - x + lr * noise, -0.4, 0.4), -2, 2)
    base = Recursion(mean, lr, Pareto(1.2))
    share, error = np.mean(x > 0), np.sqrt(0.25 / n)

    def right(dynamics: Any) -> float:
        held = Projected(dynamics, Interval(-2, 2))
        return chain_stationary_law(held, intervals=[(0.0, 2.0)]).interval_mass.value[0]

    assert abs(share - right(Truncated(base, 0.4))) < 5 * error
    assert abs(share - right(base)) > 5 * error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: chain_exit_time(d, 2.0, Interval(-1, 1)), "x0=2 is not inside"),
        (lambda d: chain_exit_time(d, 0.0, Interval(-np.inf, np.inf)), "whole line"),
        (lambda d: chain_exit_time(SimpleNamespace(dim=2), 0.0, Interval(-1, 1)), "one dimension, got 2"),
        (lambda d: chain_exit_time(Projected(d, Interval(2, 3)), 0.0, UNIT), "must contain x0"),
        (lambda d: chain_stationary_law(d), "domain="),
        (lambda d: chain_stationary_law(d, (-1, 1), [(0.5, 0.5)]), "low < high"),
        (lambda d: chain_exit_time(Recursion(lambda x: x, 0.0, Gaussian()), 0.0, UNIT), "no density"),
        (lambda d: chain_exit_time(d, 0.0, Interval(-1, 1)).survival([0.5]), "integers"),
    ],
)
def test_refusals_are_one_line_and_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(Recursion(lambda x: 0.5 * x, 0.3, Gaussian()))
    assert "\n" not in str(error.value)


def test_a_law_without_a_tail_is_refused():
    with pytest.raises(TypeError, match="symmetric law"):
        chain_exit_time(Recursion(lambda x: x, 1.0, object()), 0.0, Interval(-1, 1))
