"""The warning for learning rates above 2/λ_max: where it speaks, what it says and where it is silent."""

import warnings

import numpy as np
import pytest
import torch

import sdesim as sd

VALLEY = sd.Landscape("a*x**2/2 + y**2/2", params={"a": 4.0})


def told(dynamics, x0, n_paths=4, **more):
    """The texts of the warnings of a run."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sd.run(dynamics, x0, n_paths, **({"n_steps": 2} | more))
    return [str(w.message) for w in seen if issubclass(w.category, sd.StabilityWarning)]


def test_gradient_descent_moves_away_where_the_warning_speaks_and_not_where_it_is_silent():
    for lr, leaves in ((0.52, True), (0.48, False)):
        step = sd.SGD(VALLEY, lr, noise=sd.Gaussian(1e-12))
        assert bool(told(step, [1.0, 1.0])) is leaves
        far = abs(sd.run(step, [1.0, 1.0], 1, n_steps=300).final_state.values).max()
        assert bool(far > 1) is leaves


def test_the_warning_comes_once_with_its_numbers():
    (text,) = told(sd.SGD(VALLEY, 0.6), [1.0, 1.0])
    assert text.startswith(
        "lr=0.6 is above 0.5 = 2/λ_max, with λ_max=4 the largest eigenvalue of the Hessian at x0=(1, 1)"
    )


def test_of_a_grid_the_worst_cell_is_named():
    (text,) = told(sd.SGD(VALLEY, 0.1), [1.0, 1.0], vary={"a": [1.0, 10.0], "lr": [0.1, 0.3]})
    assert "lr=0.3 is above 0.2" in text and "λ_max=10" in text
    assert not told(sd.SGD(VALLEY, 0.1), [1.0, 1.0], vary={"a": [1.0, 10.0], "lr": [0.1, 0.15]})


def test_a_start_at_a_maximum_is_not_unstable_in_this_sense():
    assert not told(sd.SGD(sd.Landscape("x**4/4 - x**2/2"), 5.0), 0.0)


def test_of_a_random_loss_the_mean_counts():
    loss = sd.Landscape("(4 + xi)*x**2/2", params={"xi": 100.0})
    assert not told(sd.SGD(loss, 0.4, random="xi"), 1.0)
    assert told(sd.SGD(loss, 0.6, random="xi"), 1.0)


def half_square(x, inputs, targets):
    return (inputs @ x - targets) ** 2 / 2


def least_squares():
    a = np.random.default_rng(0).normal(size=(8, 3))
    return sd.Objective(half_square, torch.tensor(a), torch.zeros(8, dtype=torch.float64), dim=3, method="vmap"), a


@pytest.mark.parametrize(("momentum", "factor"), [(None, 2.0), (0.5, 3.0)])
def test_on_an_objective_the_limit_is_that_of_its_hessian(momentum, factor):
    objective, a = least_squares()
    limit = factor / np.linalg.eigvalsh(a.T @ a / 8)[-1]

    def chain(lr):
        if momentum is None:
            return sd.SGD(objective, lr, batch_size=8, sampling="fresh")
        return sd.Momentum(objective, lr, 8, "fresh", momentum=momentum)

    start = np.ones(chain(0.1).dim)
    for lr, leaves in ((1.02 * limit, True), (0.98 * limit, False)):
        texts = told(chain(lr), start, 4, n_steps=250)
        assert bool(texts) is leaves
        end = sd.run(chain(lr), start, 1, n_steps=250).final_state.values
        assert bool(np.abs(end).max() > 1) is leaves


def test_weight_decay_adds_to_the_curvature():
    objective, a = least_squares()
    limit = 2 / (np.linalg.eigvalsh(a.T @ a / 8)[-1] + 1.0)
    for lr, leaves in ((1.02 * limit, True), (0.98 * limit, False)):
        chain = sd.SGD(objective, lr, batch_size=8, sampling="fresh", weight_decay=1.0)
        assert bool(told(chain, np.ones(3), 4, n_steps=250)) is leaves


def test_short_runs_on_objectives_and_losses_without_curvature_pass_in_silence():
    objective, _ = least_squares()
    assert not told(sd.SGD(objective, 50.0, batch_size=8), np.ones(3), 4, n_steps=3)
    kinked = sd.Objective(lambda x, a, y: (a @ x - y).abs(), objective.inputs, objective.targets, dim=3, method="vmap")
    assert not told(sd.SGD(kinked, 1.0, batch_size=8), np.ones(3), 4, n_steps=250)


def test_a_resumed_run_is_not_warned_again():
    step = sd.SGD(VALLEY, 0.6)
    with pytest.warns(sd.StabilityWarning):
        half = sd.run(step, [1.0, 1.0], 4, n_steps=10**5, wall_time=1e-9, threads=1)
    assert not told(step, [1.0, 1.0], 4, n_steps=10**5, resume=half, threads=1)
