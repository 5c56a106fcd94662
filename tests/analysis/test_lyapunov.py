"""Measured Lyapunov exponents against closed forms, by formulas and by networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sdesim as sd
from tests.chance import ALARM

MU, DT = 1.5, 0.0025


def quartic(zeta=1.0):
    return sd.EulerMaruyama(sd.SDE("mu*x - x**3", "zeta*x", params={"mu": MU, "zeta": zeta}), DT)


def inside(found, value):
    return bool(np.all((found.low < value) & (value < found.high)))


@pytest.fixture(scope="module")
def at_origin():
    return sd.run(
        sd.Tangent(quartic()), 0.0, 2000, t_max=20.0, vary={"zeta": [0.5, 1.5, 3.0]}, seed=1, threads=1,
        observers=[sd.Record([5.0])],
    )  # fmt: skip


@pytest.mark.parametrize("after", [0.0, 5.0])
def test_exponent_of_the_quartic_at_its_maximum_is_that_of_the_euler_factor(at_origin, after):
    zeta = at_origin["zeta"].values
    exact = sd.mean_log(1 + MU * DT, zeta * np.sqrt(DT)) / DT
    found = sd.lyapunov(at_origin, after, 1 - ALARM)
    assert found.value.dims == ("zeta",)
    assert all(v.attrs["units"] == "1/time" for v in (found.value, found.low, found.high))
    assert inside(found, exact)
    assert not inside(found, MU + zeta**2 / 2)  # the Stratonovich reading
    assert not inside(found, MU - zeta**2)


def test_exponent_on_the_attractor_of_the_quartic_is_minus_the_mean_curvature(at_origin):
    """x is stationary away from 0: dv = (μ - 3x²) v dt + ζ v dB, and E x² = μ - ζ²/2, so λ = -2 (μ - ζ²/2)."""
    ds = sd.run(
        sd.Tangent(quartic()), 1.0, 1000, t_max=60.0, vary={"zeta": [0.5]}, seed=2, threads=1,
        observers=[sd.Record([10.0])],
    )  # fmt: skip
    found = sd.lyapunov(ds, 10.0, 1 - ALARM)
    assert abs(found.value.item() + 2 * (MU - 0.125)) < 0.02 * 2.75  # Euler steps of .0025
    assert (found.high - found.low).item() < 0.1
    assert found.value.item() < sd.lyapunov(at_origin).value[0].item()


def test_growth_of_a_recorded_distance_has_the_same_exponent():
    far = sd.run(
        quartic(2.5), 1e-60, 400, t_max=10.0, seed=3, observers=[sd.Record([2.0, 10.0])], engine="reference"
    )  # fmt: skip
    far["distance"] = abs(far["state"])
    exact = sd.mean_log(1 + MU * DT, 2.5 * np.sqrt(DT)) / DT
    found = sd.lyapunov(far, 2.0, 1 - ALARM, distance="distance")
    assert inside(found, exact)
    assert not inside(found, exact * 1.4)
    with pytest.raises(ValueError, match="is 0 or below on 400 paths"):
        sd.lyapunov(far.assign(distance=far["distance"] * 0), 2.0, distance="distance")


def test_transverse_exponent_is_that_of_the_difference():
    """Steps (1 + dt [[a, b], [b, a]] + c dW): sums grow by 1 + (a + b) dt + c dW, differences with a - b."""
    a, b, c, dt = 0.5, 0.4, 0.7, 0.01
    sde = sd.SDE(["a*x + b*y", "a*y + b*x"], [["c*x"], ["c*y"]], params={"a": a, "b": b, "c": c})
    for normal_to, rate in ((None, a + b), ([[1, -1]], a - b)):
        tangent = sd.Tangent(sd.EulerMaruyama(sde, dt), normal_to)
        x0 = [1e-300, 1e-300]
        ds = sd.run(tangent, x0, 800, n_steps=1500, seed=6, engine="tensor", threads=1, observers=[sd.Record([5.0])])
        found = sd.lyapunov(ds, 5.0, 1 - ALARM)
        assert inside(found, sd.mean_log(1 + rate * dt, c * np.sqrt(dt)) / dt)
        assert not inside(found, sd.mean_log(1 + (a + (b if normal_to else -b)) * dt, c * np.sqrt(dt)) / dt)


def test_diverged_paths_give_nan_where_they_are_and_nowhere_else():
    dynamics = sd.Tangent(sd.SGD(sd.Landscape("x**4/4"), 0.01, noise=sd.Gaussian(0.1)))
    ds = sd.run(dynamics, 1.0, 8, n_steps=50, vary={"lr": [0.01, 100.0]}, engine="reference")
    found = sd.lyapunov(ds)
    assert np.isfinite(found.value[0])
    assert np.isnan(found.value[1]) and np.isnan(found.low[1]) and np.isnan(found.high[1])


def two_layers(sampling="replacement", **options):
    """f = u v x with the data of `tests`: at u = v = 0 the Hessian of example i is -x_i y_i [[0, 1], [1, 0]]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 1))
    y = 0.5 * x + rng.normal(size=(6, 1))
    module = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)).double()
    half = lambda out, target: ((out - target) ** 2).sum(-1) / 2  # noqa: E731
    problem = sd.network(module, half, (torch.tensor(x), torch.tensor(y)))
    return sd.SGD(problem, 0.8, batch_size=1, sampling=sampling, **options), (x * y)[:, 0], x[:, 0]


