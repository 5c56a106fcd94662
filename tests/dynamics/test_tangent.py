"""Tangent dynamics against products of Jacobians by hand, across engines, and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.core.torch_ops import TORCH
from sdesim.engine.draws import Draws
from sdesim.engine.reference import draws

N, STEPS = 5, 40


def chain(dt=0.02):
    """Clipped steps in a plane that keep the diagonal x = y."""
    drift = ["a*x - x**3 + b*y", "a*y - y**3 + b*x"]
    sde = sd.SDE(drift, [["c*x", "x/3"], ["c*y", "y/3"]], variables=["x", "y"], params={"a": 0.4, "b": 0.3, "c": 0.8})
    return sd.Truncated(sd.EulerMaruyama(sde, dt), 0.11)


def by_hand(dynamics, x, v, seed, normal=None):
    """Positions, directions and log growth after STEPS steps with Jacobians by finite differences."""
    from sdesim.core.ops import NUMPY

    ids, growth, h = np.arange(len(x)), np.zeros(len(x)), 1e-6
    for k in range(STEPS):
        z = draws(dynamics, seed, ids, k)
        step = lambda y, z=z, k=k: dynamics.step(NUMPY, y, z, k)  # noqa: E731
        w = (step(x + h * v) - step(x - h * v)) / (2 * h)
        if normal is not None:
            w = (w @ normal)[:, None] * normal
        x, length = step(x), np.linalg.norm(w, axis=1)
        v, growth = w / length[:, None], growth + np.log(length)
    return x, v, growth


@pytest.fixture(scope="module")
def runs():
    tangent = sd.Tangent(chain(), direction=[1.0, 0.5])
    x0 = np.random.default_rng(1).normal(size=(N, 2))
    return x0, {
        engine: sd.run(tangent, x0, N, n_steps=STEPS, seed=4, engine=engine, threads=1)
        for engine in ("native", "tensor", "reference")
    }


def test_growth_is_that_of_a_product_of_jacobians(runs):
    x0, found = runs
    v0 = np.tile(np.array([1.0, 0.5]) / np.hypot(1.0, 0.5), (N, 1))
    x, v, growth = by_hand(chain(), x0, v0, 4)
    state = found["reference"]["final_state"].values
    np.testing.assert_allclose(state, np.c_[x, v, growth], rtol=1e-6, atol=1e-7)
    assert not np.allclose(state[:, 4], by_hand(chain(), x0, v0[:, ::-1], 4)[2], rtol=1e-2)
    assert list(found["native"]["component"].values) == ["x", "y", "tangent_x", "tangent_y", "log_growth"]


@pytest.mark.parametrize("engine", ["native", "tensor"])
def test_engines_agree_on_tangents(runs, engine):
    np.testing.assert_allclose(runs[1][engine]["final_state"], runs[1]["reference"]["final_state"], atol=1e-10)


def test_a_tangent_leaves_the_path_as_it_is(runs):
    plain = sd.run(chain(), runs[0], N, n_steps=STEPS, seed=4, engine="reference")
    np.testing.assert_allclose(
        plain["final_state"], runs[1]["reference"]["final_state"].isel(component=slice(2)), rtol=1e-13
    )


@pytest.mark.parametrize("normal_to", [[[1, -1]], "Subspace"])
def test_a_normal_tangent_stays_normal_and_starts_on_the_set(normal_to):
    given = sd.invariant.Subspace([[1, -1]]) if normal_to == "Subspace" else normal_to
    x0, normal = np.random.default_rng(1).normal(size=(N, 2)), np.array([1.0, -1.0]) / np.sqrt(2)
    ds = sd.run(sd.Tangent(chain(), normal_to=given), x0, N, n_steps=STEPS, seed=4, engine="reference")
    on = np.repeat(x0.mean(1, keepdims=True), 2, axis=1)
    x, _, growth = by_hand(chain(), on, np.tile(normal, (N, 1)), 4, normal)
    state = ds["final_state"].values
    np.testing.assert_allclose(state[:, :2], x, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(np.abs(state[:, 2:4] @ normal), 1.0)
    np.testing.assert_allclose(state[:, 4], growth, rtol=1e-6)
    assert not np.allclose(growth, by_hand(chain(), on, np.tile(np.abs(normal), (N, 1)), 4)[2], rtol=1e-2)


def test_growth_goes_on_where_the_path_has_underflowed():
    sde = sd.SDE("-x", 0, variables=["x"])
    ds = sd.run(sd.Tangent(sd.EulerMaruyama(sde, 0.75)), 1e-300, 2, n_steps=500, engine="reference")
    x, _, growth = ds["final_state"].values[0]
    assert x == 0.0
    assert growth == pytest.approx(500 * np.log(0.25))
    assert (ds["status"] == sd.Status.CENSORED).all()


def test_a_path_that_diverges_has_that_status_and_spoils_no_other():
    x0 = np.array([0.1, 30.0])
    dynamics = sd.Tangent(sd.SGD(sd.Landscape("x**4/4"), 0.01, noise=sd.Gaussian(0.1)))
    ds = sd.run(dynamics, x0, 2, n_steps=50, engine="reference")
    assert ds["status"].values.tolist() == [sd.Status.CENSORED, sd.Status.DIVERGED]
    assert np.isfinite(ds["final_state"][0]).all()


def test_an_interrupted_run_goes_on_to_the_same_states():
    dynamics = sd.Tangent(sd.EulerMaruyama(sd.SDE("x - x**3", "x/2"), 0.01))
    options = {"n_paths": 300, "n_steps": 500, "seed": 2, "engine": "tensor", "threads": 1}
    whole = sd.run(dynamics, 0.2, **options)
    part = sd.run(dynamics, 0.2, **options, wall_time=0.05)
    assert (part["status"] == sd.Status.INTERRUPTED).any()
    done = sd.run(dynamics, 0.2, **options, resume=part)
    np.testing.assert_array_equal(done["final_state"], whole["final_state"])


def test_a_path_stays_on_a_set_that_repels_it():
    """Neurons alike drift apart by rounding, e^(10) times a time unit here, unless they are put together again."""
    sde = sd.SDE(["10*x - 9*tanh(y)", "10*y - 9*tanh(x)"], [["x"], ["y"]])
    ds = sd.run(sd.Tangent(sd.EulerMaruyama(sde, 0.01), [[1, -1]]), [1e-3, 1e-3], 4, t_max=5.0, engine="reference")
    x = ds["final_state"].isel(component=slice(2))
    np.testing.assert_allclose(x[:, 0], x[:, 1], rtol=1e-14)
    assert (ds["final_state"].sel(component="log_growth") > 50).all()


class Torus:
    """An equation of callables."""

    noise_type, sde_type = "diagonal", "ito"

    def f(self, t, y):
        return torch.sin(y) * 1.5

    def g(self, t, y):
        return 0.4 * torch.cos(y)


def test_callables_have_the_tangent_of_the_same_formulas():
    formula = sd.EulerMaruyama(sd.SDE(["1.5*sin(x)"], ["2*cos(x)/5"]), 0.02)
    found = [
        sd.run(sd.Tangent(chain), 0.7, N, n_steps=STEPS, seed=5, engine="tensor", threads=1)["final_state"].values
        for chain in (formula, sd.EulerMaruyama(sd.from_torchsde(Torus(), 1), 0.02))
    ]
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)


def net():
    rng = np.random.default_rng(3)
    inputs, targets = torch.tensor(rng.normal(size=(9, 2))), torch.tensor(rng.normal(size=(9, 1)))
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()
    return sd.network(module, "mse", (inputs, targets))


def objective_dynamics():
    problem = net()
    yield sd.MinibatchSGD(problem, 0.1, 4, label_noise=0.3, weight_decay=0.05)
    yield sd.Momentum(problem, 0.1, 4, label_noise=0.3, weight_decay=0.05, momentum=0.8)
    yield sd.EulerMaruyama(sd.minibatch_sde(problem, 0.1, 2), 0.02, substeps=2)


@pytest.mark.parametrize("dynamics", list(objective_dynamics()), ids=["SGD", "momentum", "SDE"])
def test_tangent_of_a_network_is_the_slope_of_its_steps(dynamics):
    tangent, h = sd.Tangent(dynamics), 1e-6
    x, v = torch.tensor(np.random.default_rng(6).normal(size=(2, N, dynamics.dim)))
    v /= torch.linalg.vector_norm(v, dim=1, keepdim=True)
    ids, k = torch.arange(N), torch.zeros(N, dtype=torch.int64)
    z = Draws(tangent, 7, torch.float64)(ids, k)
    state = tangent.step(TORCH, torch.cat([x, v, torch.full((N, 1), 2.0)], 1), z, k)
    slope = (dynamics.step(TORCH, x + h * v, z, k) - dynamics.step(TORCH, x - h * v, z, k)) / (2 * h)
    length, d = torch.linalg.vector_norm(slope, dim=1, keepdim=True), dynamics.dim
    torch.testing.assert_close(state[:, :d], dynamics.step(TORCH, x, z, k))
    torch.testing.assert_close(state[:, d : 2 * d], slope / length, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(state[:, 2 * d :], 2 + torch.log(length), rtol=1e-6, atol=1e-7)
    assert torch.equal(tangent.position(state), state[:, : dynamics.objective.dim])
    other = Draws(tangent, 8, torch.float64)(ids, k)
    assert not torch.allclose(tangent.step(TORCH, torch.cat([x, v, v[:, :1]], 1), other, k)[:, :d], state[:, :d])


@pytest.mark.parametrize("kind", ["SGD", "momentum"])
def test_tangents_normal_to_a_vanishing_neuron_have_no_other_part(kind):
    problem = net()
    dynamics = sd.MinibatchSGD(problem, 0.1, 4) if kind == "SGD" else sd.Momentum(problem, 0.1, 4, momentum=0.8)
    silent = sd.invariant.VanishingNeurons(problem, 0, [1])
    tangent = sd.Tangent(dynamics, normal_to=silent)
    ds = sd.run(tangent, problem, 3, n_steps=20, observers=[sd.Record([0.0, 1.0])], threads=1)
    d = dynamics.dim
    for state in (ds["state"].isel(time=0).values, ds["final_state"].values):
        x, v = (torch.tensor(state[:, part]) for part in (slice(problem.dim), slice(d, d + problem.dim)))
        assert silent.contains(x, 1e-12).all()
        torch.testing.assert_close(silent.normal(x, v), v, rtol=0, atol=1e-15)
    assert np.isfinite(ds["final_state"].sel(component="log_growth")).all()


def test_sets_on_which_the_loss_has_a_kink_have_no_tangent():
    """relu: a silent neuron grows on one side of its death and not on the other; its second derivative is 0."""
    data = torch.ones(4, 1, 2, 2), torch.ones(4, 1)
    smooth, kinked = sd.mlp(2, 3, 1, activation="gelu"), sd.mlp(2, 3, 1, activation="relu")
    pooled = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 1), torch.nn.Tanh(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(2, 1)
    )
    flat = torch.ones(4, 2), torch.ones(4, 1)
    for module, given, fine in ((smooth, flat, True), (kinked, flat, False), (pooled, data, False)):
        problem = sd.network(module, "mse", given)
        silent = sd.invariant.VanishingNeurons(problem, 0, 0)
        assert silent.differentiable is fine
        if fine:
            sd.Tangent(sd.MinibatchSGD(problem, 0.1, 4), silent)
            continue
        with pytest.raises(ValueError, match="the loss has a kink on VanishingNeurons"):
            sd.Tangent(sd.MinibatchSGD(problem, 0.1, 4), silent)


def linear_net():
    rng = np.random.default_rng(8)
    layers = [torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2, bias=False)]
    data = torch.tensor(rng.normal(size=(9, 3))), torch.tensor(rng.normal(size=(9, 2)))
    return sd.network(torch.nn.Sequential(*layers).double(), "mse", data)


@pytest.mark.parametrize("kind", ["LowRank", "DuplicateNeurons"])
def test_tangents_of_curved_and_of_flat_sets_stay_normal_to_them_at_every_batch_size(kind):
    problem = linear_net()
    if kind == "LowRank":
        held = sd.invariant.LowRank(problem, 0, 1, joint=True)
    else:
        held = sd.invariant.DuplicateNeurons(problem, 0, 0, 2)
    tangent = sd.Tangent(sd.MinibatchSGD(problem, 0.05, 1), held)
    ds = sd.run(tangent, problem, 3, n_steps=60, vary={"batch_size": [1, 4]}, threads=1)
    state = torch.tensor(ds["final_state"].values.reshape(6, -1))
    x, v = state[:, : problem.dim], state[:, problem.dim : 2 * problem.dim]
    assert held.contains(x, 1e-12).all()
    torch.testing.assert_close(held.normal(x, v), v, rtol=0, atol=1e-10)
    assert not torch.allclose(state[:3, -1], state[3:, -1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.Tangent("SGD"), "wraps a dynamics"),
        (lambda: sd.Tangent(sd.Tangent(chain())), "wraps a dynamics"),
        (lambda: sd.Tangent(chain(), normal_to=[[1, 2, 3]]), "rows of 2 finite numbers"),
        (lambda: sd.Tangent(chain(), normal_to=[[0, 0]]), "not zero"),
        (lambda: sd.Tangent(chain(), direction=[0, 0]), "direction must not be zero"),
        (lambda: sd.Tangent(chain(), direction="x"), "2 finite numbers"),
        (lambda: sd.Tangent(chain(), sd.invariant.VanishingNeurons(net(), 0, [1])), "parameters of an objective"),
        (lambda: sd.Tangent(sd.MinibatchSGD(net(), 0.1, 4), sd.invariant.LowRank(net(), 0, 1)), "no invariant set"),
        (
            lambda: sd.Tangent(sd.MinibatchSGD(net(), 0.1, 4), sd.invariant.VanishingNeurons(linear_net(), 0, 1)),
            "a set of another network",
        ),
        (lambda: sd.Tangent(sd.Truncated(sd.MinibatchSGD(net(), 0.1, 4), 0.1)), "no derivative of Truncated"),
        (
            lambda: sd.Tangent(sd.EulerMaruyama(sd.minibatch_sde(net(), 0.1, 4, covariance="diagonal"), 0.01)),
            "covariance='exact'",
        ),
        (lambda: sd.run(sd.Tangent(chain()), sd.Gaussian(), 4, n_steps=2, engine="reference"), "starts from numbers"),
        (lambda: sd.run(sd.Tangent(chain()), [1.0, 2.0, 3.0], 4, n_steps=2, engine="reference"), "starts from"),
        (
            lambda: sd.run(
                sd.Tangent(chain(), [[1, -1]], direction=[1, 1]), [1.0, 1.0], 4, n_steps=2, engine="reference"
            ),
            "direction lies in the set",
        ),
        (
            lambda: sd.run(sd.Tangent(chain(), [[1.0, 0.3]]), [0.6, -2.0], 4, n_steps=2, engine="reference"),
            r"steps leave the set that normal_to=\[\[1.0, 0.3\]\] describes",
        ),
    ],
)
def test_what_has_no_tangent_is_refused_before_the_first_step(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
