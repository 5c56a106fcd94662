"""Modified equations: their formulas, and weak orders 1 and 2 against the closed moments of SGD on quadratics."""

import numpy as np
import pytest
import scipy.linalg
import sympy as sp
import torch

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.core.torch_ops import TORCH
from tests import chance
from tests.dynamics.test_minibatch import BEST, LR, A, H, Y, objective

CURVED = sd.Landscape("(a + xi)*x**2/2", params={"a": 1.0, "xi": 0.0})
RATES = np.array([0.1, 0.05, 0.025, 0.0125])
T, STD = 1.0, 1.5


def curved(lr):
    """x⁺ = x (1 - η a - η ξ): E x_n = (1 - η a)**n, E x_n² = ((1 - η a)² + η² σ²)**n from x = 1."""
    return sd.SGD(CURVED, lr, noise=sd.Gaussian(STD), random="xi")


def rates_of_moments(sde):
    """Growth rates of E X and E X² of a linear equation dX = p X dt + q X dW, read off its coefficients at 1."""
    (p,), ((q,),) = sde.coefficients(NUMPY, np.array([1.0]), 0.0)
    (p2,), ((q2,),) = sde.coefficients(NUMPY, np.array([2.0]), 0.0)
    assert (p2, q2) == pytest.approx((2 * p, 2 * q), rel=1e-14)
    return float(p), float(2 * p + q * q)


def errors(order, moment):
    """Of a moment of the equation at time T, exactly, against SGD's, exactly."""
    found = []
    for lr in RATES:
        step = (1 - lr) if moment == 1 else (1 - lr) ** 2 + (lr * STD) ** 2
        growth = rates_of_moments(sd.modified_equation(curved(lr), order))[moment - 1]
        found.append(np.exp(growth * T) - step ** (T / lr))
    return found


@pytest.mark.parametrize("moment", [1, 2])
def test_moments_at_a_fixed_time_are_within_the_order_of_the_equation(moment):
    first, second = (chance.slope(RATES, errors(order, moment)) for order in (1, 2))
    assert abs(first - 1) < 0.15 and abs(second - 2) < 0.3
    assert abs(first - 2) > 0.3  # the first-order equation does not pass for one of second order


def test_without_its_noise_the_equation_has_the_wrong_second_moment():
    p, _ = rates_of_moments(sd.modified_equation(curved(0.1), 2))
    assert (
        chance.slope(RATES, [np.exp(2 * p * T) - ((1 - lr) ** 2 + (lr * STD) ** 2) ** (T / lr) for lr in RATES]) < 1.2
    )


def euler_mean(order, lr, h):
    """E of the Euler chain at time T: each step multiplies the mean by 1 - h (1 + (order - 1) η/2)."""
    return (1 - h * (1 + (order - 1) * lr / 2)) ** round(T / h)


@pytest.mark.parametrize("order", [1, 2])
def test_simulated_equations_have_the_means_of_their_euler_chains_and_converge_in_h(order):
    lr, n = 0.2, 400_000
    sde = sd.modified_equation(sd.SGD(CURVED, lr, noise=sd.Gaussian(0.3), random="xi"), order)
    means = {}
    for h in (lr / 10, lr / 20):
        x = sd.run(sd.EulerMaruyama(sde, h), 1.0, n, t_max=T, seed=4).final_state.values
        assert chance.has_mean(x, euler_mean(order, lr, h))
        assert not chance.has_mean(x, euler_mean(3 - order, lr, h))
        means[h] = euler_mean(order, lr, h)
    exact = np.exp(-(1 + (order - 1) * lr / 2) * T)
    assert abs(2 * means[lr / 20] - means[lr / 10] - exact) < 0.1 * abs(means[lr / 20] - exact)


def test_simulated_sgd_agrees_with_the_second_equation_and_not_with_the_first():
    lr, n = 0.1, 400_000
    x = sd.run(sd.SGD(CURVED, lr, noise=sd.Gaussian(0.3), random="xi"), 1.0, n, t_max=T, seed=4).final_state.values
    assert chance.has_mean(x, np.exp(-(1 + lr / 2) * T), bias=lr**2 / 2 * np.exp(-T))
    assert not chance.has_mean(x, np.exp(-T), bias=lr**2 / 2 * np.exp(-T))


def test_the_formulas_are_those_of_a_mode_with_label_noise():
    """L = (uv - S)²/2 + ξ uv: ∂_ξ ∇L = (v, u), and the drift of order 2 is -∇(L + η/4 |∇L|²)."""
    f = sd.Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": 1.0, "xi": 3.0})
    u, v, s, lr, std = (sp.Symbol(n, real=True) for n in ("u", "v", "S", "lr", "noise_std"))
    sgd = sd.SGD(f, 0.2, noise=sd.Uniform(3.0), params={"S": 0.5}, random="xi")
    mean = (u * v - s) ** 2 / 2
    bent = mean + lr / 4 * (mean.diff(u) ** 2 + mean.diff(v) ** 2)
    for order, loss in ((1, mean), (2, bent)):
        sde = sd.modified_equation(sgd, order)
        assert all(sp.expand(a + loss.diff(x)) == 0 for a, x in zip(sde.drift, (u, v), strict=True))
        assert [row[0] for row in sde.diffusion] == [sp.sqrt(lr) * std * v, sp.sqrt(lr) * std * u]
        assert sde.params == {"S": 0.5, "lr": 0.2, "noise_std": pytest.approx(np.sqrt(3.0))}


