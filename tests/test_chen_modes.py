"""The modes of a linear network under label noise: the recursion, what it is compared with, and a run."""

import importlib

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.study import catalogue
from tests.chance import ALARM, has_mean, has_share

model = catalogue.find("chen2023collapse")
modes = importlib.import_module("sdesim.models.chen2023collapse.modes")
network = importlib.import_module("sdesim.models.chen2023collapse.linear_network")
full = importlib.import_module("sdesim.models.chen2023collapse.full")
P = modes.Params()


def by_hand(p, sigma, s, steps, n, seed):
    """u of n seeds by the recursion as the paper writes it; u = v."""
    rng, u = np.random.default_rng(seed), np.ones(n)
    for k in range(steps):
        eta = network.rate(p) * (1.0 if k < p.drop else 0.1)
        u = u - eta * (u * u - s + sigma * rng.standard_normal(n)) * u
    return u


def test_recursion_is_sgd_on_the_random_loss_and_keeps_u_equal_to_v():
    options = {"n_steps": 300, "seed": 2, "engine": "reference"}
    one = sd.run(network.modes(P, 7.0, 0.6), [1.0, 1.0], 5, **options)["final_state"]
    other = sd.run(network.at_zero(P, 7.0, 0.6), [1.0, 1.0], 5, **options)["final_state"].isel(component=slice(2))
    np.testing.assert_allclose(one, other, rtol=1e-11)
    np.testing.assert_array_equal(one.sel(component="u"), one.sel(component="v"))


def test_rate_is_a_tenth_from_the_drop_on():
    quiet = modes.Params(drop=40, early=10)
    ds = sd.run(network.modes(quiet, 0.0, 0.6), [1.0, 1.0], 1, n_steps=60, engine="reference")
    assert ds["final_state"].values[0, 0] == pytest.approx(by_hand(quiet, 0.0, 0.6, 60, 1, 0)[0], rel=1e-13)


def test_exponent_is_that_of_a_tangent_at_zero_and_not_that_of_the_equation():
    s, sigma = np.array([0.3, 0.9]), 60.0
    ds = sd.run(network.at_zero(P, sigma), [0.0, 0.0], 1500, n_steps=800, vary={"S": s}, seed=3, threads=1)
    found = sd.lyapunov(ds, level=1 - ALARM)
    exact = network.exponent(P, sigma, s)
    assert ((found.low < exact) & (exact < found.high)).all()
    assert not ((found.low < s) & (s < found.high)).any()
    local = sd.attractivity(network.at_zero(P, sigma, 0.3).dynamics, [0.0, 0.0], [1.0, 1.0])
    assert local.discrete == pytest.approx(exact[0])
    assert local.exponent == pytest.approx(0.3 - network.rate(P) * sigma**2 / 2)


def test_data_have_the_stated_singular_values_and_loss():
    s, part, size = network.teacher()
    assert size == pytest.approx((np.linspace(0.5, 1.0, 8) ** 2).sum())
    assert (np.diff(s) < 0).all() and s[-1] > 0
    strength = sd.run(network.modes(P), [0.5, 1.0], 1, n_steps=1, vary={"S": s}, engine="reference")["final_state"]
    strengths = network.product(strength * 0 + 1)
    assert network.test_loss(strengths).item() == pytest.approx((64 - 2 * part.sum() + size) / 2)


def test_curve_solves_its_equation():
    t, h = np.array([0.5, 3.0]), 1e-5
    slope = (network.curve(P, 10.0, t + h) - network.curve(P, 10.0, t - h)) / (2 * h)
    s, strong = network.curve(P, 10.0, t), network.teacher()[0] - network.rate(P) * 50
    np.testing.assert_allclose(slope, 2 * s * (strong - s), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(network.curve(P, 10.0, [0.0]), 1.0)


@pytest.mark.parametrize("s", [0.3, 0.7])
def test_share_of_surviving_modes_is_that_of_the_recursion(monkeypatch, s):
    monkeypatch.setattr(network, "STEPS", 6000)
    p = modes.Params(drop=5000)
    alive = by_hand(p, 20.0, s, 6000, 4000, 5) ** 2 > network.COLLAPSED
    found = network.surviving(p, 20.0, s, p.drop)
    assert has_share(alive, found)
    assert not has_share(alive, network.surviving(p, 20.0, s + 0.15, p.drop))
    assert network.surviving(p, 20.0, s, p.drop, turns=1000) == pytest.approx(found, abs=2e-3)


def test_long_run_mean_of_a_strong_mode_is_shifted_by_the_noise():
    s = by_hand(P, 10.0, 1.0, 4000, 4000, 6) ** 2
    shift = network.rate(P) * 50
    assert has_mean(s, 1 - shift, bias=2e-3)
    assert not has_mean(s, 1.0, bias=2e-3)


def test_student_is_a_product_of_two_layers_with_its_rank():
    x = torch.randn(3, 128, generator=torch.Generator().manual_seed(1))
    inputs = torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    matrix = full.product(x)
    outputs = torch.stack([full.student(4.0).predict(row, inputs) for row in x])
    torch.testing.assert_close(outputs, inputs @ matrix.mT)
    x[0, :64] = 0.0
    assert full.rank(x).tolist() == [0, *(np.linalg.svd(matrix[1:].numpy())[1] > 0.05).sum(1)]


@pytest.mark.parametrize("part", ["modes", "full"])
def test_parts_run_and_draw_their_figures(monkeypatch, part):
    monkeypatch.setattr(modes, "predicted", lambda p, sigma, drop: 10.0)
    monkeypatch.setattr(modes, "STEPS", 300)
    given = {"sigmas": (0.0, 10.0), "drop": 200, "early": 100} if part == "modes" else {"t_max": 0.4, "batches": (1, 8)}
    ds = model.run(model.params(experiment=part, **given), n_paths=2, seed=1)
    drawn = model.figure(ds)
    assert len(drawn.axes) == (3 if part == "modes" else 2)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in drawn.axes)
