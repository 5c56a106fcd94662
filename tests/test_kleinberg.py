"""The calculations of the model of one-point convexity, and one run of it."""

import importlib
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special

from sdesim.study import catalogue
from tests.chance import has_mean

model = catalogue.find("kleinberg2018escape")
parts = importlib.import_module("sdesim.models.kleinberg2018escape.line")


@pytest.mark.parametrize("z", [0.0, 0.8, 2.4, 10.0])
def test_bessel_matches_scipy(z: float) -> None:
    assert parts.bessel(z) == pytest.approx(scipy.special.j1(z), abs=1e-14)


def simulated(omega: float, steps: int = 1500, n_paths: int = 40_000) -> np.ndarray:
    """x² in the long run, by the recursion written out in NumPy."""
    rng, eta, a = np.random.default_rng(7), 0.01, 4.0
    x, rho = np.zeros(n_paths), math.pi / omega
    for _ in range(steps):
        x = x - eta * (x - a * np.sin(omega * x)) + rng.uniform(-rho, rho, n_paths)
    return x**2


def test_formula_for_the_second_moment_is_that_of_the_recursion_and_the_naive_one_is_not() -> None:
    x2, p = simulated(10.0), parts.Params(omega=10.0, middle=math.pi / 10)
    formula = parts.second_moment(p)
    assert has_mean(x2, formula, bias=0.002 * formula)
    assert not has_mean(simulated(20.0), (math.pi / 20) ** 2 / (6 * p.lr))


def test_step_back_lands_on_the_point() -> None:
    f = parts.landscape(parts.P)
    x = parts.before_step(parts.HILL)
    assert x - parts.P.lr * f.gradient(x) == pytest.approx(parts.HILL, abs=1e-9)
    assert f.gradient(parts.HILL) == pytest.approx(parts.HILL - 4.0)


@pytest.mark.parametrize("width", [0.01, 0.1, math.pi / 20])
def test_convolved_gradient_is_the_parabola_and_a_damped_wave(width: float) -> None:
    f = parts.landscape(parts.P)
    for y in (0.3, 2.9):
        mean = scipy.integrate.quad(lambda u, y=y: float(f.gradient(y + u)), -width, width)[0] / (2 * width)
        assert mean == pytest.approx(y - 4 * np.sinc(20 * width / math.pi) * math.sin(20 * y), abs=1e-9)


def kept(rho: float) -> bool:
    """Whether some interval around the start inside its well is mapped into itself with any noise up to rho."""
    f = parts.landscape(parts.P)
    low, high = next(b for b in f.basins if b[0] < parts.P.x0 < b[1])
    x = np.linspace(low, high, 20_001)
    y = x - parts.P.lr * f.gradient(x)
    assert (np.diff(y) > 0).all()
    left, right = x[y - rho >= x], x[y + rho <= x]
    return bool(len(left) and len(right) and left.min() <= parts.P.x0 <= right.max())


def test_small_noise_never_leaves_the_well_and_slightly_larger_noise_may() -> None:
    assert kept(0.01) and kept(0.0109)
    assert not kept(0.0110)


def test_model_runs_and_draws_its_figure() -> None:
    ds = model.run(model.params(t_max=2.0), n_paths=10, seed=1)
    assert ds.sizes["half_width"] == 20 and ds.sizes["path"] == 10
    titles = [ax.get_title() for ax in model.figure(ds).axes]
    assert titles[:2] == ["f convolved with the noise", "one path each"]


network = importlib.import_module("sdesim.models.kleinberg2018escape.network")
TINY = network.Params(width=3, n_steps=12, early=2)


def test_direction_is_the_cosine_of_the_gradient_with_the_way_to_the_end() -> None:
    problem = network.objective(TINY)
    states = np.stack([problem.fresh_states(2, seed).double().numpy() for seed in range(3)], axis=1)
    cosine, way = network.directed(TINY, states)
    assert cosine.shape == way.shape == (2, 2)
    for path in range(2):
        for t in range(2):
            x, end = states[path, t], states[path, 2]
            eps, unit = 1e-2, (end - x) / np.linalg.norm(end - x)
            ahead, behind = (float(problem.loss(problem.inputs.new_tensor(x + e * unit)[None])[0]) for e in (eps, -eps))
            slope = float(problem.gradient(problem.inputs.new_tensor(x)[None]).norm())
            assert cosine[path, t] * slope == pytest.approx((behind - ahead) / (2 * eps), rel=0.02, abs=1e-4)
            assert way[path, t] == pytest.approx(np.linalg.norm(end - x))
    beside, _ = network.directed(TINY, states, reach=0.5)
    assert not np.allclose(beside, cosine)


def test_ends_on_opposite_sides_of_the_start_are_two_ways_apart() -> None:
    states = np.array([[[0.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [-3.0, 0.0]]])
    assert network.apart(states) == pytest.approx([2.0])


def test_network_part_runs_and_draws_its_figure() -> None:
    params = model.params(experiment="network", width=3, n_steps=12, early=2)
    ds = model.run(params, n_paths=4, seed=1)
    assert list(ds["dynamics"].values) == [network.FRESH, network.ONE]
    ones = ds["state"].sel(dynamics=network.ONE).isel(time=0)
    assert (ones == ones.isel(path=0)).all()
    assert model.figure(ds).axes[2].get_title() == "ends"
