"""SVAG: SGD at l = 1 bit for bit, cumulants per unit of time by enumeration and by simulation, exact moments."""

import itertools

import numpy as np
import pytest
import sympy as sp
import torch

import sdesim as sd
from sdesim.core.ops import NUMPY, SYMBOLIC
from tests import chance
from tests.dynamics.test_minibatch import BEST, LR, SIGMA, H, agrees, fluctuation, objective, stationary

# The gradient (1 + a)(1 + b) of two coins is 4 with probability 1/4, else 0: mean 1, variance 3, skewed.
COINS = sd.Landscape("x*(1 + a)*(1 + b)", params={"a": 0.0, "b": 0.0})
LADDER = (1, 2, 3, 4, 8)


def third(l):  # noqa: E741
    return sp.Rational(3 * l - 1, 2 * l**2)


def fourth(l):  # noqa: E741
    return sp.Rational(l**2 + 2 * l - 1, 2 * l**3)


def cumulants(outcomes):
    """The first four cumulants of equally likely outcomes."""
    n, mean = len(outcomes), sum(outcomes) / len(outcomes)
    m2, m3, m4 = (sum((v - mean) ** k for v in outcomes) / n for k in (2, 3, 4))
    return mean, m2, m3, m4 - 3 * m2**2


def coins(l, lr):  # noqa: E741
    return sd.SVAG(COINS, lr, l=l, noise=sd.Rademacher(), random=("a", "b"))


@pytest.mark.parametrize("l", LADDER[1:])
def test_cumulants_per_unit_of_time_are_exactly_those_of_sgd_times_their_factors(l):  # noqa: E741
    """All sixteen outcomes of the two draws, in exact arithmetic."""
    lr, x = sp.Rational(1, 10), sp.Integer(0)
    signs = [sp.Integer(s) for s in (1, -1)]

    def rates(dynamics):
        moves = [
            dynamics.step(SYMBOLIC, [x], list(z), 0)[0] for z in itertools.product(signs, repeat=dynamics.noise_dim)
        ]
        return [sp.simplify(sp.expand(c) / dynamics.clock) for c in cumulants(moves)]

    sgd = rates(sd.SGD(COINS, lr, noise=sd.Rademacher(), random=("a", "b")))
    assert sgd == [-1, lr * 3, -6 * lr**2, 3 * (7 - 9) * lr**3]  # E (g - 1)³ = 6, E (g - 1)⁴ = 21
    assert rates(coins(sp.Integer(l), lr)) == [sgd[0], sgd[1], third(l) * sgd[2], fourth(l) * sgd[3]]


@pytest.mark.parametrize("l", LADDER[1:])
def test_cumulants_of_all_pairs_of_batches_have_the_same_factors(l):  # noqa: E741
    """Every batch of two of the six examples, and every pair of them."""
    point, batches = torch.tensor([[0.9, -0.3]], dtype=torch.float64), list(itertools.product(range(6), repeat=2))

    def rates(dynamics, chosen):
        z = torch.tensor(chosen), None
        moves = (dynamics.step(None, point.expand(len(chosen), 2), z, 0) - point).numpy() @ [0.6, 0.8]
        return np.array(cumulants(list(moves))) / dynamics.clock

    sgd = rates(sd.SGD(objective(), LR, batch_size=2), batches)
    pairs = [one + two for one in batches for two in batches]
    svag = rates(sd.SVAG(objective(), LR, 2, l), pairs)
    np.testing.assert_allclose(svag, sgd * [1, 1, float(third(l)), float(fourth(l))], rtol=1e-9)


def estimated_cumulants(l, n_paths=400_000, groups=200):  # noqa: E741
    """Third and fourth cumulant of x at time 1, in groups of paths; a sum of independent moves has the rates."""
    lr = 0.25
    sgd = sd.SGD(COINS, lr, noise=sd.Rademacher(), random=("a", "b"))
    x = sd.run(sgd if l == 1 else coins(l, lr), 0.0, n_paths, t_max=1.0, seed=7).final_state.values.reshape(groups, -1)
    centred = x + 1.0
    m2, m3, m4 = ((centred**k).mean(axis=1) for k in (2, 3, 4))
    spread = m2.mean() ** 2 - m2.var(ddof=1) / groups  # without the bias of a squared mean
    return m3, m4 - 6 * m2 * m2.mean() + 3 * spread, -6 * lr**2, -6 * lr**3


