"""When the SDE may stand for SGD, by the ratio of noise to gradient; losses that have no curvature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sdesim as sd
from tests import chance
from tests.problems.test_curvature import N, net, point

curvature = sd.curvature


@pytest.fixture(scope="module")
def objective():
    return net()


@pytest.fixture(scope="module")
def x(objective):
    return point(objective)


@pytest.mark.parametrize("lr", [0.1, 1.0])
def test_on_a_parabola_the_ratio_of_variances_is_one_and_gradient_over_noise(lr):
    """η σ²/(h(2 - ηh)) of SGD over η σ²/(2h) of the SDE is 1 + G/N; measured by paths."""
    h, sigma = 1.0, 0.8
    dynamics = sd.SGD(sd.Landscape("x**2/2"), lr, noise=sd.Gaussian(sigma))
    x = sd.run(dynamics, 0.0, 20_000, n_steps=200, seed=4).final_state.values.ravel()
    found = curvature.sde_condition(np.full(x.size, sigma**2), (h * x) ** 2, closeness=1.5, level=1 - 1e-6)
    exact = (2 - lr * h) / (lr * h)
    assert found.low < exact < found.high
    assert not found.low < 1.2 * exact < found.high
    assert chance.has_mean(x**2 / (lr * sigma**2 / 2), 1 + 1 / exact)
    assert found.bound == pytest.approx(0.8)
    assert found.verdict == "may hold"


def test_the_condition_fails_where_gradients_are_large_and_is_undecided_near_its_bound():
    rng = np.random.default_rng(5)
    gradient = rng.uniform(0.5, 1.5, 100)
    assert curvature.sde_condition(0.1 * np.ones(100), gradient, 1.5).verdict == "fails"
    assert curvature.sde_condition(0.8 * np.ones(100), gradient, 1.5).verdict == "undecided"
    scaled = curvature.sde_condition(np.ones(100), gradient, 1.5, scale=4.5)
    assert scaled.bound == pytest.approx(0.4)


def test_scale_invariant_sgd_and_its_sde_balance_norms_as_the_condition_says():
    """L depends on x/|x| alone: noise is tangent to the sphere. (2 - ηλ) λ R = η (G + N) of SGD, to rounding."""
    rng, lr, decay = np.random.default_rng(6), 0.1, 0.5
    x = rng.normal(size=(4000, 3))
    total, squares, count = 0.0, 0.0, 0
    for k in range(600):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        g = rng.normal(loc=[0.5, 0.0, 0.0], size=x.shape)
        g = (g - (g * unit).sum(1, keepdims=True) * unit) / np.linalg.norm(x, axis=1, keepdims=True)
        if k >= 300:
            total, squares, count = total + (x**2).sum(1).mean(), squares + (g**2).sum(1).mean(), count + 1
        x = (1 - lr * decay) * x - lr * g
    left, right = (2 - lr * decay) * decay * total / count, lr * squares / count
    assert left == pytest.approx(right, rel=0.01)


# Refusals


def linear_net(loss):
    rng = np.random.default_rng(0)
    data = torch.tensor(rng.normal(size=(N, 4))), torch.tensor(rng.normal(size=(N, 1)))
    return sd.network(sd.mlp(4, 3, 1).double(), loss, data)


def l1(outputs, targets):
    return (outputs - targets).abs().mean(1)


def hinge(outputs, targets):
    return (1 - targets.sign() * outputs).clamp(min=0).mean(1)


def accuracy(outputs, targets):
    return (outputs.sign() == targets.sign()).to(outputs.dtype).mean(1)


def bare(loss):
    a = torch.tensor(np.random.default_rng(1).normal(size=(N, 2)))
    return sd.Objective(loss, a, a[:, 0], dim=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_net(l1), "l1 is piecewise linear in the outputs"),
        (lambda: linear_net(hinge), "hinge is piecewise linear in the outputs"),
        (
            lambda: linear_net(accuracy),
            "accuracy does not depend on x through torch operations, or is piecewise constant",
        ),
        (lambda: bare(lambda x, a, y: (a @ x - y).abs()), "no second derivative at any point tried"),
        (lambda: bare(lambda x, a, y: ((a @ x) > y).double()), "does not depend on x through torch operations"),
        (lambda: sd.Landscape("abs(x - 1) + abs(x)"), "piecewise linear: its curvature sits in kinks"),
        (lambda: 3.0, "curvature is that of an Objective or a Landscape, got float"),
    ],
)
@pytest.mark.parametrize("measure", [curvature.sharpness, curvature.hessian_trace])
def test_losses_without_curvature_are_refused_before_any_run(make, message, measure):
    with pytest.raises((ValueError, TypeError), match=message):
        measure(make())


def test_smooth_losses_with_kinks_inside_are_let_through():
    curvature.sharpness(linear_net(lambda o, t: F.smooth_l1_loss(o, t, reduction="none").mean(1)))
    curvature.sharpness(net(activation="relu"))
    curvature.sharpness(sd.Landscape("abs(x)**3 + abs(x)"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, x: curvature.eigenvalues(curvature.hessian(o, x), 0), "k must be at least 1"),
        (lambda o, x: curvature.eigenvalues(curvature.hessian(o, x), 999), "ask for at most 67"),
        (lambda o, x: curvature.eigenvalues(curvature.hessian(o, x), 5, max_products=3), "give at least 6"),
        (lambda o, x: curvature.eigenvalues(curvature.hessian(o, x), which="large"), "did you mean largest"),
        (lambda o, x: curvature.trace(curvature.hessian(o, x), method="hutch"), "did you mean hutch"),
        (lambda o, x: curvature.trace(curvature.hessian(o, x), 3), "n_products must be at least 6"),
        (lambda o, x: curvature.trace(curvature.hessian(o, x), level=2), "level must be in"),
        (lambda o, x: curvature.hessian(o, x) @ x[:, :3], "vectors have shape"),
        (lambda o, x: curvature.hessian(o, x[:, :3]).dense(), r"expected \(paths, 67\)"),
        (lambda o, x: curvature.ggn(bare(lambda x, a, y: (a @ x - y) ** 2), x), "build the objective by network"),
        (lambda o, x: curvature.noise_trace(sd.Landscape("x**2")), "got Landscape"),
        (lambda o, x: curvature.noise_to_gradient(o, x, 41), "batch_size must be from 1 to 40"),
        (lambda o, x: curvature.noise_to_gradient(o, x, sampling="epochs"), "epochs have no such noise"),
        (lambda o, x: curvature.noise_scale(o, x, "simpel"), "did you mean simple"),
        (lambda o, x: curvature.hessian(sd.Landscape("x**2 + y**2"), [1.0, 2.0, 3.0, 4.0, 5.0]), "shape"),
        (lambda o, x: curvature.sde_condition([1.0], [1.0]), "several paths"),
        (lambda o, x: curvature.sde_condition([1.0, 2.0], [1.0, 2.0], 0.9), "closeness must be above 1"),
        (lambda o, x: curvature.sde_condition([1.0, -2.0], [1.0, 2.0]), "not negative"),
    ],
)
def test_what_cannot_be_measured_is_refused(objective, x, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(objective, x)
