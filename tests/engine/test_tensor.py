"""The tensor engine: blocks, refills, interruption, functions of tensors, devices and types."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.core import philox
from sdesim.core.ops import NUMPY
from sdesim.core.torch_ops import TORCH, TorchOps, turn_words, words
from sdesim.engine import draws, tensor
from sdesim.problems import laws
from tests import chance
from tests.engine.named import LEFT, WELL, sgd, well

EXIT = [sd.FirstExit(sd.Interval(high=0.0)), sd.Record([0.0, 0.4, 3.0])]


def run(n_paths=100, dynamics=None, **more):
    more = {"t_max": 20.0, "seed": 3, "observers": EXIT, "engine": "tensor", **more}
    return sd.run(dynamics or well(), -1.0, n_paths, **more)


def same(a, b):
    return all(np.array_equal(a[v].values, b[v].values, equal_nan=a[v].dtype.kind == "f") for v in a.data_vars)


def test_results_do_not_depend_on_the_block_the_split_or_the_threads():
    whole = run()
    assert same(whole, run(block=16))
    assert same(whole, run(threads=1))
    assert same(whole, sd.concat([run(60), run(40, start_path=60)]))
    assert same(whole.isel(path=slice(0, 30)), run(30))
    assert not same(whole, run(seed=4))


def test_lanes_of_ended_paths_take_new_ones_and_the_cost_follows_the_sum_of_the_exit_times(monkeypatch):
    moved = []
    step = tensor._Block._turn

    def counted(self):
        moved.append(len(self.row))
        step(self)

    monkeypatch.setattr(tensor._Block, "_turn", counted)
    ds = run(4000, t_max=1000.0, block=256)
    assert (ds.status == sd.Status.EXITED).all()
    useful = int(ds.n_steps.sum())
    assert useful <= sum(moved) <= 1.1 * useful
    assert 4000 * int(ds.n_steps.max()) > 5 * useful  # what a masked batch would have paid


class Stop:
    """Stops a run at its n-th question."""

    def __init__(self, n):
        self.left = n

    def __call__(self, limit):
        return lambda: self.count() < 0

    def count(self):
        self.left -= 1
        return self.left


@pytest.mark.parametrize("after", [1, 40, 200])
@pytest.mark.parametrize("observers", [EXIT, [sd.Passages(WELL), sd.Moments([0.0, 0.5, 4.0])]], ids=["exit", "wells"])
def test_an_interrupted_run_is_completed_bit_for_bit(after, observers, monkeypatch):
    whole = run(observers=observers, block=32)
    with monkeypatch.context() as patch:
        patch.setattr("sdesim.engine.run._stopper", Stop(after))
        part = run(observers=observers, block=32)
    assert (part.status == sd.Status.INTERRUPTED).any()
    assert same(run(observers=observers, block=32, resume=part), whole)


def test_an_interrupted_grid_is_completed_bit_for_bit(monkeypatch):
    more = {"observers": [sd.Moments([0.0, 4.0])], "block": 32, "vary": {"diffusion": [0.5, 0.7]}}
    whole = run(**more)
    with monkeypatch.context() as patch:
        patch.setattr("sdesim.engine.run._stopper", Stop(40))
        part = run(**more)
    assert (part.status.sel(diffusion=0.7) == sd.Status.INTERRUPTED).all()
    assert same(run(resume=part, **more), whole)


def test_ctrl_c_returns_what_is_finished():
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.perf_counter()
    ds = run(64, t_max=1e6, observers=[])
    assert time.perf_counter() - began < 5
    assert (ds.status == sd.Status.INTERRUPTED).all()
    assert (ds.n_steps > 0).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_wall_time_limit_stops_the_run():
    ds = run(64, t_max=1e6, observers=[], wall_time=0.3)
    assert (ds.status == sd.Status.INTERRUPTED).all()


def test_single_precision_follows_double_for_a_while_and_says_so():
    double, single = run(t_max=0.5), run(t_max=0.5, dtype="float32")
    assert single.attrs["dtype"] == "float32"
    assert double.attrs["dtype"] == "float64"
    error = np.abs(single.final_state - double.final_state).max()
    assert 0 < error < 1e-4


def test_a_path_that_blows_up_is_marked_and_the_rest_unharmed():
    wild = sd.EulerMaruyama(sd.SDE("x**3", 1.0), 0.1)
    ds = sd.run(wild, 0.0, 64, n_steps=60, engine="tensor", block=16)
    native = sd.run(wild, 0.0, 64, n_steps=60)
    assert np.array_equal(ds.status, native.status)
    assert 0 < (ds.status == sd.Status.DIVERGED).sum() < 64


def test_functions_of_tensors_are_recorded_and_stop_paths():
    def square(x):
        return (x**2).sum(dim=1)

    observers = [
        sd.Record([0.0, 0.4, 3.0], values={"square": square}, state=True),
        sd.FirstExit(sd.Below(square, 2.0)),
    ]
    ds = sd.run(well(), -1.0, 50, t_max=20.0, seed=3, observers=observers)
    assert ds.attrs["engine"] == "tensor"
    np.testing.assert_allclose(ds.square, ds.state**2, rtol=1e-14)
    plain = run(50, observers=[sd.FirstExit(sd.Interval(-(2**0.5), 2**0.5), correction=None)])
    assert np.array_equal(ds.n_steps, plain.n_steps)
    assert np.array_equal(ds.status, plain.status)


def test_a_region_is_looked_at_every_so_many_steps():
    def distance(x):
        return x.abs().sum(dim=1)

    ds = run(50, observers=[sd.FirstExit(sd.Below(distance, 1.5, every=10)), sd.Record([0.05, 0.13])])
    left = ds.n_steps.values[ds.status == sd.Status.EXITED]
    assert len(left) > 5
    assert (left % 10 == 0).all()
    path = run(50, observers=[sd.Record(0.02 * np.arange(0, 1000, 10))]).state.values
    first = np.argmax(np.abs(path) >= 1.5, axis=1)
    crossed = np.abs(path).max(axis=1) >= 1.5
    assert np.array_equal(ds.n_steps.values[crossed], 10 * first[crossed])


def test_words_and_variates_of_tensors_are_numpys(monkeypatch):
    ids, block = torch.arange(400) + (7 << 40), torch.arange(400) * 5 + (3 << 33)
    expected = np.stack(philox.words(11 + (5 << 40), ids.numpy(), 2, block.numpy()), axis=-1)
    found = words(11 + (5 << 40), ids, 2, block)
    assert np.array_equal(found.numpy().view(np.uint64), expected)
    for name in ("uniform", "normal_pair"):
        got, truth = getattr(TORCH, name)(found[:, 0]), getattr(NUMPY, name)(expected[:, 0])
        np.testing.assert_allclose(np.asarray(got), np.asarray(truth), rtol=1e-14)


def test_the_arithmetic_of_other_devices_gives_the_same_words_and_normals(monkeypatch):
    ids, block = torch.arange(400) + (7 << 40), torch.arange(400) * 5 + (3 << 33)
    compiled = words(9, ids, 2, block), TORCH.normal_pair(words(9, ids, 2, block)[:, 1])
    turns = turn_words(9, ids, 2, block, 3)
    assert torch.equal(turns[:, 2:4], words(9, ids, 2, 3 * block + 1))
    monkeypatch.setattr("sdesim.core.torch_ops._compiled", lambda t: False)
    assert torch.equal(words(9, ids, 2, block), compiled[0])
    assert torch.equal(turn_words(9, ids, 2, block, 3), turns)
    for got, truth in zip(TorchOps.normal_pair(compiled[0][:, 1]), compiled[1], strict=True):
        torch.testing.assert_close(got, truth, rtol=1e-14, atol=0)


LAWS = [
    laws.Gaussian(1.5), laws.Pareto(1.4), laws.StudentT(3.0), laws.Uniform(2.0), laws.Rademacher(2.0),
    laws.Stable(1.3, isotropic=False), laws.Stable(1.3, isotropic=True),
]  # fmt: skip


@pytest.mark.parametrize("m", [17, 18, 20, 23])
@pytest.mark.parametrize("law", LAWS, ids=str)
def test_draws_of_many_components_are_those_of_components_one_by_one(law, m):
    found = torch.from_numpy(np.random.default_rng(m).integers(-(1 << 63), 1 << 63, (5, 2 * law.rounds(m).blocks)))
    together = draws.variates(law, m, found)
    apart = [torch.stack(step, dim=-1) for step in law.draw(TORCH, m, list(found.unbind(1)))]
    assert len(together) == len(apart) == law.rounds(m).steps
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)
        assert a.shape == (5, m)


def test_steps_of_recursions_have_the_operators_exit_time():
    dynamics = sgd(sd.Gaussian(4.0))
    ds = sd.run(dynamics, -1.0, 4000, n_steps=100_000, observers=[sd.FirstExit(LEFT)], engine="tensor", seed=8)
    exact = float(np.ravel(sd.theory.chain_exit_time(dynamics, -1.0, LEFT).value)[0])
    assert chance.has_mean(ds.exit_time.values, exact)
    assert not chance.has_mean(ds.exit_time.values, 1.15 * exact)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"device": "cuda:99"}, "device 'cuda:99' is not there; use one of cpu"),
        ({"device": "gpu"}, "device 'gpu' is not there"),
        ({"dtype": "double"}, "unknown dtype 'double'"),
        ({"block": 0}, "block must be"),
        ({"engine": "native", "block": 4}, "block=4 is for engine='tensor'"),
        ({"engine": "native", "observers": [sd.FirstExit(sd.Below(abs, 1.0))]}, "use engine='tensor' for Below"),
        ({"engine": "tensors"}, "did you mean tensor"),
        ({"observers": [sd.Record([0.1], values={"wide": lambda x: x})]}, "one number a path"),
    ],
)
def test_bad_input_is_refused(more, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run(8, **more)


def test_a_recorded_value_cannot_take_a_name_of_the_dataset():
    with pytest.raises(ValueError, match="cannot use the name 'status'"):
        sd.Record([0.1], values={"status": abs})


def test_memory_that_does_not_suffice_is_said_with_the_number_of_paths_that_fit():
    def hungry(t, x):
        if len(x) > 20:
            raise torch.OutOfMemoryError("no")
        return -x

    sde = sd.from_torchsde(Hungry(hungry), 1)
    with pytest.raises(MemoryError, match="a block of 112 paths does not fit on cpu, 14 paths fit: block=14"):
        sd.run(sd.EulerMaruyama(sde, 0.01), 1.0, 100, n_steps=5)
    assert sd.run(sd.EulerMaruyama(sde, 0.01), 1.0, 100, n_steps=5, block=14).sizes["path"] == 100


class Hungry:
    """dX = f(t, X) dt + dW in torchsde's form."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, f):
        self.f = f

    def g(self, t, x):
        return torch.ones_like(x)


def test_the_command_in_the_dataset_says_where_it_was_computed():
    first = sd.run(sd.SGD(sd.Landscape("x**2/2"), 0.1), 0.5, 3, n_steps=4, dtype="float32", vary={"lr": [0.1, 0.2]})
    assert first.attrs["command"].endswith(", vary={'lr': [0.1, 0.2]}, engine='tensor', dtype='float32')")
    plain = sd.run(sd.SGD(sd.Landscape("x**2/2"), 0.1), 0.5, 3, n_steps=4, engine="reference")
    assert plain.attrs["command"].endswith("start_path=0, engine='reference')")