@pytest.mark.parametrize("l", [1, 4])
def test_simulated_cumulants_follow_the_factors_and_not_those_of_sgd(l):  # noqa: E741
    k3, k4, sgd3, sgd4 = estimated_cumulants(l)
    assert chance.has_mean(k3, float(third(l)) * sgd3)
    assert chance.has_mean(k4, float(fourth(l)) * sgd4)
    other = 1 if l > 1 else 2
    assert not chance.has_mean(k3, float(third(other)) * sgd3)
    assert not chance.has_mean(k4, float(fourth(other)) * sgd4)


@pytest.mark.parametrize("engine", ["native", "tensor", "reference"])
def test_l_1_is_sgd_bit_for_bit_on_formulas(engine):
    f, given = sd.Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": 1.0, "xi": 0.0}), {"noise": sd.Gaussian(2.0)}
    for random in ((), "xi"):
        one, two = (
            sd.run(d, [0.3, 0.4], 16, n_steps=60, seed=3, engine=engine).final_state.values
            for d in (sd.SGD(f, 0.1, random=random, **given), sd.SVAG(f, 0.1, l=1, random=random, **given))
        )
        assert np.array_equal(one, two)
    amplified = sd.run(sd.SVAG(f, 0.1, l=2, random="xi", **given), [0.3, 0.4], 16, n_steps=60, seed=3, engine=engine)
    assert not np.array_equal(two, amplified.final_state.values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"label_noise": 0.3, "weight_decay": 0.1}], ids=str)
def test_l_1_is_sgd_bit_for_bit_on_an_objective(options, dtype):
    problem = objective().to(dtype=dtype)
    one, two = (
        sd.run(d, BEST, 32, n_steps=25, seed=3).final_state.values
        for d in (sd.SGD(problem, LR, batch_size=2, **options), sd.SVAG(problem, LR, 2, 1, **options))
    )
    assert np.array_equal(one, two)


def test_engines_agree_on_a_ladder_of_l():
    f = sd.Landscape("x**4/4 - x**2/2 + xi*x**2", params={"xi": 0.0})
    svag = sd.SVAG(f, 0.1, l=2, noise=sd.StudentT(3.0, 0.3), random="xi")
    runs = [
        sd.run(svag, 0.3, 16, t_max=5.0, seed=3, engine=e, vary={"l": [1, 2, 4]}).final_state.values
        for e in ("native", "tensor", "reference")
    ]
    np.testing.assert_allclose(runs[0], runs[2], rtol=1e-9)
    np.testing.assert_allclose(runs[1], runs[2], rtol=1e-9)
    three = sd.run(sd.SVAG(objective(), LR, 2, 2), BEST, 4, n_steps=3, seed=3, vary={"l": [1, 2]}).final_state
    assert np.array_equal(three.sel(l=1), sd.run(sd.SGD(objective(), LR, 2), BEST, 4, n_steps=3, seed=3).final_state)


def moment(l, batch_size=2, label=0.0):  # noqa: E741
    """E e eᵀ of SVAG at rest on least squares: the step is linear, a gradient's noise E(H_i m H_i) - H m H + Σ."""
    h, a = LR / l, np.eye(2) - LR / l * H

    def step(m):
        return a @ m @ a + h**2 * l / batch_size * (fluctuation(m) + SIGMA + label**2 * H)

    return stationary(step, 2)


def test_on_least_squares_the_second_moment_at_rest_is_exact():
    svag = sd.SVAG(objective(), LR, 2, 4, label_noise=0.5)
    states = sd.run(svag, BEST, 8192, t_max=8.0, seed=1, block=8192, threads=1).final_state.values
    assert agrees(states, moment(4, label=0.5))
    assert not agrees(states, moment(1, label=0.5))


