"""Rates between wells: a closed form, a slow chain of cells, and simulation by a plain loop."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import sdesim as sd
from sdesim.analysis.recursion.generator import chain_generator
from sdesim.analysis.recursion.stationary import chain_stationary_law
from sdesim.problems.laws import Gaussian, Pareto
from tests.analysis.test_chain_exit_time import Recursion, paper
from tests.chance import has_mean

WELL = sd.Landscape("x**4/4 - x**2/2 + x/20")
THREE = sd.Landscape("x**2*(x**2 - 1)**2", domain=(-1.5, 1.5))


def test_independent_states_jump_to_a_core_with_its_mass():
    chain = Recursion(np.zeros_like, 0.8, Gaussian(), clock=0.1)
    found = chain_generator(chain, THREE, core=0.6, domain=(-8.0, 8.0))
    mass = np.array([norm.cdf(high / 0.8) - norm.cdf(low / 0.8) for low, high in found.cores])
    expected = np.tile(mass / 0.1, (3, 1))
    np.fill_diagonal(expected, 0.0)
    np.fill_diagonal(expected, -expected.sum(axis=1))
    np.testing.assert_allclose(found.generator.value, expected, rtol=1e-7)
    np.testing.assert_allclose(found.shares.value, mass / mass.sum(), rtol=1e-7)
    np.testing.assert_allclose(found.holding.value, -1 / np.diag(expected), rtol=1e-7)
    np.testing.assert_allclose(found.jumps.value.sum(axis=1), 1.0)


def enumerated(chain: Any, cores: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates and shares of the chain of cells: states (cell, core last), the state moved to the middle of its cell."""
    edges = np.unique(
        np.concatenate(
            [np.linspace(a, b, max(2, int(cells * (b - a)))) for a, b in pairwise([-2.2, *cores.ravel(), 2.2])]
        )
    )
    middle = 0.5 * (edges[1:] + edges[:-1])
    below = chain.noise.cdf((edges - chain.mean(middle)[:, None]) / chain.scale)
    below[:, 0], below[:, -1] = 0.0, 1.0
    step = np.diff(below, axis=1)
    n, m = middle.size, len(cores)
    core = np.full(n, -1)
    for j, (low, high) in enumerate(cores):
        core[(middle > low) & (middle < high)] = j
    matrix = np.zeros((n * m, n * m))
    for last in range(m):
        for y in range(n):
            new = last if core[y] < 0 else core[y]
            matrix[last * n : (last + 1) * n, new * n + y] += step[:, y]
    rest = np.eye(n * m) - matrix.T
    rest[-1] = 1.0
    law = np.linalg.solve(rest, np.eye(n * m)[-1]).reshape(m, n)
    shares = law.sum(axis=1)
    flux = np.array([[law[i] @ step[:, core == j].sum(axis=1) for j in range(m)] for i in range(m)])
    return flux / shares[:, None] / chain.clock, shares


@pytest.mark.parametrize("noise", [Gaussian(0.8), Pareto(1.5, 0.2)])
def test_rates_match_the_chain_of_cells(noise):
    chain = Recursion(lambda x: x - 0.2 * (x**3 - x + 0.05), 0.3, noise, clock=0.2)
    found = chain_generator(chain, WELL, domain=(-2.2, 2.2))
    (coarse, _), (fine, shares) = (enumerated(chain, found.cores, n) for n in (70, 140))
    exact = fine + (fine - coarse) / 3
    for i, j in ((0, 1), (1, 0)):
        assert found.generator.value[i, j] == pytest.approx(exact[i, j], rel=1e-3)
        assert found.generator.error[i, j] < 2e-3 * exact[i, j]
    np.testing.assert_allclose(found.shares.value, shares, rtol=2e-3)


def test_stated_errors_cover_the_change_to_a_finer_grid():
    free = Recursion(lambda x: x - 0.05 * (x**3 - x), 0.05, Pareto(1.2, 0.1))
    held = sd.Projected(sd.Truncated(free, 0.4), sd.Interval(-1.6, 1.6))
    rough, fine = (chain_generator(held, WELL, rtol=r) for r in (0.3, 1e-3))
    assert np.all(abs(rough.generator.value - fine.generator.value) <= rough.generator.error)
    assert np.all(abs(rough.shares.value - fine.shares.value) <= rough.shares.error)
    assert fine.n_nodes > rough.n_nodes