def test_added_noise_has_a_constant_diffusion():
    sde = sd.modified_equation(sd.SGD(sd.Landscape("x**2/2 + y**2*k", params={"k": 2.0}), 0.1, noise=sd.Gaussian(3.0)))
    assert sde.diffusion_kind == "scalar" and sde.noise_dim == 2
    _, factors = sde.coefficients(NUMPY, np.array([0.3, 0.4]), 0.0)
    assert float(factors[0][0]) == pytest.approx(3 * np.sqrt(0.1))


@pytest.mark.parametrize("method", ["vmap", "loop"])
@pytest.mark.parametrize("covariance", ["exact", "diagonal"])
def test_the_drift_on_an_objective_is_that_of_the_dense_hessian(method, covariance):
    problem = sd.Objective(objective().example_losses, torch.tensor(A), torch.tensor(Y), dim=2, method=method)
    decay, dt = 0.3, 0.01
    sde = sd.minibatch_sde(problem, LR, 2, order=2, weight_decay=decay, covariance=covariance)
    x = np.array([[0.9, -0.3], [2.0, 1.0]])
    slope, bend = (x - BEST) @ H + decay * x, H + decay * np.eye(2)
    still = [torch.zeros(2, sde.noise_dim, dtype=torch.float64)]
    new = sde.move(TORCH, torch.tensor(x), dt, still).numpy()
    np.testing.assert_allclose(new, x - dt * (slope + LR / 2 * slope @ bend), rtol=1e-12)
    first = sd.minibatch_sde(problem, LR, 2, weight_decay=decay, covariance=covariance)
    np.testing.assert_allclose(first.move(TORCH, torch.tensor(x), dt, still).numpy(), x - dt * slope, rtol=1e-12)


def test_the_noise_on_an_objective_is_the_same_at_both_orders():
    x, dw = torch.tensor([[0.9, -0.3]], dtype=torch.float64), [torch.randn(1, 6, dtype=torch.float64)]
    kicks = [sd.minibatch_sde(objective(), LR, 2, order=order).terms(TORCH, x, 0.0, dw)[1][0] for order in (1, 2)]
    assert torch.equal(*kicks) and kicks[0].abs().max() > 0


def test_order_2_runs_in_float32_on_a_network():
    problem = sd.network(sd.mlp(64, 4, 10, activation="tanh"), "cross_entropy", sd.data.digits())
    sde = sd.modified_equation(sd.SGD(problem, 0.1, batch_size=32), order=2)
    x = problem.fresh_states(2, 0)
    g = problem.gradient(x)
    small = 1e-2 / g.norm(dim=1, keepdim=True)
    along = (problem.gradient(x + small * g) - problem.gradient(x - small * g)) / (2 * small)  # H ∇L by differences
    (drift,), _ = sde.terms(TORCH, x, 0.0, [torch.zeros(2, problem.n_examples)])
    assert drift.dtype == torch.float32
    torch.testing.assert_close(-(drift + g) / 0.05, along, rtol=2e-2, atol=2e-2 * float(along.abs().max()))
    assert np.isfinite(sd.run(sd.EulerMaruyama(sde, 0.01), problem, 2, n_steps=2, threads=1).final_state).all()


def test_the_mean_on_least_squares_has_the_order_of_the_equation():
    """E of SGD is (1 - ηH)^n e, that of an equation with the drift -M (x - BEST) is exp(-M T) e."""
    e, time = np.array([1.0, -2.0]), 0.8
    rates = np.array([0.2, 0.1, 0.05, 0.025])
    slopes = []
    for order in (1, 2):
        found = []
        for lr in rates:
            sde = sd.modified_equation(sd.SGD(objective(), lr, batch_size=2), order)
            at = torch.tensor(BEST + np.eye(2))
            (drift,), _ = sde.terms(TORCH, at, 0.0, [torch.zeros(2, 6, dtype=torch.float64)])
            sgd = np.linalg.matrix_power(np.eye(2) - lr * H, round(time / lr)) @ e
            found.append(np.linalg.norm(scipy.linalg.expm(time * drift.numpy().T) @ e - sgd))
        slopes.append(chance.slope(rates, found))
    assert abs(slopes[0] - 1) < 0.15 and abs(slopes[1] - 2) < 0.3


TWICE = sd.Landscape("sin(xi*x)", params={"xi": 1.0})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sd.modified_equation(curved(0.1), 3), "order must be 1 or 2, got 3"),
        (lambda: sd.modified_equation(sd.SGD(TWICE, 0.1, random="xi")), "is not linear in xi"),
        (lambda: sd.modified_equation(sd.SGD(CURVED, 0.1, noise=sd.Stable(1.5))), "no finite variance"),
        (lambda: sd.modified_equation(sd.SGD(sd.Landscape("lr*x**2", params={"lr": 1.0}), 0.1)), "has a symbol lr"),
        (lambda: sd.modified_equation(sd.Truncated(curved(0.1), 0.1)), "modified_equation is for SGD"),
        (lambda: sd.modified_equation(sd.Momentum(objective(), LR, 2)), "equation of Momentum is not known here"),
        (lambda: sd.modified_equation(sd.SGD(objective(), LR, 2, label_noise=0.1)), "label_noise=0.1 adds noise"),
        (lambda: sd.modified_equation(sd.SGD(objective(), LR, 2, sampling="epochs")), "epochs have no such SDE"),
        (lambda: sd.minibatch_sde(objective(), LR, 2, order=0), "order must be 1 or 2, got 0"),
        (lambda: sd.minibatch_sde(objective(), LR, 2, weight_decay=-1.0), "weight_decay must be at least 0"),
        (
            lambda: sd.minibatch_sde(
                objective(), LR, 2, order=2, covariance="diagonal", noise=sd.Stable(1.5, isotropic=False)
            ),
            "order 2 is known for noise with a covariance",
        ),
    ],
)
def test_what_has_no_equation_is_refused_in_one_line(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