def test_weight_decay_pulls_towards_zero_at_the_amplified_rate():
    x, z = torch.tensor([[0.9, -0.3]], dtype=torch.float64), (torch.tensor([[0, 3, 1, 1]]), None)
    plain, pulled = (sd.SVAG(objective(), LR, 2, 4, weight_decay=decay).step(None, x, z, 0) for decay in (0.0, 0.3))
    torch.testing.assert_close(pulled - plain, -LR / 4 * 0.3 * x, rtol=1e-12, atol=1e-15)


def test_the_tangent_is_the_jacobian_of_the_step():
    svag = sd.SVAG(objective(), LR, 2, 3, weight_decay=0.1)
    z = torch.tensor([[0, 3, 1, 1]]), None
    v = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    at = [torch.tensor([[0.9, -0.3]], dtype=torch.float64) + s * v for s in (0.5, -0.5)]
    difference = svag.step(None, at[0], z, 0) - svag.step(None, at[1], z, 0)  # exact: the step is affine
    torch.testing.assert_close(svag.tangent(at[0], v, z, 0), difference, rtol=1e-12, atol=1e-14)


def test_the_step_of_formulas_is_the_weighted_mean_of_two_gradients():
    svag = sd.SVAG(sd.Landscape("x**2/2"), 0.2, l=5, noise=sd.Gaussian())
    new = svag.step(NUMPY, np.array([[1.0]]), np.array([[0.5, -2.0]]), 0)
    assert float(new[0, 0]) == pytest.approx(1.0 - 0.04 * (2.0 * 0.5 - 1.0 * 3.0), rel=1e-14)  # c = 3
    assert svag.clock == pytest.approx(0.04)


def test_the_transfer_operator_takes_two_normal_draws():
    svag, region = sd.SVAG(sd.Landscape("x**2/2"), 0.2, l=2, noise=sd.Gaussian(2.0)), sd.Interval(-1, 1)
    times = sd.run(svag, 0.0, 8000, n_steps=10_000, observers=[sd.FirstExit(region)], seed=4).exit_time.values
    assert chance.has_mean(times, float(sd.theory.chain_exit_time(svag, 0.0, region).value))


LINE = sd.Landscape("x**2/2")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sd.SVAG(objective(), LR, 2, 2, sampling="epochs"), "reshuffled epochs have none"),
        (lambda: sd.SVAG(objective(), LR, 2, 2, sampling="fresh"), "covariance of independent examples"),
        (lambda: sd.SVAG(objective(), LR), "SVAG on an objective needs batch_size="),
        (lambda: sd.SVAG(objective(), LR, 2, momentum=0.9), "without momentum"),
        (lambda: sd.SVAG(objective(), LR, 2, noise=sd.Gaussian()), "leave out noise="),
        (lambda: sd.SVAG(objective(), LR, 2, 0), "l must be an integer of at least 1, got 0"),
        (lambda: sd.SVAG(LINE, LR, l=1.5), "l must be an integer of at least 1, got 1.5"),
        (lambda: sd.SVAG(LINE, LR, l="2"), "l must be an integer, got '2'"),
        (lambda: sd.SVAG(LINE, LR, 32), "batch_size=32 is for an objective"),
        (lambda: sd.SVAG("x**2", LR), "SGD runs on a Landscape, got str"),
        (lambda: sd.SVAG(LINE, LR, noise=sd.Stable(1.9)), "no finite variance"),
        (lambda: sd.SVAG(LINE, LR, noise=sd.Pareto(2.0)), "no finite variance"),
        (lambda: sd.SVAG(LINE, LR, noise=sd.StudentT(2.0)), "no finite variance"),
        (lambda: sd.run(sd.SVAG(LINE, LR, l=2), 0.0, 2, n_steps=2, vary={"l": [2, 2.5]}), "at least 1, got 2.5"),
        (
            lambda: sd.run(sd.SVAG(LINE, LR, l=2, noise=sd.Pareto(3.0)), 0.0, 2, n_steps=2, vary={"alpha": [3, 1.5]}),
            "no finite variance",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_noise_that_has_a_variance_is_taken():
    for law in (sd.Stable(2.0), sd.Pareto(2.1), sd.StudentT(2.1), sd.Uniform(), sd.Rademacher()):
        assert sd.SVAG(LINE, LR, l=2, noise=law).noise_dim == 2
