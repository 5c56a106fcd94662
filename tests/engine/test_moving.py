"""A run's device and floating type: objectives follow, wherever the dynamics and observers hold them."""

import functools

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.engine.moving import Mover

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DOUBLE = torch.float64


@pytest.fixture(scope="module")
def small() -> sd.Objective:
    data = sd.data.teacher_student(n=40, d=3, n_test=20)
    # One form of a pass: "auto" times them, and two objectives need not choose, and hence round, alike.
    return sd.network(sd.mlp(3, 4, 1, activation="tanh"), "mse", data, method="vmap")


@pytest.fixture(scope="module")
def start(small) -> np.ndarray:
    return small.fresh_states(4, 0).numpy().astype(float)


def observers(objective):
    """One of every way to hold an objective."""

    def enclosed(x):
        return objective.loss(x) * 2

    values = {
        "bound": objective.test_loss,
        "partial": functools.partial(sd.Objective.loss, objective),
        "enclosed": enclosed,
        "sharpness": sd.curvature.sharpness(objective),
        "distance": sd.invariant.VanishingNeurons(objective, 0, [1]).distance,
        "free": lambda x: x.square().sum(1),
    }
    return [sd.Record([0.0, 0.25, 0.5], values=values), sd.FirstExit(sd.Below(objective.test_loss, 1e9, every=5))]


def dynamics(objective):
    return {
        "sgd": sd.Truncated(sd.SGD(objective, 0.1, batch_size=4, label_noise=0.1), 0.5),
        "momentum": sd.Momentum(objective, 0.1, 4),
        "sde": sd.EulerMaruyama(sd.minibatch_sde(objective, 0.1, 4), 0.1),
        "svag": sd.SVAG(objective, 0.1, batch_size=4, l=2),
    }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "sde", "svag"])
def test_a_run_in_another_type_is_that_of_objectives_moved_by_hand(small, start, name: str, device: str) -> None:
    by_hand = small.to(device, DOUBLE)
    moved, truth = (
        sd.run(dynamics(o)[name], start, 4, n_steps=12, observers=observers(o), **options)
        for o, options in ((small, {"dtype": "float64", "device": device}), (by_hand, {}))
    )
    assert moved.attrs["dtype"] == "float64" and moved.attrs["device"].startswith(device)
    for variable in ("final_state", "bound", "partial", "enclosed", "sharpness", "distance", "free"):
        np.testing.assert_array_equal(moved[variable], truth[variable])
        assert np.isfinite(moved[variable]).all()


def test_a_run_in_the_objectives_own_type_is_another_one(small, start) -> None:
    chain = dynamics(small)["sgd"]
    single, double = (sd.run(chain, start, 4, n_steps=12, dtype=kind)["final_state"] for kind in (None, "float64"))
    assert not np.array_equal(single, double)
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


def test_nothing_is_changed_in_place_and_one_objective_stays_one(small) -> None:
    mover = Mover(None, DOUBLE)
    chain, watched = dynamics(small)["sgd"], observers(small)
    new, (record, leave) = mover((chain, watched))
    assert chain.objective is small and small.dtype == torch.float32
    assert new.objective.dtype == DOUBLE
    assert record.values["bound"].__self__ is new.objective is leave.region.function.__self__
    assert record.values["free"] is watched[0].values["free"]


def test_what_holds_no_objective_or_one_in_place_is_returned_as_it_is(small) -> None:
    chain = sd.SGD(sd.Landscape("x**2/2"), 0.1)
    assert Mover(None, DOUBLE)(chain) is chain
    held = dynamics(small)["svag"]
    assert Mover(torch.device("cpu"), torch.float32)(held) is held


def test_variables_without_objectives_stay_shared_with_the_original_function(small) -> None:
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return small_here.loss(x)

    small_here = small
    Mover(None, DOUBLE)(counted)(torch.zeros(1, small.dim, dtype=DOUBLE))
    assert calls == 1


def test_a_function_that_encloses_itself_is_moved() -> None:
    def loop(n):
        return loop(n - 1) if n else objective

    objective = sd.network(sd.mlp(3, 1), "mse", sd.data.teacher_student(n=10, d=3))
    assert Mover(None, DOUBLE)(loop)(0).dtype == DOUBLE


def test_an_objective_among_the_variables_of_a_module_is_refused_before_the_run(small, start) -> None:
    space: dict = {"objective": small}
    exec("def loss(x):\n    return objective.loss(x)", space)
    watched = [sd.Record([0.0], values={"loss": space["loss"]})]
    wrong = r"loss computes with 'objective', an objective on cpu in torch.float32.*to\(dtype=torch.float64\)"
    with pytest.raises(ValueError, match=wrong):
        sd.run(dynamics(small)["sgd"], start, 4, n_steps=5, dtype="float64", observers=watched)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"device": "cuda:99"}, "device 'cuda:99' is not there"), ({"dtype": "float46"}, "did you mean float64")],
)
def test_devices_and_types_that_are_not_there_are_refused(small, start, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sd.run(dynamics(small)["sgd"], start, 4, n_steps=5, **options)
