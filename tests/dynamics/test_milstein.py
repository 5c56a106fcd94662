"""The Milstein chain: its step, its strong order, its exact moments, exits, and what it refuses."""

import math

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.dynamics.parameters import parameters, structure
from sdesim.dynamics.torchsde_bridge import CallableSDE
from tests import chance
from tests.dynamics.orders import GEOMETRIC, MU, SIGMA, chains, driving_noise, has_order


def geometric(dt=0.1, substeps=1, **more):
    return sd.Milstein(sd.SDE(**GEOMETRIC, **more), dt, substeps)


def test_a_step_is_eulers_with_the_derivative_of_the_diffusion():
    sde = sd.SDE(["-x*y", "t"], ["sin(x)*t", "abs(y)"], noise=sd.Gaussian(2.0))
    x = np.array([[0.3, -0.7], [1.5, 0.0]])
    z = np.array([[1.0, -0.2], [0.4, 3.0]])
    dt, t = 0.04, 0.2
    (u, v), dw = x.T, math.sqrt(dt) * z.T
    spread = dw**2 - 4 * dt
    first = u - u * v * dt + np.sin(u) * t * dw[0] + np.sin(u) * np.cos(u) * t**2 * spread[0] / 2
    second = v + t * dt + np.abs(v) * dw[1] + np.abs(v) * np.sign(v) * spread[1] / 2
    got = sd.Milstein(sde, dt).step(NUMPY, x, z, 5)
    np.testing.assert_allclose(got, np.stack([first, second], axis=-1), rtol=1e-14)


def test_additive_noise_leaves_the_euler_chain():
    sde = sd.SDE(["-x*y", "x"], [0.5, "t"])
    x, z = np.array([[0.3, -0.7]]), np.array([[1.0, -0.2]])
    assert np.array_equal(sd.Milstein(sde, 0.1).step(NUMPY, x, z, 3), sd.EulerMaruyama(sde, 0.1).step(NUMPY, x, z, 3))


def test_the_chain_has_what_engines_and_wrappers_ask_for():
    chain = geometric(0.1, 3)
    assert (chain.dim, chain.variables, chain.noise_dim, chain.clock) == (1, ("x",), 3, 0.1)
    assert (chain.continuous, chain.noise, chain.params) == (True, sd.Gaussian(), {"mu": MU, "s": SIGMA})
    assert set(parameters(chain)) == {"dt", "sde.mu", "sde.s", "sde.noise.scale"}
    assert structure(chain) == structure(geometric(0.2, 3)) != structure(geometric(0.2, 2))


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_milstein_has_strong_order_one_for_geometric_brownian_motion_and_euler_one_half(scale):
    noise = sd.Gaussian(scale)
    exact = np.exp(MU - (SIGMA * scale) ** 2 / 2 + SIGMA * driving_noise(scale))
    ends = chains(lambda dt, m: geometric(dt, m, noise=noise))
    assert has_order(ends, exact, 1.0)
    assert not has_order(ends, np.roll(exact, 1), 1.0)  # another path's noise
    euler = chains(lambda dt, m: sd.EulerMaruyama(sd.SDE(**GEOMETRIC, noise=noise), dt, m))
    assert has_order(euler, exact, 0.5)
    assert not has_order(euler, exact, 1.0)


def test_every_coordinate_of_a_diagonal_equation_has_strong_order_one():
    """X = sinh(t + W/2) solves dX = (X/8 + sqrt(1 + X²)) dt + sqrt(1 + X²)/2 dW (Itô's formula)."""
    sde = sd.SDE("x/8 + sqrt(1 + x**2)", "sqrt(1 + x**2)/2")
    exact = np.sinh(1.0 + driving_noise() / 2)
    ends = chains(lambda dt, m: sd.Milstein(sde, dt, m), 0.0)
    assert has_order(ends, exact, 1.0, bias=0.1)
    assert not has_order(chains(lambda dt, m: sd.EulerMaruyama(sde, dt, m), 0.0), exact, 1.0, bias=0.1)
    twice = sd.SDE(["x/8 + sqrt(1 + x**2)", "mu*y"], ["sqrt(1 + x**2)/2", "s*y"], params=GEOMETRIC["params"])
    both = chains(lambda dt, m: sd.Milstein(twice, dt, m), [0.0, 1.0])
    walk = sd.EulerMaruyama(sd.SDE([0, 0], 1, variables=["x", "y"]), 1 / 256)
    w = sd.run(walk, [0.0, 0.0], both.shape[1], t_max=1.0, engine="reference", seed=11).final_state.values.T
    assert has_order(both[..., 0], np.sinh(1.0 + w[0] / 2), 1.0, bias=0.1)
    assert has_order(both[..., 1], np.exp(MU - SIGMA**2 / 2 + SIGMA * w[1]), 1.0)


