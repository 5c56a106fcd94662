"""Exponents of re-entrant collapse by adaptive quadrature and enumeration, their edges, and one run of the model."""

import importlib
import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import sdesim as sd
from sdesim.study import catalogue
from tests import chance

model = catalogue.find("reentrant")
part = importlib.import_module("sdesim.models.reentrant")
P = part.P


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("rung", [1, 4])
def test_the_exponent_for_normal_noise_is_the_integral_over_two_draws(noise, rung):
    """A step of SVAG adds a ξ + b ξ' with a² + b² = l; the singularity of the logarithm is split off."""
    spread = (
        noise * math.sqrt(((1 + math.sqrt(2 * rung - 1)) / 2) ** 2 + ((1 - math.sqrt(2 * rung - 1)) / 2) ** 2) / rung
    )
    root = -(1 + 0.1 / rung) / spread

    def integrand(z):
        return math.log(abs(1 + 0.1 / rung + spread * z)) * scipy.stats.norm.pdf(z)

    pieces = [scipy.integrate.quad(integrand, *ends, limit=400, epsabs=1e-9)[0] for ends in ((-12, root), (root, 12))]
    assert float(part.predicted(P, noise, rung)) == pytest.approx(rung * sum(pieces), abs=1e-7)


@pytest.mark.parametrize("rung", [1, 2, 8])
def test_the_exponent_for_coins_is_the_mean_over_the_steps_of_all_signs(rung):
    """From the steps of the dynamics themselves, close to the origin."""
    chain, small = sd.SVAG(part.LOSS, P.lr, l=rung, noise=sd.Rademacher(), params={"sigma": 7.0}, random="xi"), 1e-9
    from sdesim.core.ops import NUMPY

    signs = np.array(list(itertools.product([1.0, -1.0], repeat=chain.noise_dim)))
    new = chain.step(NUMPY, np.full((len(signs), 2), small), signs, 0)
    exact = rung * np.log(np.abs(new[:, 0] / small)).mean()
    assert float(part.coin_exponent(P, 0.7, rung)) == pytest.approx(exact, rel=1e-9)
    if rung == 1:
        assert exact == pytest.approx(0.5 * math.log(abs(1.1**2 - 0.49)), rel=1e-9)


def test_edges_are_those_of_the_closed_forms():
    low, high = part.window(P)
    assert (round(low, 3), round(high, 3)) == (0.412, 1.454)
    for sign, (inside, outside) in {1: (1.1001, 5.0), -1: (1.0999, 1e-9)}.items():
        found = part.edge(lambda r: part.coin_exponent(P, r), inside, outside)
        assert found == pytest.approx(math.sqrt(1.1**2 + sign), rel=1e-9)
    assert np.isnan(part.window(part.Params(S=2.9))).all()  # ηS = 0.29 is too strong for normal noise
    assert not np.isnan(part.window(part.Params(S=2.7))).any()


def test_svag_tends_to_the_equation_at_the_rate_of_the_expansion():
    """l E log(1 + x) with x = (ηS + √l r Z)/l, to order 1/l: ηS - r²/2 + (ηS r² - (ηS)²/2 - 3 r⁴/4)/l."""
    r, rung = 1.5, 20_000
    gap = float(part.predicted(P, r, rung) - part.predicted(P, r, np.inf))
    assert rung * gap == pytest.approx(0.1 * r**2 - 0.005 - 0.75 * r**4, rel=2e-3)


def test_measured_growth_is_that_of_the_prediction_and_not_of_the_equation():
    ds = model.run(model.params(points=3, steps=100), n_paths=400, seed=2)
    found = part.growth(ds, model.params_of(ds))
    for name, rung in (("SGD", 1), ("SVAG l=2", 2), ("SVAG l=8", 8)):
        for i, sigma in enumerate(found["sigma"].values):
            row = found.sel(dynamics=name).isel(sigma=i).values
            assert chance.has_mean(row, float(part.predicted(P, sigma * P.lr, rung)))
    last = found.sel(dynamics="SGD").isel(sigma=-1).values
    assert not chance.has_mean(last, float(part.predicted(P, 2.2, np.inf)))
    titles = [ax.get_title() for ax in model.figure(ds).axes]
    assert titles == ["ηS = 0.1, normal noise", "windows of collapse"]
