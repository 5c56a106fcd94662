"""Chains predicted by theory: against closed forms, the operator of the recursion, and simulation."""

import numpy as np
import pytest
import scipy.integrate

import sdesim as sd
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.wells.jumps import jump_rates
from tests.problems.named import TRUNCATED_SGD

SHARP_AND_WIDE = sd.Landscape(TRUNCATED_SGD, domain=(-1.6, 1.6))
DOUBLE = sd.Landscape("x**4/4 - x**2/2")
SKEW = sd.Landscape("x**4/4 - x**2/2 + x/10")


def paper11(lr, b=None):
    step = sd.SGD(SHARP_AND_WIDE, lr, noise=sd.Pareto(1.2, scale=0.1))
    return sd.Projected(step if b is None else sd.Truncated(step, b), sd.Interval(-1.6, 1.6))


def quietly(*args):
    with pytest.warns(UserWarning, match="circles the minimum of well 3"):
        return sd.chain.jumps(*args)


def test_one_jump_rates_are_the_tails_of_the_noise_between_the_edges():
    chain = quietly(paper11(0.02))
    m, edges = SHARP_AND_WIDE.minima, SHARP_AND_WIDE.maxima

    def tail(d):
        return 0.5 * (1 + d / (0.1 * 0.02)) ** -1.2 / 0.02

    assert chain.matrix[1, 0].item() == pytest.approx(tail(m[1] - edges[0]), rel=1e-6)
    assert chain.matrix[1, 2].item() == pytest.approx(tail(edges[1] - m[1]) - tail(edges[2] - m[1]), rel=1e-6)
    assert chain.matrix[0, 3].item() == pytest.approx(tail(edges[2] - m[0]), rel=1e-6)
    assert "1/1/1/1 jumps" in chain.rates.method


def test_one_jump_rates_of_a_stable_sde_integrate_its_levy_measure_and_are_the_exit_rates_of_theory():
    sde = sd.SDE(-SKEW.gradient, 0.1, noise=sd.Stable(1.5))
    chain = sd.chain.jumps(sde, SKEW)
    constant = 1.5 * sd.theory.stable_jump_rate(1.5) / 2 * 0.1**1.5
    for i, (j, low, high) in enumerate([(1, *SKEW.basins[1]), (0, *SKEW.basins[0])]):
        near, far = sorted(abs(np.array([low, high]) - SKEW.minima[i]))
        mass = scipy.integrate.quad(lambda y: constant * y**-2.5, near, far)[0]
        assert chain.matrix[i, j].item() == pytest.approx(mass, rel=1e-7)
        assert j != i
    theirs = sd.theory.small_noise_stable_exit_time(sde, float(SKEW.minima[0]), sd.Interval(high=SKEW.basins[0][1]))
    assert 1 / chain.matrix[0, 1].item() == pytest.approx(theirs.value, rel=1e-9)


def test_two_jumps_are_the_integral_over_the_first_and_the_way_downhill():
    # A linear recursion, x⁺ = (1 - lr) x + lr Z, and the well (-1, 1).
    lr, b, alpha = 0.05, 0.6, 1.5
    line = sd.Truncated(sd.SGD(sd.Landscape("x**2/2", domain=(-9, 9)), lr, noise=sd.Pareto(alpha, 0.3)), b)
    law = sd.Pareto(alpha, 0.3)
    basins = [(-np.inf, -1.0), (-1.0, 1.0), (1.0, np.inf)]
    rates, error = jump_rates(ChainKernel(line), 0.0, 1, basins, 2)

    def out(x):  # one step from x lands beyond 1: only within reach of b
        return np.where(1 - x < b, 0.5 * law.tail((1 - x * (1 - lr)) / lr), 0.0)

    def value(x):
        total, stay = 0.0, 1.0
        while 1 - x < b:
            total, stay, x = total + stay * out(x), stay * (1 - out(x)), x * (1 - lr)
        return total

    smooth = scipy.integrate.quad(lambda y: law.density(y / lr) / lr * value(y), 0.4, 0.6, limit=400, epsabs=1e-12)[0]
    by_hand = smooth + 0.5 * law.tail(b / lr) * value(b)  # longer jumps are cut to b
    assert rates[2] == pytest.approx(by_hand, abs=error)
    assert error < 0.005 * by_hand
    assert rates[0] == pytest.approx(rates[2], rel=1e-6)
    assert rates[1] == 0


@pytest.mark.parametrize(("b", "etas"), [(None, (0.02, 0.002)), (0.6, (0.05, 0.02))])
def test_the_operators_exit_rate_tends_to_the_rate_of_the_jumps(b, etas):
    ratios = []
    for eta in etas:
        step = sd.SGD(DOUBLE, eta, noise=sd.Pareto(1.8, 0.1))
        step = step if b is None else sd.Truncated(step, b)
        exact = float(sd.theory.chain_exit_time(step, -1.0, sd.Interval(high=0.0)).value)
        chain = sd.chain.jumps(step)
        ratios.append(exact * chain.matrix[0, 1].item())
        # The order of what is left out is that of the difference: a factor of five at most here.
        share = (chain.rates.error / np.abs(chain.matrix))[0, 1].item()
        assert 0.2 * (1 - ratios[-1]) < share < 5 * (1 - ratios[-1])
    assert ratios[0] < ratios[1] < 1.0  # noise on the way helps, and less and less