def counted(b: float | None, n: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Passages and steps of each of n paths in each well (path, from, to), (path, well), the slow obvious way."""
    rng, x = np.random.default_rng(seed), np.zeros(n)
    cores = sd.Passages(WELL).cores()
    last, time, passed = np.full(n, -1), np.zeros((n, 2)), np.zeros((n, 2, 2))
    for k in range(steps):
        move = -0.1 * (x**3 - x + 0.05) + 0.1 * rng.choice([-1, 1], n) * 0.8 * rng.pareto(1.2, n)
        x = np.clip(x + (move if b is None else np.clip(move, -b, b)), -1.6, 1.6)
        counting = (last >= 0) & (k > 1000)
        for i in (0, 1):
            time[:, i] += counting & (last == i)
            inside = abs(x - cores[i].center[0]) < cores[i].radius
            passed[:, 1 - i, i] += counting & (last == 1 - i) & inside
            last[inside] = i
    return passed, time


def test_rates_match_a_plain_loop_and_not_that_of_another_truncation():
    passed, time = counted(0.3, 400, 8000, 9)

    def exact(b: float) -> np.ndarray:
        free = sd.SGD(WELL, 0.1, Pareto(1.2, 0.8))
        held = sd.Projected(sd.Truncated(free, b), sd.Interval(-1.6, 1.6))
        return chain_generator(held, WELL).generator.value

    right, wrong = exact(0.3), exact(0.4)
    for i, j in ((0, 1), (1, 0)):
        assert passed[:, i, j].sum() > 1000
        assert has_mean(passed[:, i, j] - 0.1 * right[i, j] * time[:, i], 0.0)
        assert not has_mean(passed[:, i, j] - 0.1 * wrong[i, j] * time[:, i], 0.0)


def test_generator_balances_the_shares_and_the_domain_is_found():
    euler = sd.EulerMaruyama(sd.SDE(-WELL.gradient, 0.35), 0.05)
    found = chain_generator(euler, WELL)
    balance = found.shares.value @ found.generator.value
    np.testing.assert_allclose(balance, 0.0, atol=1e-3 * abs(found.generator.value).min())
    assert found.leak < 1e-13
    given = chain_generator(euler, WELL, domain=(-2.5, 2.5))
    np.testing.assert_allclose(found.generator.value, given.generator.value, rtol=1e-3)


def test_shares_of_wide_cores_are_those_of_the_wells_of_the_stationary_law():
    """Cores up to the edges: between them the last core says the well almost always."""
    held = sd.Projected(sd.Truncated(sd.SGD(WELL, 0.02, Pareto(1.2, 0.1)), 0.5), sd.Interval(-1.6, 1.6))
    shares = chain_generator(held, WELL, core=1.0).shares.value
    law = chain_stationary_law(held, intervals=WELL.basins)
    np.testing.assert_allclose(shares, law.interval_mass.value, atol=5e-3)


def test_rates_of_wang2021_at_a_coarse_rate_are_those_between_its_four_wells():
    wells = sd.Landscape(
        "(x + 1.6)*(x + 1.3)**2*(x - 0.2)**2*(x - 0.7)**2*(x - 1.6)*(0.05*abs(1.65 - x))**0.6"
        "*(1 + 1/(0.01 + 4*(x - 0.5)**2))*(1 + 1/(0.1 + 4*(x + 1.5)**2))*(1 - exp(-5*(x + 0.8)**2)/4)",
        domain=(-1.6, 1.6),
    )
    found = chain_generator(paper(0.02, 0.5), wells, rtol=2e-2)
    rates = found.generator.value
    assert rates[0, 2] < 1e-12 and rates[3, 0] < 1e-12
    assert found.shares.value[[1, 3]].sum() > 0.95
    assert found.holding.value[0] < 0.1 * found.holding.value[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: chain_generator(d, sd.Landscape("x**2"), domain=(-1, 1)), "at least two wells"),
        (lambda d: chain_generator(d, WELL, domain=(-0.2, 2.0)), "outside the domain"),
        (lambda d: chain_generator(Recursion(d.mean, 0.3, Pareto(1.2)), WELL), "domain="),
    ],
)
def test_refusals_are_one_line_and_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(Recursion(lambda x: 0.5 * x, 0.3, Gaussian()))
    assert "\n" not in str(error.value)
