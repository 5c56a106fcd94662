"""The exponent by quadrature of the heavy-tailed collapse model, its shape, and the recursion it belongs to."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate

import sdesim as sd
from sdesim.study import catalogue
from tests.chance import ALARM, has_mean

model = catalogue.find("heavytail_collapse")
parts = sys.modules[model.build.__module__]
P = model.params()
A = 1 + P.lr * P.mu


def by_parts(alpha: float, s: float, b: float) -> float:
    """log a - PV ∫₀ᵇ H(y) y / (a² - y²) dy by Cauchy weights and adaptive quadrature."""

    def tail(y: float) -> float:
        return (1 + y / s) ** -alpha

    options = {"epsabs": 1e-12, "epsrel": 1e-11, "limit": 1000}
    if b < A:
        return math.log(A) - scipy.integrate.quad(lambda y: tail(y) * y / (A * A - y * y), 0, b, **options)[0]
    near = min(b, 2 * A)
    value = scipy.integrate.quad(lambda y: tail(y) * y / (A + y), 0, near, weight="cauchy", wvar=A, **options)[0]
    if b > near:
        value += scipy.integrate.quad(lambda y: tail(y) * y / (y * y - A * A), near, b, **options)[0]
    return math.log(A) + value


@pytest.mark.parametrize("alpha", [0.5, 1.2, 1.9, 5.0])
@pytest.mark.parametrize("b", [0.3, 1.05, 1.2, 3.0, math.inf])
@pytest.mark.parametrize("zeta", [0.5, 5.0, 20.0])
def test_exponent_is_the_principal_value_integral(alpha: float, b: float, zeta: float) -> None:
    found = parts.exponent(P, alpha, zeta, b)
    assert float(found.value) == pytest.approx(by_parts(alpha, P.lr * zeta, b), abs=1e-9)
    assert float(found.error) < 1e-10


def test_error_of_the_quadrature_covers_its_distance_from_finer_nodes() -> None:
    for h in (1 / 2, 1 / 4):
        coarse, fine, finest = (float(parts.quadrature(A, 0.5, 1.5, 1.2, h / n)) for n in (1, 2, 16))
        assert abs(fine - finest) <= abs(fine - coarse)
        assert abs(coarse - finest) > 1e-14


def test_slope_in_the_clipping_is_that_of_the_docstring() -> None:
    for b in (0.4, 0.9, 1.3, 2.5):
        high, low = (float(parts.exponent(P, 1.5, 5.0, b + d).value) for d in (1e-5, -1e-5))
        assert (high - low) / 2e-5 == pytest.approx(-((1 + b / 0.5) ** -1.5) * b / (A * A - b * b), rel=1e-5)


def test_one_clipped_jump_can_reach_the_set_where_b_is_a() -> None:
    assert parts.exponent(P, 1.5, 5.0, A).value == -math.inf


def test_clipping_above_a_always_lowers_the_exponent_and_none_is_left_below_the_root() -> None:
    zeta = np.geomspace(1.0, 1e4, 60)
    for alpha in (0.7, 1.5, 5.0):
        free = parts.exponent(P, alpha, zeta).value
        for b in (1.11, 1.5, 3.0):
            assert (parts.exponent(P, alpha, zeta, b).value < free).all()
        assert (parts.exponent(P, alpha, zeta, math.sqrt(A * A - 1)).value > 0).all()
        assert parts.exponent(P, alpha, 1e12, 1.01 * math.sqrt(A * A - 1)).value < 0
        assert parts.exponent(P, alpha, 1e12, 0.99 * math.sqrt(A * A + 1)).value < 0
        assert parts.exponent(P, alpha, 1e12, 1.01 * math.sqrt(A * A + 1)).value > 0


@pytest.mark.parametrize(("alpha", "window"), [(3.63, False), (3.65, True)])
def test_unclipped_collapse_begins_at_the_stated_index(alpha: float, window: bool) -> None:
    least = parts.exponent(P, alpha, np.geomspace(1.0, 100.0, 2001)).value.min()
    assert (least < 0) == window


def test_unclipped_window_is_the_stated_one() -> None:
    edges = [0.1 * parts.crossing(P, 5.0, math.inf, *ends) for ends in ((5, 22), (22, 100))]
    np.testing.assert_allclose(edges, [1.564, 3.088], atol=5e-4)


@pytest.mark.parametrize("b", [1.2, math.inf])
def test_recursion_is_the_stated_one(b: float) -> None:
    rng = np.random.default_rng(5)
    z = ((1 - rng.random(200_000)) ** (-1 / 1.5) - 1) * np.where(rng.random(200_000) < 0.5, 1, -1)
    written_out = np.log(np.abs(A + np.clip(P.lr * 5.0 * z, -b, b)))
    exact = float(parts.exponent(P, 1.5, 5.0, b).value)
    simulated = parts.rate(sd.run(parts.recursion(P, 1.5, 5.0, b), 1.0, 20_000, n_steps=20, seed=2)["final_state"], 20)
    for values in (written_out, simulated.values):
        assert has_mean(values, exact)
        assert not has_mean(values, float(parts.exponent(P, 1.6, 5.0, b).value))


def test_measured_threshold_is_the_predicted_and_not_that_of_another_clipping() -> None:
    found = parts.measured_threshold(1.5, 1.6, 1, 10)(3, 1 - ALARM)
    assert found.low < parts.crossing(P, 1.5, 1.6, 1, 10) < found.high
    assert not found.low < parts.crossing(P, 1.5, 1.5, 1, 10) < found.high


def test_model_runs_and_draws_its_figure(tmp_path: Path) -> None:
    ds = model.run(model.params(cells=4, n_steps=50, mu=0.9), n_paths=20, seed=1)
    assert dict(ds.sizes) == {"dynamics": 2, "b": 4, "zeta": 4, "path": 20}
    drawn = model.figure(ds)
    assert [ax.get_title() for ax in drawn.axes[:3]] == ["α = 1.5", "α = 5", "edges of collapse"]
    sd.plot.write(drawn, tmp_path / "figure.png")
