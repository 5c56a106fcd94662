"""Ensembles of networks through `run`: splits, resumption, weights in and out."""

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.problems.forms import GRADIENT

DIGITS = sd.data.digits()
NET = sd.mlp(64, 8, 10)


@pytest.fixture(scope="module")
def objective():
    return sd.network(NET, "cross_entropy", DIGITS, method="vmap")


def dynamics(objective, name):
    if name == "SDE":
        return sd.EulerMaruyama(sd.minibatch_sde(objective, 0.2, 16), 0.02)
    if name == "epochs":
        return sd.SGD(objective, 0.2, batch_size=700, sampling="epochs")
    return sd.Momentum(objective, 0.1, 16) if name == "momentum" else sd.SGD(objective, 0.2, batch_size=16)


def run(objective, name, n_paths=40, n_steps=12, **more):
    chain = dynamics(objective, name)
    looks = sd.Record([0.0, 5 * chain.clock, 12 * chain.clock], values={"loss": objective.loss})
    return sd.run(chain, objective, n_paths, n_steps=n_steps, seed=7, block=16, observers=[looks], **more)


def same(a, b):
    return all(np.array_equal(a[v].values, b[v].values, equal_nan=a[v].dtype.kind == "f") for v in a.data_vars)


NAMES = ["SGD", "epochs", "momentum", "SDE"]


@pytest.mark.parametrize("name", NAMES)
def test_a_split_run_in_equal_blocks_is_the_whole_bit_for_bit(objective, name):
    whole = run(objective, name)
    parts = sd.concat([run(objective, name, 13), run(objective, name, 27, start_path=13)])
    assert same(whole, parts)
    assert len(np.unique(whole.loss.isel(time=-1))) == 40


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_of_networks_is_completed_bit_for_bit(objective, name, monkeypatch):
    whole = run(objective, name)
    asked = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr("sdesim.engine.run._stopper", lambda limit: lambda: next(asked) > 15)
        part = run(objective, name)
    assert (part.status == sd.Status.INTERRUPTED).any()
    assert (part.status == sd.Status.CENSORED).any()
    assert same(run(objective, name, resume=part), whole)


@pytest.mark.parametrize("form", ["vmap", "loop"])
def test_a_resumed_run_rounds_as_it_began(form, monkeypatch):
    def fresh():
        return sd.network(sd.mlp(64, 8, 10), "cross_entropy", sd.data.digits())

    def losses_alone(forms, *_):
        assert forms is not GRADIENT, "the form of the gradient was timed again"
        return form

    with monkeypatch.context() as patch:
        patch.setattr("sdesim.problems.objective.faster", lambda *_: form)
        asked = iter(range(1000))
        patch.setattr("sdesim.engine.run._stopper", lambda limit: lambda: next(asked) > 15)
        part = run(fresh(), "SGD")
    assert f'"{form}"' in part.attrs["forms"]
    other = {"vmap": "loop", "loop": "vmap"}[form]
    whole = {}
    for kind in (form, other):
        monkeypatch.setattr("sdesim.problems.objective.faster", lambda *_, kind=kind: kind)
        whole[kind] = run(fresh(), "SGD")
    monkeypatch.setattr("sdesim.problems.objective.faster", losses_alone)
    resumed = run(fresh(), "SGD", resume=part)
    assert same(resumed, whole[form])
    assert not same(resumed, whole[other])  # the two forms round differently: the test would see it


def test_weights_of_a_path_go_back_into_the_module(objective):
    ds = run(objective, "SGD")
    module = sd.mlp(64, 8, 10)
    module.load_state_dict(sd.state_dict(ds, path=11))
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(module(objective.inputs), objective.targets)
    assert float(losses) == pytest.approx(float(ds.loss.sel(path=11).isel(time=-1)), rel=1e-5)
    assert float(losses) != pytest.approx(float(ds.loss.sel(path=12).isel(time=-1)), rel=1e-5)


def test_training_lowers_the_loss_and_starts_are_fresh_for_each_path(objective):
    ds = run(objective, "SGD", n_steps=150)
    assert len(np.unique(ds.loss.isel(time=0))) == 40
    assert float(objective.loss(torch.as_tensor(ds.final_state.values, dtype=torch.float32)).mean()) < 1.0
    assert float(ds.loss.isel(time=0).mean()) > 2.0


@pytest.mark.parametrize(
    ("name", "values"),
    [("batch_size", [2, 5]), ("label_noise", [0.0, 0.5]), ("weight_decay", [0.0, 0.1]), ("lr", [0.1, 0.3])],
)
def test_a_cell_of_a_grid_over_a_network_is_the_run_with_its_value(name, values):
    problem = sd.network(sd.mlp(2, 3, 1, activation="tanh"), "mse", regression(), method="vmap")
    chosen = {"lr": 0.1, "batch_size": 3, "label_noise": 0.2}

    def weights(given, **more):
        return sd.run(sd.SGD(problem, **given), problem, 3, n_steps=20, **more).final_state

    grid = weights(chosen, vary={name: values})
    assert grid.dims == (name, "path", "component")
    assert np.array_equal(grid.values[0], weights(chosen | {name: values[0]}).values)
    assert not np.array_equal(grid.values[0], grid.values[1])


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"batch_size": [4, 1000]}, "batch_size must be from 1 to 12"),
        ({"batch_size": [2.5]}, "batch_size must be an integer, got 2.5"),
        ({"label_noise": [-1.0]}, "label_noise must be at least 0"),
    ],
)
def test_a_grid_over_a_network_is_checked_before_any_step(vary, message):
    problem = sd.network(sd.mlp(2, 3, 1), "mse", regression())
    with pytest.raises((ValueError, TypeError), match=message):
        sd.run(sd.SGD(problem, 0.1, batch_size=3), problem, 2, n_steps=5, vary=vary)


def regression():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(12, 2, generator=generator), torch.randn(12, 1, generator=generator)
