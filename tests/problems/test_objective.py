"""Losses and gradients of an ensemble against closed forms, finite differences and dense sums over examples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sdesim.problems.objective import Objective
from tests.chance import WIDTH

N, P, PATHS = 12, 3, 4


def half_square(x, inputs, targets):
    return (inputs @ x - targets) ** 2 / 2


def twice_half_square(x, inputs, targets):
    return 2 * half_square(x, inputs, targets)


def bent(x, inputs, targets):
    return torch.cosh(inputs @ torch.tanh(x)) - targets * (inputs[:, 0] * x[0]).sin()


def by_sign(x, inputs, targets):
    """A loss whose path in the code depends on x, which has no batched form."""
    return half_square(x if x[0] > 0 else -x, inputs, targets)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, P)), rng.standard_normal(N) + 1.0


@pytest.fixture
def x():
    return torch.tensor(np.random.default_rng(1).standard_normal((PATHS, P)))


@pytest.fixture
def batch():
    return torch.tensor(np.random.default_rng(2).integers(N, size=(PATHS, 5)))


def objective(data, losses=half_square, **options):
    inputs, targets = (torch.tensor(part) for part in data)
    return Objective(losses, inputs, targets, dim=P, **options)


def residuals(data, x):
    """A x - b, shape (paths, n)."""
    return x.numpy() @ data[0].T - data[1]


def agree(a, b):
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["vmap", "loop"])
@pytest.mark.parametrize("at_once", [5, 2048])
def test_gradient_of_least_squares_is_a_residual_times_its_inputs(data, x, batch, method, at_once):
    exact = residuals(data, x) @ data[0] / N
    problem = objective(data, method=method, at_once=at_once)
    assert agree(problem.gradient(x).numpy(), exact)
    assert agree(problem.loss(x).numpy(), (residuals(data, x) ** 2).mean(1) / 2)
    rows = [(residuals(data, x)[i, b, None] * data[0][b]).mean(0) for i, b in enumerate(batch.numpy())]
    assert agree(problem.gradient(x, batch).numpy(), np.array(rows))
    # Twins: another factor, another sign, another example.
    assert not agree(objective(data, twice_half_square, method=method).gradient(x).numpy(), exact)
    assert not agree(problem.gradient(x).numpy(), -exact)
    other = batch.clone()
    other[0, 0] = (other[0, 0] + 1) % N
    assert not agree(problem.gradient(x, other).numpy(), np.array(rows))


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_example_gradients_and_their_covariance_by_hand(data, x, batch, method):
    problem = objective(data, method=method, at_once=7)
    exact = residuals(data, x)[:, :, None] * data[0]
    assert agree(problem.example_gradients(x).numpy(), exact)
    assert agree(problem.example_gradients(x, batch).numpy(), exact[np.arange(PATHS)[:, None], batch.numpy()])
    covariance = np.stack([np.cov(g.T, bias=True) for g in exact])
    assert agree(problem.covariance(x).numpy(), covariance)
    assert agree(problem.gradient_variance(x).numpy(), np.diagonal(covariance, axis1=1, axis2=2))
    assert not agree(problem.covariance(x).numpy(), np.stack([np.cov(g.T) for g in exact]))
    assert not agree(problem.covariance(x).numpy(), np.einsum("kia,kib->kab", exact, exact) / N)


def test_gradient_variance_is_the_same_with_few_examples_at_a_time(data, x, monkeypatch):
    whole = objective(data).gradient_variance(x)
    monkeypatch.setattr("sdesim.problems.objective.NUMBERS", 5 * x.numel())
    assert agree(objective(data).gradient_variance(x).numpy(), whole.numpy())


def test_gradient_matches_finite_differences(data, x, batch):
    problem, h = objective(data, bent), 1e-6

    def slopes(examples):
        ends = [(problem.loss(x + d, examples), problem.loss(x - d, examples)) for d in h * torch.eye(P)]
        return torch.stack([(above - below) / (2 * h) for above, below in ends], 1)

    torch.testing.assert_close(problem.gradient(x), slopes(None), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(problem.gradient(x, batch), slopes(batch), rtol=1e-7, atol=1e-7)
    assert not torch.allclose(problem.gradient(x), slopes(batch), rtol=1e-3)


@pytest.mark.parametrize("method", ["vmap", "loop"])
@pytest.mark.parametrize("at_once", [5, 2048])
def test_weighted_gradient_is_the_weighted_sum_of_example_gradients(data, x, batch, method, at_once):
    problem = objective(data, bent, method=method, at_once=at_once)
    w = torch.tensor(np.random.default_rng(3).standard_normal((PATHS, N)))
    exact = torch.einsum("ki,kip->kp", w, problem.example_gradients(x))
    assert agree(problem.weighted_gradient(x, w).numpy(), exact.numpy())
    assert not agree(problem.weighted_gradient(x, w.roll(1, 0)).numpy(), exact.numpy())
    v = w[:, :5]
    exact = torch.einsum("ki,kip->kp", v, problem.example_gradients(x, batch))
    assert agree(problem.weighted_gradient(x, v, batch).numpy(), exact.numpy())
    assert not agree(problem.weighted_gradient(x, v.roll(1, 1), batch).numpy(), exact.numpy())


def test_random_weights_give_the_covariance_of_minibatch_noise(data):
    lr, size, h, n_paths = 0.1, 4, 0.01, 100_000
    problem = objective(data, method="vmap")
    x = torch.tensor([[0.3, -1.0, 0.5]], dtype=torch.float64)
    exact = h * lr / size * problem.covariance(x)[0].numpy()
    xi = torch.tensor(np.random.default_rng(4).standard_normal((n_paths, N)))
    scale = math.sqrt(lr / (size * N * h))
    # An entry of an empirical covariance of normal numbers has the variance (S_ii S_jj + S_ij²) / n.
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / n_paths)

    def worst(noise):
        steps = -h * problem.weighted_gradient(x.expand(n_paths, P), 1 / N + scale * noise).numpy()
        return np.max(np.abs(np.cov(steps.T) - exact) / error)

    assert worst(xi - xi.mean(1, keepdim=True)) < WIDTH
    assert worst(xi) > 2 * WIDTH
    assert worst((xi - xi.mean(1, keepdim=True)) * math.sqrt(N / (N - 1))) > 2 * WIDTH


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_other_targets_replace_those_of_the_data(data, x, batch, method):
    problem = objective(data, method=method)
    own, noise = problem.targets[batch], torch.tensor(np.random.default_rng(5).standard_normal((PATHS, 5)))
    assert torch.equal(problem.gradient(x, batch, targets=own), problem.gradient(x, batch))
    # The gradient is linear in the targets: noise adds -noise × inputs.
    shift = -(noise[:, :, None] * problem.inputs[batch]).mean(1)
    moved = problem.gradient(x, batch, targets=own + noise) - problem.gradient(x, batch)
    assert agree(moved.numpy(), shift.numpy())
    w = torch.full((PATHS, 5), 0.2, dtype=torch.float64)
    weighted = problem.weighted_gradient(x, w, batch, targets=own + noise)
    assert agree(weighted.numpy(), (problem.gradient(x, batch) + shift).numpy())
    full = problem.targets.expand(PATHS, N)
    assert agree(problem.loss(x, targets=full + 1).numpy(), ((residuals(data, x) - 1) ** 2).mean(1) / 2)
    assert not agree(problem.loss(x, targets=full + 1).numpy(), problem.loss(x).numpy())


def test_a_path_does_not_depend_on_the_others(data, x, batch):
    problem = objective(data, bent)
    order = torch.tensor([2, 0, 3, 1])
    assert agree(problem.gradient(x[order], batch[order]).numpy(), problem.gradient(x, batch)[order].numpy())
    alone = torch.cat([problem.gradient(x[i : i + 1], batch[i : i + 1]) for i in range(PATHS)])
    assert agree(problem.gradient(x, batch).numpy(), alone.numpy())


@pytest.mark.parametrize("method", ["auto", "vmap", "loop"])
def test_no_result_keeps_a_graph(data, x, batch, method):
    problem = objective(data, bent, method=method)
    with torch.no_grad():
        quiet = problem.gradient(x, batch)
    leaf = x.clone().requires_grad_()
    results = [problem.gradient(leaf, batch), problem.loss(leaf), problem.example_gradients(leaf)]
    results += [problem.covariance(leaf), problem.weighted_gradient(leaf, torch.ones(PATHS, N, dtype=torch.float64))]
    assert not any(r.requires_grad for r in results)
    assert leaf.grad is None
    assert torch.equal(quiet, results[0])


def test_auto_chooses_once_for_a_size(data, x, batch):
    problem = objective(data)
    problem.gradient(x, batch)
    assert set(problem.chosen.values()) <= {"vmap", "loop"}
    before = dict(problem.chosen)
    problem.gradient(x, batch)
    problem.weighted_gradient(x, torch.ones(PATHS, 5, dtype=torch.float64), batch)
    assert problem.chosen == before
    problem.gradient(x)
    assert len(problem.chosen) == 2
    assert not problem.to(dtype=torch.float32).chosen


def test_what_has_no_batched_form_runs_in_a_loop(data, x):
    problem = objective(data, by_sign)
    sign = torch.where(x[:, :1] > 0, 1.0, -1.0)
    assert agree(problem.gradient(x).numpy(), (sign * objective(data).gradient(sign * x)).numpy())
    assert set(problem.chosen.values()) == {"loop"}
    with pytest.raises(RuntimeError):
        replace(problem, method="vmap").gradient(x)


def test_other_floating_type_keeps_class_numbers(data, x):
    inputs = torch.tensor(data[0])
    labels = torch.arange(N) % 3

    def losses(x, inputs, targets):
        return (inputs - x).square().gather(1, targets[:, None])[:, 0]

    problem = Objective(losses, inputs, labels, P, test=(inputs, labels), predict=lambda x, inputs: inputs - x)
    single = problem.to(dtype=torch.float32)
    assert (single.dtype, single.targets.dtype, single.test[1].dtype) == (torch.float32, torch.int64, torch.int64)
    assert problem.dtype == torch.float64
    torch.testing.assert_close(single.gradient(x.float()).double(), problem.gradient(x), rtol=1e-5, atol=1e-5)


def test_accuracy_and_test_loss_count_the_examples_held_back():
    inputs, labels = torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 1])

    def outputs(x, inputs):
        return inputs * x

    def losses(x, inputs, targets):
        return -outputs(x, inputs).gather(1, targets[:, None])[:, 0]

    right = torch.tensor([0, 1, 2])
    problem = Objective(losses, inputs, labels, 3, test=(inputs, right), predict=outputs, at_once=2)
    x = torch.tensor([[1.0, 2.0, 3.0], [1.0, -1.0, 1.0]], dtype=torch.float64)
    assert problem.accuracy(x).tolist() == pytest.approx([1, 2 / 3])
    assert problem.accuracy(x, "train").tolist() == pytest.approx([2 / 3, 1 / 3])
    assert problem.test_loss(x).tolist() == pytest.approx([-2, -1 / 3])
    assert problem.loss(x).tolist() == pytest.approx([-1, 0])
    with pytest.raises(ValueError, match=r"split 'tets' is unknown.*test"):
        problem.accuracy(x, "tets")
    with pytest.raises(ValueError, match="no test examples"):
        replace(problem, test=None).accuracy(x)
    with pytest.raises(ValueError, match="give predict="):
        replace(problem, predict=None).accuracy(x)


def test_shapes_that_do_not_fit_are_both_printed(data, x, batch):
    problem = objective(data)
    with pytest.raises(ValueError, match=r"x has shape \(4, 2\), expected \(paths, 3\)"):
        problem.gradient(x[:, :2])
    with pytest.raises(ValueError, match=r"x has shape \(3,\), expected \(paths, 3\)"):
        problem.loss(x[0])
    with pytest.raises(ValueError, match=r"batch has shape \(2, 5\), x has \(4, 3\): expected \(4, B\)"):
        problem.gradient(x, batch[:2])
    with pytest.raises(ValueError, match=r"weights have shape \(4, 11\), x has \(4, 3\): expected \(4, 12\)"):
        problem.weighted_gradient(x, torch.ones(4, 11))
    with pytest.raises(ValueError, match=r"targets have shape \(4, 4\), expected \(4, 5\)"):
        problem.gradient(x, batch, targets=torch.ones(4, 4))
    with pytest.raises(ValueError, match=r"inputs have shape \(12, 3\), targets \(11,\)"):
        replace(problem, targets=problem.targets[:11])
    with pytest.raises(ValueError, match=r"inputs have shape \(12, 3\), test inputs \(12, 2\)"):
        replace(problem, test=(problem.inputs[:, :2], problem.targets))
    with pytest.raises(ValueError, match=r"cannot be computed from x \(7,\) torch.float64, inputs \(3, 3\)"):
        replace(problem, dim=7)


def test_refusals_say_what_to_write(data, x, batch):
    problem = objective(data)
    with pytest.raises(ValueError, match="a batch of 13 from 12 examples; use a batch size between 1 and 12"):
        problem.gradient(x, torch.zeros(PATHS, 13, dtype=torch.long))
    with pytest.raises(TypeError, match="expected example numbers"):
        problem.gradient(x, batch.double())
    with pytest.raises(ValueError, match=r"float32 on cpu, the objective torch.float64 on cpu; write objective.to"):
        problem.gradient(x.float())
    with pytest.raises(ValueError, match=r"shape \(\) for 3 examples; return a loss for each example: reduction"):
        objective(data, lambda x, a, b: half_square(x, a, b).mean())
    with pytest.raises(ValueError, match=r"shape \(3, 1\) for 3 examples"):
        objective(data, lambda x, a, b: half_square(x, a, b)[:, None])
    with pytest.raises(ValueError, match="does not depend on x through torch operations"):
        objective(data, lambda x, a, b: half_square(x.detach(), a, b), method="loop").gradient(x)
    with pytest.raises(ValueError, match=r"method 'vmpa' is unknown.*vmap"):
        objective(data, method="vmpa")
    with pytest.raises(ValueError, match="device 'nowhere' is not there; use one of cpu"):
        problem.to("nowhere")
    with pytest.raises(ValueError, match=r"device 'cuda:99' is not there; use one of cpu"):
        problem.to("cuda:99")
    with pytest.raises(TypeError, match=r"must be a tensor, got ndarray; write torch.as_tensor"):
        Objective(half_square, data[0], problem.targets, P)
