"""Formulas of the model of limiting dynamics against matrices, and one run of it."""

import dataclasses
import sys

import numpy as np
import pytest
import scipy.linalg

import sdesim as sd
from sdesim.study import catalogue
from tests.chance import has_mean

model = catalogue.find("limiting")
parts = sys.modules[model.build.__module__]


def step(p, h, decay):
    """Matrix of (x, v) in one mode, and the covariance of its noise."""
    k, lr, b = h + decay, p.lr, p.momentum
    kick = np.array([[-lr], [1.0]])
    return np.array([[1 - lr * k, -lr * b], [k, b]]), p.sigma**2 * h / p.batch_size * kick @ kick.T


@pytest.mark.parametrize(
    ("lr", "momentum", "h", "decay"), [(0.1, 0.5, 10.0, 0.0), (0.3, 0.9, 0.7, 0.2), (0.5, 0, 2, 1)]
)
def test_stationary_variances_solve_the_lyapunov_equation_of_the_recursion(lr, momentum, h, decay):
    p = model.params(lr=lr, momentum=momentum)
    truth = scipy.linalg.solve_discrete_lyapunov(*step(p, h, decay))
    found = parts.exact(p, decay, h)
    assert found == pytest.approx((truth[0, 0], truth[1, 1]))
    assert truth[0, 1] == pytest.approx(-lr * truth[1, 1] / 2)
    factor = 1 - lr * (h + decay) / (2 * (1 + momentum))
    assert parts.leading(p, decay, h) == pytest.approx([factor * v for v in found])


def test_leading_order_is_the_underdamped_ornstein_uhlenbeck_process_of_the_paper():
    p, h, decay = model.params(lr=0.01, momentum=0.8), 2.0, 0.3
    rate = p.lr * (1 + p.momentum)
    friction, frequency = 2 * (1 - p.momentum) / rate, 2 * (h + decay) / rate
    drift = np.array([[0.0, 1.0], [-frequency, -friction]])
    position, velocity = parts.leading(p, decay, h)
    noise = np.diag([0.0, 2 * friction * frequency * position])
    truth = scipy.linalg.solve_continuous_lyapunov(drift, -noise)
    assert truth[0, 0] == pytest.approx(position)
    # The process's velocity is that of x in time ηn, where SGD's x moves by -ηv.
    assert truth[1, 1] == pytest.approx(velocity)


def test_displacement_is_that_of_the_matrices():
    p = model.params(modes=3)
    total = 0.0
    for h in parts.curvatures(p):
        a, noise = step(p, h, 0.1)
        s = np.zeros((2, 2))
        for _ in range(17):
            s = a @ s @ a.T + noise
        total += s[0, 0]
    assert parts.displacement(p, 0.1, [17])[0] == pytest.approx(total)


def test_modes_by_formula_follow_momentum_on_examples():
    p = model.params(batch_size=2)
    h = np.array([4.0, 0.5])
    on_data = sd.run(parts.sgd(p, h, 0.1), np.zeros(4), 4096, n_steps=7, seed=2)["final_state"].values
    for j, curvature in enumerate(h):
        mode = sd.run(parts.recursion(p, curvature, 0.1), (0.0, 0.0), 4096, n_steps=7, seed=3)["final_state"].values
        a, noise = step(p, curvature, 0.1)
        s = np.zeros((2, 2))
        for _ in range(7):
            s = a @ s @ a.T + noise
        for found in (on_data[:, j::2], mode):
            assert has_mean(found[:, 0] ** 2, s[0, 0]) and has_mean(found[:, 1] ** 2, s[1, 1])
            assert has_mean(found[:, 0] * found[:, 1], s[0, 1])
            assert not has_mean(found[:, 0] ** 2, 1.3 * s[0, 0])


def test_model_runs_and_draws_its_figure():
    ds = model.run(model.params(modes=4, n_steps=60), n_paths=20, seed=1)
    assert dict(ds.sizes) == {"decay": 2, "h": 4, "path": 20, "time": 33, "component": 2}
    axes = model.figure(ds).axes
    assert [ax.get_xlabel() for ax in axes] == ["curvature h of the mode"] * 2 + ["steps"]
    assert dataclasses.asdict(model.params_of(ds))["modes"] == 4