def test_the_chain_has_its_exact_moments():
    """One step multiplies by 1 + mu dt + s dW + s² (dW² - dt)/2, of mean square (1 + mu dt)² + s² dt + s⁴ dt²/2."""
    dt, n = 0.05, 20
    x = sd.run(geometric(dt), 1.0, 200_000, n_steps=n, seed=3).final_state.values
    assert chance.has_mean(x, (1 + MU * dt) ** n)
    euler = (1 + MU * dt) ** 2 + SIGMA**2 * dt
    assert chance.has_mean(x**2, (euler + SIGMA**4 * dt**2 / 2) ** n)
    assert not chance.has_mean(x**2, (euler + SIGMA**2 * dt / 10) ** n)


def test_exits_of_geometric_brownian_motion_are_those_of_its_logarithm():
    """With drift s² x / 2 log X is Brownian: it leaves (-1, 1) after a mean time of 1."""
    chain = sd.Milstein(sd.SDE("s**2*x/2", "s*x", params={"s": 1.0}), 0.005)
    region = sd.Interval(math.exp(-1), math.exp(1))
    call = {"x0": 1.0, "n_paths": 40_000, "t_max": 50.0, "seed": 1}
    corrected = sd.run(chain, observers=[sd.FirstExit(region)], **call)
    grid = sd.run(chain, observers=[sd.FirstExit(region, correction=None)], **call)
    assert chance.has_mean(corrected.exit_time.values, 1.0, bias=0.01)
    assert not chance.has_mean(grid.exit_time.values, 1.0, bias=0.01)


PLANE = sd.Landscape("(x**2 - 1)**2/4 + y**2/2 + x*y/10")
CASES = {
    "time, substeps and a bridge": (
        sd.Milstein(sd.SDE("a*sin(t) - x", "0.4 + 0.1*cos(x) + abs(x)/9", params={"a": 0.3}), 0.02, 2),
        0.0,
        [sd.FirstExit(sd.Interval(-0.9, 0.9)), sd.Record([0, 1, 2.5])],
    ),
    "a diagonal in a disc": (
        sd.Milstein(sd.SDE(-PLANE.gradient, ["sqrt(x**2 + 1)/3", "tanh(y + t) + 0.3"]), 0.02),
        [-1.0, 0.0],
        [sd.FirstExit(sd.Ball([-1, 0], 0.6))],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_compiled_engine_follows_the_reference_path_by_path(case):
    chain, x0, observers = CASES[case]
    call = {"n_steps": 1000, "observers": observers, "seed": 5}
    fast, slow = (sd.run(chain, x0, 48, engine=engine, **call) for engine in ("native", "reference"))
    assert np.array_equal(fast.status, slow.status)
    assert (fast.status == sd.Status.EXITED).sum() > 3
    for name in ("final_state", "exit_time", "exit_state"):
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-10, atol=1e-10, err_msg=name)


REFUSED = {
    "matrix": (
        lambda: sd.Milstein(sd.SDE(["-x", "-y"], [["x", 0.1], [0, 1]]), 0.1),
        "needs diagonal noise, got a diffusion matrix of 2 x 2, whose mixed terms.*use EulerMaruyama",
    ),
    "two noises": (lambda: sd.Milstein(sd.SDE("-x", [["x", 1]]), 0.1), "a diffusion matrix of 1 x 2"),
    "another coordinate": (
        lambda: sd.Milstein(sd.SDE(["-x", "-y"], [1, "x*y"]), 0.1),
        "component 1 to depend on y and t alone, it depends on x: the mixed terms",
    ),
    "one factor of one coordinate": (
        lambda: sd.Milstein(sd.SDE(["-x", "-y"], "x"), 0.1), "component 1 to depend on y and t alone, it depends on x",
    ),
    "jumps": (
        lambda: sd.Milstein(sd.SDE("-x", "x", noise=sd.Stable(1.5)), 0.1),
        "Milstein needs Gaussian noise, got Stable.*use EulerMaruyama",
    ),
    "Stratonovich": (
        lambda: geometric(calculus="stratonovich"), "Milstein converges to the Ito equation.*use Heun.*correction"
    ),
    "callables": (
        lambda: sd.Milstein(CallableSDE(lambda t, x: -x, lambda t, x: x, 1), 0.1),
        "Milstein differentiates the formula of the diffusion, got callables.*use EulerMaruyama",
    ),
    "no SDE": (lambda: sd.Milstein("-x", 0.1), r"Milstein integrates an SDE, got str: write SDE\(drift, diffusion\)"),
    "dt": (lambda: geometric(0.0), "dt must be positive, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(case):
    call, words = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