@pytest.mark.parametrize("label_noise", [0.0, 0.6])
def test_exponent_of_a_trained_neuron_is_the_mean_log_over_examples(label_noise):
    """h_i = ∓ x_i (y_i + σ ξ) along (1, ±1)/√2, both normal to the set u = v = 0; the larger exponent is found."""
    sgd, xy, x = two_layers(label_noise=label_noise)
    exponents = [
        float(np.mean(sd.mean_log(1 + sign * sgd.lr * xy, sgd.lr * label_noise * x)) / sgd.lr) for sign in (1, -1)
    ]
    silent = sd.invariant.VanishingNeurons(sgd.objective, 0, [0])
    tangent = sd.Tangent(sgd, silent)
    ds = sd.run(tangent, [0.0, 0.0], 128, n_steps=1000, seed=5, threads=1, observers=[sd.Record([160.0])], block=128)
    found = sd.lyapunov(ds, 160.0, 1 - ALARM)
    assert inside(found, max(exponents))
    assert not inside(found, min(exponents))
    for sign, exact in zip((1, -1), exponents, strict=True):
        local = sd.attractivity(sgd, [0.0, 0.0], [1.0, sign])
        assert local.discrete == pytest.approx(exact, rel=1e-10)
        assert local.exact
        assert local.curvature == pytest.approx(-sign * xy.mean())
        variance = xy.var() + label_noise**2 * (x**2).mean()
        assert local.noise == pytest.approx(sgd.lr * variance / 2)


def test_bad_questions_are_refused():
    ds = sd.run(sd.Tangent(quartic()), 0.0, 3, n_steps=10, engine="reference")
    plain = sd.run(quartic(), 0.1, 3, n_steps=10, engine="reference", observers=[sd.Record([0.0])])
    to_the_end = sd.run(
        sd.Tangent(quartic()), 0.0, 3, n_steps=4, engine="reference", observers=[sd.Record([4 * DT, 20 * DT])]
    )
    for call, message in (
        (lambda: sd.lyapunov(plain), "run Tangent"),
        (lambda: sd.lyapunov(to_the_end, 4 * DT), "no step was taken later than after=0.01, the last one was at 0.01"),
        (lambda: sd.lyapunov(to_the_end, 20 * DT), "no step was taken later than after=0.05"),
        (lambda: sd.lyapunov(ds, level=1.0), "level must be in"),
        (lambda: sd.lyapunov(ds.assign(status=ds["status"] * 0 + sd.Status.EXITED)), "3 paths were stopped by an exit"),
        (lambda: sd.lyapunov(ds, 0.01), "needs the state at that time"),
        (lambda: sd.lyapunov(ds.isel(path=[0])), "at least two paths"),
        (lambda: sd.lyapunov(plain, distance="stat"), "no variable 'stat': did you mean state"),
        (lambda: sd.lyapunov(plain, distance="status"), "record it at two times"),
        (lambda: sd.lyapunov(plain, distance="state"), "at no time later than 0"),
        (lambda: sd.lyapunov(plain, 0.3, distance="state"), "nothing was recorded at time 0.3"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
