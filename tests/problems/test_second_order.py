"""Hessian-vector products against dense Hessians and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector

N, P, PATHS = 12, 3, 4


def bent(x, inputs, targets):
    return torch.cosh(inputs @ torch.tanh(x)) - targets * (inputs[:, 0] * x[0]).sin()


def linear(x, inputs, targets):
    return inputs @ x - targets


def quartic(x, inputs, targets):
    return (inputs @ x - targets) ** 4


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    made = {
        "inputs": rng.standard_normal((N, P)),
        "targets": rng.standard_normal(N),
        "x": rng.standard_normal((PATHS, P)),
        "v": rng.standard_normal((PATHS, P)),
        "weights": rng.standard_normal((PATHS, 5)),
        "other": rng.standard_normal((PATHS, 5)),
    }
    return {name: torch.tensor(value) for name, value in made.items()} | {
        "batch": torch.tensor(rng.integers(N, size=(PATHS, 5)))
    }


def dense(f, x, inputs, targets, w):
    """Product with the matrix of second derivatives of Σ w f at one x."""
    return torch.autograd.functional.hessian(lambda y: (w * f(y, inputs, targets)).sum(), x)


@pytest.mark.parametrize("method", ["vmap", "loop", "auto"])
@pytest.mark.parametrize("at_once", [5, 2048])
def test_product_is_that_of_the_dense_hessian_of_every_path(case, method, at_once):
    problem = Objective(bent, case["inputs"], case["targets"], dim=P, method=method, at_once=at_once)
    w = torch.full((N,), 1 / N, dtype=torch.float64)
    exact = [dense(bent, x, case["inputs"], case["targets"], w) for x in case["x"]]
    found = hessian_vector(problem, case["x"], case["v"])
    torch.testing.assert_close(found, torch.stack([h @ v for h, v in zip(exact, case["v"], strict=True)]))
    assert not found.requires_grad
    assert not torch.allclose(found, torch.stack([exact[0] @ v for v in case["v"]]), rtol=1e-2)


@pytest.mark.parametrize("method", ["vmap", "loop"])
@pytest.mark.parametrize("at_once", [2, 2048])
def test_batch_targets_and_weights_are_those_of_the_path(case, method, at_once):
    problem = Objective(quartic, case["inputs"], case["targets"], dim=P, method=method, at_once=at_once)
    batch, other, weights = case["batch"], case["other"], case["weights"]
    rows = [
        dense(quartic, case["x"][i], case["inputs"][batch[i]], other[i], weights[i]) @ case["v"][i]
        for i in range(PATHS)
    ]
    found = hessian_vector(problem, case["x"], case["v"], batch, other, weights)
    torch.testing.assert_close(found, torch.stack(rows))
    means = hessian_vector(problem, case["x"], case["v"], batch, other)
    torch.testing.assert_close(
        means, hessian_vector(problem, case["x"], case["v"], batch, other, torch.full_like(weights, 0.2))
    )
    assert not torch.allclose(hessian_vector(problem, case["x"], case["v"], batch, None, weights), found, rtol=1e-2)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_product_of_a_linear_loss_is_zero(case, method):
    problem = Objective(linear, case["inputs"], case["targets"], dim=P, method=method)
    assert torch.equal(hessian_vector(problem, case["x"], case["v"]), torch.zeros(PATHS, P, dtype=torch.float64))


def test_product_of_a_network_is_the_slope_of_its_gradient(case):
    module = torch.nn.Sequential(torch.nn.Linear(P, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    problem = sd.network(module, "mse", (case["inputs"], case["targets"][:, None]))
    x = problem.fresh_states(PATHS, 1)
    v, h = torch.tensor(np.random.default_rng(5).standard_normal(x.shape)), 1e-5
    slope = (problem.gradient(x + h * v) - problem.gradient(x - h * v)) / (2 * h)
    torch.testing.assert_close(hessian_vector(problem, x, v), slope, rtol=1e-7, atol=1e-8)


def test_vectors_and_weights_of_another_shape_are_refused(case):
    problem = Objective(bent, case["inputs"], case["targets"], dim=P)
    with pytest.raises(ValueError, match=r"v has shape \(1, 3\), x has \(4, 3\)"):
        hessian_vector(problem, case["x"], case["v"][:1])
    with pytest.raises(ValueError, match=r"weights has shape \(4, 5\).*expected \(4, 12\)"):
        hessian_vector(problem, case["x"], case["v"], weights=case["weights"])
