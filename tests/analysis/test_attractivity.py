"""The local condition for attraction against closed forms and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import sdesim as sd
from tests.analysis.test_lyapunov import two_layers


def test_condition_of_the_quartic_is_that_of_the_paper():
    for zeta, attractive in ((1.7, False), (1.8, True)):  # 2 μ = 3
        sde = sd.SDE("mu*x - x**3", "zeta*x", params={"mu": 1.5, "zeta": zeta})
        found = sd.attractivity(sde, 0.0, 1.0)
        assert (found.curvature, found.noise) == (pytest.approx(-1.5), pytest.approx(zeta**2 / 2))
        assert found.exponent == pytest.approx(1.5 - zeta**2 / 2)
        assert found.attractive is attractive
        assert np.isnan(found.discrete)
        chain = sd.attractivity(sd.EulerMaruyama(sde, 0.01), 0.0, -3.0)
        assert chain.exponent == pytest.approx(found.exponent)
        assert chain.discrete == pytest.approx(sd.mean_log(1.015, 0.1 * zeta) / 0.01)


def test_two_noises_in_a_plane_add_up_along_the_normal():
    sde = sd.SDE(["-x", "y - x*y"], [["0", "x/2"], ["y/3", "y*x"]])
    found = sd.attractivity(sde, [0.7, 0.0], [0, 2.0])
    assert found.curvature == pytest.approx(-(1 - 0.7))
    assert found.noise == pytest.approx((1 / 9 + 0.49) / 2)
    assert found.exact
    turning = sd.SDE(["-x + y", "-y"], [["0"], ["y"]])
    assert sd.attractivity(turning, [0.0, 0.0], [1.0, 0.0]).exact
    assert not sd.attractivity(turning, [0.0, 0.0], [0.0, 1.0]).exact


@pytest.mark.parametrize(
    ("batch_size", "sampling"), [(1, "fresh"), (2, "replacement"), (2, "fresh"), (3, "epochs"), (6, "fresh")]
)
def test_batches_are_enumerated(batch_size, sampling):
    one, xy, _ = two_layers()
    sgd = sd.SGD(one.objective, 0.8, batch_size=batch_size, sampling=sampling, weight_decay=0.1)
    found = sd.attractivity(sgd, [0.0, 0.0], [1.0, 1.0])
    if sampling == "replacement":
        batches = list(itertools.product(range(6), repeat=batch_size))
    else:
        batches = list(itertools.combinations(range(6), batch_size))
    means = np.array([np.mean([-xy[i] for i in b]) for b in batches]) + 0.1
    assert found.curvature == pytest.approx(means.mean())
    assert found.noise == pytest.approx(0.8 * means.var() / 2)
    assert found.discrete == pytest.approx(np.mean(np.log(np.abs(1 - 0.8 * means))) / 0.8)
    assert found.exponent == pytest.approx(-found.curvature - found.noise)


def test_the_sde_of_minibatches_has_their_curvature_and_noise():
    one, _, _ = two_layers()
    sgd = sd.attractivity(sd.SGD(one.objective, 0.8, batch_size=2), [0.0, 0.0], [1.0, 1.0])
    euler = sd.attractivity(sd.EulerMaruyama(sd.minibatch_sde(one.objective, 0.8, 2), 0.01), [0.0, 0.0], [1.0, 1.0])
    assert euler.exponent == pytest.approx(sgd.exponent)
    assert euler.discrete == pytest.approx(sd.mean_log(1 - 0.01 * sgd.curvature, np.sqrt(0.02 * sgd.noise)) / 0.01)
    assert euler.discrete != pytest.approx(sgd.discrete, rel=1e-2)


def test_weight_decay_of_the_sde_counts():
    one, xy, _ = two_layers()
    sde = sd.minibatch_sde(one.objective, 0.8, 2, weight_decay=0.3)
    found = sd.attractivity(sd.EulerMaruyama(sde, 0.01), [0.0, 0.0], [1.0, 1.0])
    assert found.curvature == pytest.approx(0.3 - xy.mean())
    assert found.exponent == pytest.approx(-found.curvature - found.noise)
    of_sgd = sd.attractivity(sd.SGD(one.objective, 0.8, 2, weight_decay=0.3), [0.0, 0.0], [1.0, 1.0])
    assert found.exponent == pytest.approx(of_sgd.exponent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_kink_at_the_point_has_no_curvature(dtype):
    x, y = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(0)).to(dtype)

    def neuron(activation):
        module = torch.nn.Sequential(torch.nn.Linear(1, 1), activation, torch.nn.Linear(1, 1, bias=False)).to(dtype)
        return sd.SGD(sd.network(module, "mse", (x, y)), 0.1, 2)

    assert sd.attractivity(neuron(torch.nn.Tanh()), [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]).curvature != 0
    with pytest.raises(ValueError, match="has a kink at x along the normal"):
        sd.attractivity(neuron(torch.nn.ReLU()), [0.0, 0.0, 0.0], [1.0, 0.0, 1.0])
    layers = [torch.nn.Linear(1, 1, bias=False) for _ in range(3)]
    flat = sd.network(torch.nn.Sequential(*layers).to(dtype), "mse", (x, y))
    assert sd.attractivity(sd.SGD(flat, 0.1, 2), [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).curvature == 0


def test_float32_is_enough_and_too_many_batches_have_no_sum(monkeypatch):
    one, xy, _ = two_layers()
    sgd = sd.SGD(one.objective.to(dtype=torch.float32), 0.8, batch_size=2)
    found = sd.attractivity(sgd, [0, 0], [1, 1])
    pairs = np.add.outer(xy, xy) / 2
    assert found.exact
    assert found.curvature == pytest.approx(-xy.mean(), rel=1e-5)
    assert found.discrete == pytest.approx(np.mean(np.log(np.abs(1 + 0.8 * pairs))) / 0.8, rel=1e-5)
    monkeypatch.setattr("sdesim.analysis.attractivity.batches.MOST_BATCHES", 35)
    assert np.isnan(sd.attractivity(sgd, [0, 0], [1, 1]).discrete)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sd.attractivity(3, 0.0, 1.0), TypeError, "needs an SDE or a dynamics"),
        (lambda: sd.attractivity(sd.SDE("x", "x"), 0.0, 0.0), ValueError, "normal must not be zero"),
        (lambda: sd.attractivity(sd.SDE("x", "x"), [0.0, 1.0], 1.0), ValueError, "x must be 1 finite"),
        (lambda: sd.attractivity(sd.SDE("x", "x"), 0.5, 1.0), ValueError, "moves x along the normal"),
        (lambda: sd.attractivity(sd.SDE("-x", 1.0), 0.0, 1.0), ValueError, "moves x along the normal"),
        (
            lambda: sd.attractivity(sd.SDE("-x", "x", noise=sd.Stable(1.5)), 0.0, 1.0),
            ValueError,
            "needs Gaussian noise",
        ),
        (lambda: sd.attractivity(two_layers()[0], [0.1, 0.0], [1, 1]), ValueError, "moves x along the normal"),
        (
            lambda: sd.attractivity(sd.Momentum(two_layers()[0].objective, 0.1, 1), [0.0] * 4, [1, 1, 0, 0]),
            TypeError,
            "no factor of Momentum",
        ),
        (
            lambda: sd.attractivity(
                sd.EulerMaruyama(sd.minibatch_sde(two_layers()[0].objective, 0.1, 1, order=2), 0.01), [0, 0], [1, 1]
            ),
            ValueError,
            "order 2 needs third derivatives",
        ),
    ],
)
def test_what_has_no_condition_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