def test_truncated_wells_are_left_by_the_fewest_jumps_and_the_widest_remain():
    chain = quietly(paper11(0.02, 0.5))
    assert "1/2/1/2 jumps" in chain.rates.method
    reached = np.asarray(chain.matrix > 0)
    assert reached.tolist() == [
        [False, True, False, False],
        [True, False, True, False],
        [False, True, False, True],
        [False, False, True, False],
    ]
    wide = sd.theory.truncated_hierarchy(SHARP_AND_WIDE, 0.5, 1.2).widest
    assert wide == (1, 3)
    limit = chain.watched_on(wide)
    through = float(chain.matrix[1, 2] * chain.matrix[2, 3] / (chain.matrix[2, 1] + chain.matrix[2, 3]))
    assert limit.matrix[0, 1].item() == pytest.approx(through, rel=1e-9)
    assert limit.wells.tolist() == SHARP_AND_WIDE.minima[[1, 3]].tolist()


def test_kramers_chain_is_that_of_theory_with_the_names_of_the_wells():
    chain = sd.chain.kramers(SKEW, 0.3)
    np.testing.assert_allclose(chain.matrix, sd.theory.kramers_generator(SKEW, 0.3).value)
    assert chain.wells.tolist() == SKEW.minima.tolist()
    # Detailed balance of the rates: shares like √(1/f'') exp(-f/D).
    weights = np.exp(-SKEW(SKEW.minima) / 0.045) / np.sqrt(SKEW.hessian(SKEW.minima))
    np.testing.assert_allclose(chain.stationary().value, weights / weights.sum(), rtol=1e-6)
    assert (chain.stationary().error > 0).all()


def test_a_simulated_diffusion_is_the_chain_of_kramers_to_its_order():
    dyn = sd.EulerMaruyama(sd.SDE(-SKEW.gradient, 0.38), 0.02)
    ds = sd.run(dyn, -1.0, 256, t_max=3000, seed=2, observers=[sd.Passages(SKEW)])
    chain, theory = sd.chain.generator(ds), sd.chain.kramers(SKEW, 0.38)
    order = (theory.rates.error / np.abs(theory.matrix))[0, 1].item()
    assert 0.1 < order < 0.5
    ratio = sd.chain.rate_ratios(chain, theory)
    assert (np.abs(ratio.value - 1) < order).all()
    assert (ratio.high - ratio.low < 0.2).all()
    other = sd.chain.rate_ratios(chain, sd.chain.kramers(SKEW, 0.3))
    assert (other.low > 1 + order).all()


@pytest.mark.parametrize("b", [None, 0.5])
def test_the_estimated_chain_of_paper_11_is_the_operators(b):
    dynamics = paper11(0.02, b)
    start = np.repeat(SHARP_AND_WIDE.minima, 32)
    ds = sd.run(dynamics, start, 128, n_steps=100_000, seed=1, observers=[sd.Passages(SHARP_AND_WIDE)])
    chain = sd.chain.generator(ds, level=1 - 1e-7 / 12)  # twelve rates
    exact = sd.chain.known(sd.theory.chain_generator(dynamics, SHARP_AND_WIDE, rtol=0.02), SHARP_AND_WIDE.minima)
    error = exact.rates.error

    def inside(rates):
        return ((chain.rates.low <= rates + error) & (rates - error <= chain.rates.high)).values

    assert inside(exact.matrix).all()
    assert not inside(1.25 * exact.matrix).all()
    assert sd.chain.distance(chain, exact, lag=5.0).low == 0
    jumps = quietly(dynamics)
    assert 0 < sd.chain.distance(chain, jumps, lag=5.0).low < sd.chain.distance(chain, jumps, lag=5.0).high < 0.3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sd.chain.jumps(sd.SGD(DOUBLE, 0.01)), "no heavy tail"),
        (lambda: sd.chain.jumps(sd.SGD(sd.Landscape("x**2"), 0.01, noise=sd.Pareto(1.5))), "at least two wells"),
        (lambda: sd.chain.jumps(sd.EulerMaruyama(sd.SDE("-x", 1.0, noise=sd.Stable(1.5)), 0.1)), "give landscape="),
        (lambda: sd.chain.jumps(sd.SGD(sd.Landscape("(x**2-1)**2 + y**2"), 0.1, noise=sd.Pareto(1.5))), "one dim"),
        (lambda: sd.chain.jumps(sd.Truncated(sd.SGD(DOUBLE, 0.01, noise=sd.Pareto(0.8)), 0.3)), "alpha > 1"),
        (lambda: sd.chain.jumps(sd.Truncated(sd.SGD(DOUBLE, 0.01, noise=sd.Pareto(1.5)), 0.5)), "whole number"),
        (lambda: sd.chain.jumps(sd.SGD(DOUBLE, 1.6, noise=sd.Pareto(1.5))), r"well \d \(x = -?1\) is no basin"),
    ],
)
def test_chains_outside_the_theory_are_refused_with_the_assumption(make, words):
    with pytest.raises(ValueError, match=words):
        make()
