"""The single neuron of the model of stochastic collapse, against the linear equation at its origin."""

import importlib

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.study import catalogue
from tests.chance import ALARM

model = catalogue.find("chen2023collapse")
parts = importlib.import_module("sdesim.models.chen2023collapse.neuron")
P = parts.Params()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("eta", [0.5, 2.0, 4.0])
def test_origin_has_the_curvature_and_noise_of_the_linear_equation(eta, sign):
    chain = parts.chain(P, eta).dynamics
    found = sd.attractivity(chain, [0.0, 0.0], [1.0, sign])
    assert found.exact
    assert found.curvature == pytest.approx(-sign * np.mean(parts.X * parts.Y))
    assert found.noise == pytest.approx(eta * np.mean(parts.X**2) / 2)
    assert found.discrete == pytest.approx(parts.chain_exponent(P, eta, sign), rel=1e-9)
    assert found.attractive is bool(sign < 0 or eta > parts.threshold(P))


def test_drift_is_minus_the_gradient_of_the_mean_loss_and_noise_the_gradients_of_the_outputs():
    chain, w, h = parts.chain(P, 1.5).dynamics, np.array([0.7, -1.2]), 1e-6

    def output(w):
        return w[1] * np.tanh(w[0] * parts.X)

    def loss(w):
        return np.mean((output(w) - parts.Y) ** 2) / 2

    drift, noise = chain.sde.coefficients(NUMPY, w, 0.0)
    slopes = np.array([[(f(w + h * e) - f(w - h * e)) / (2 * h) for e in np.eye(2)] for f in (loss,)])[0]
    np.testing.assert_allclose(drift, -slopes, rtol=1e-6)
    fields = np.array([(output(w + h * e) - output(w - h * e)) / (2 * h) for e in np.eye(2)])
    np.testing.assert_allclose(np.array(noise, dtype=float), np.sqrt(1.5 / parts.M) * fields, rtol=1e-6)


def test_measured_exponents_are_those_of_both_diagonals():
    for x0, sign, t_max in ((parts.ALONG, 1, 5.0), (parts.ACROSS, -1, 3.0)):
        options = {"t_max": t_max, "seed": 3, "engine": "tensor", "threads": 1}  # 32 noises take long to compile
        found = sd.lyapunov(sd.run(parts.chain(P, 2.0), x0, 400, **options), level=1 - ALARM)
        assert found.low < parts.chain_exponent(P, 2.0, sign) < found.high
        assert not found.low < parts.chain_exponent(P, 2.0, -sign) < found.high


def test_starts_are_those_of_their_paths():
    start = parts.Small()
    whole = start.fresh_states(5, seed=1)
    np.testing.assert_array_equal(start.fresh_states(2, 1, start_path=3), whole[3:])
    assert not np.array_equal(start.fresh_states(5, seed=2), whole)


def test_model_runs_and_draws_its_figure():
    ds = model.run(model.params(experiment="neuron", t_max=0.2, cells=3), n_paths=20, seed=1, engine="tensor")
    assert dict(ds.sizes) == {"dynamics": 2, "eta": 3, "path": 20, "component": 5}
    assert [ax.get_xlabel() for ax in model.figure(ds).axes] == ["learning rate η"] * 2
