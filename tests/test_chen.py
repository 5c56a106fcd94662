"""The special functions of the model of stochastic collapse, and one run of it."""

import importlib
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

import sdesim as sd
from sdesim.study import catalogue
from tests.chance import has_mean

model = catalogue.find("chen2023collapse")
parts = importlib.import_module("sdesim.models.chen2023collapse.quartic")


@pytest.mark.parametrize(("mu", "zeta", "dt"), [(1.5, 3.0, 0.0025), (0.25, 1.0, 0.01), (3.0, 0.0, 0.0025)])
def test_exponent_of_euler_steps_matches_adaptive_quadrature(mu: float, zeta: float, dt: float) -> None:
    def integrand(z: float) -> float:
        return math.log(abs(1 + mu * dt + zeta * math.sqrt(dt) * z)) * scipy.stats.norm.pdf(z)

    truth, _ = scipy.integrate.quad(integrand, -6, 6, epsabs=1e-13, limit=200)
    assert parts.chain_exponent(mu, zeta, dt) == pytest.approx(truth / dt, rel=1e-5)


def test_exponent_of_euler_steps_tends_to_that_of_the_equation_with_the_step() -> None:
    errors = [parts.chain_exponent(1.5, 2.0, dt) + 0.5 for dt in (1e-4, 1e-5)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(("mu", "zeta"), [(1.5, 0.5), (1.5, 1.0), (1.5, 1.25), (3.0, 1.0)])
def test_stationary_law_is_a_gamma_law_of_the_square(mu: float, zeta: float) -> None:
    at, density, below = parts.stationary(mu, zeta)
    law = scipy.stats.gamma(mu / zeta**2 - 0.5, scale=zeta**2)
    seen = (at > 1e-6) & (law.logsf(at**2) > -30)
    np.testing.assert_allclose(below, law.cdf(at**2), atol=1e-7)  # trapezia of width 3e-4
    np.testing.assert_allclose(density[seen], 2 * at[seen] * law.pdf(at[seen] ** 2), rtol=1e-6)


def test_measured_threshold_is_that_of_the_euler_steps_and_not_a_wrong_one() -> None:
    p = parts.Params()
    x = parts.measured(lambda x, level: x, 1.0, parts.SMALL, 4000, {"zeta": np.linspace(1.5, 2.0, 5)})(3, 0.5)
    found = parts.threshold(x, 1 - 1e-7)
    root = scipy.optimize.brentq(lambda zeta: parts.chain_exponent(p.mu, zeta, p.dt), 1.5, 2.0) ** 2
    assert found.low < root < found.high
    assert found.high < 1.05 * 2 * p.mu


def test_logarithm_and_state_fall_alike_with_a_small_step() -> None:
    p = parts.Params(dt=1e-3, t_max=2.0)
    y = sd.run(parts.logarithm(p, 1.0), math.log(0.3), 20_000, t_max=2.0, seed=4)["final_state"]
    theta = sd.run(parts.quartic(p, 1.0), 0.3, 20_000, t_max=2.0, seed=5)["final_state"]
    drift = np.log(np.abs(theta.values)).ravel() - y.values.ravel()
    assert has_mean(drift, 0.0, bias=2e-3)
    assert not has_mean(drift, 0.1)


def test_model_runs_and_draws_its_figure() -> None:
    ds = model.run(model.params(t_max=1.0, cells=4), n_paths=20, seed=1)
    assert dict(ds.sizes) == {"dynamics": 2, "zeta": 5, "mu": 4, "path": 20}
    quiet = ds["final_state"].sel(dynamics=parts.NEAR, zeta=0.0)
    for mu in ds["mu"].values:
        np.testing.assert_allclose(np.log(quiet.sel(mu=mu) / parts.SMALL), 400 * math.log1p(mu * 0.0025))
    titles = [ax.get_title() for ax in model.figure(ds).axes]
    assert "μ = 1.5" in titles


def test_an_experiment_or_a_parameter_of_another_one_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown experiment 'quartik' of chen2023collapse: did you mean quartic"):
        model.build(model.params(experiment="quartik"))
    with pytest.raises(ValueError, match="has no parameter 'zeta_mx': did you mean zeta_max"):
        model.params(zeta_mx=2.0)
