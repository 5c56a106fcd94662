"""The Heun chain: its step, its strong order, the equation it converges to, exits, and what it refuses."""

import math

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.dynamics.parameters import parameters, structure
from tests import chance
from tests.dynamics.orders import FINE, GEOMETRIC, LEVELS, MU, PATHS, SIGMA, chains, driving_noise, has_order


def geometric(dt=0.1, substeps=1):
    return sd.Heun(sd.SDE(**GEOMETRIC, calculus="stratonovich"), dt, substeps)


def test_a_step_takes_the_mean_of_the_coefficients_at_both_ends():
    sde = sd.SDE(["-x + t", "x*y"], [["0.3*x", "y", 0], [0.5, "t", "cos(x)"]], calculus="stratonovich")
    x = np.array([[0.3, -0.7], [1.5, 2.0]])
    z = np.array([[1.0, -0.2, 0.3], [0.4, 3.0, -1.0]])
    dt, k = 0.04, 5

    def both(state, t):
        u, v = state.T
        a = np.stack([-u + t, u * v], axis=-1)
        b = np.array([[[0.3 * p, q, 0], [0.5, t, math.cos(p)]] for p, q in state])
        return a * dt + (b @ (math.sqrt(dt) * z)[..., None])[..., 0]

    first = both(x, k * dt)
    expected = x + (first + both(x + first, (k + 1) * dt)) / 2
    np.testing.assert_allclose(sd.Heun(sde, dt).step(NUMPY, x, z, k), expected, rtol=1e-14)


def test_the_chain_has_what_engines_and_wrappers_ask_for():
    chain = geometric(0.1, 3)
    assert (chain.dim, chain.variables, chain.noise_dim, chain.clock) == (1, ("x",), 3, 0.1)
    assert (chain.continuous, chain.noise, chain.params) == (True, sd.Gaussian(), {"mu": MU, "s": SIGMA})
    assert set(parameters(chain)) == {"dt", "sde.mu", "sde.s", "sde.noise.scale"}
    assert structure(chain) == structure(geometric(0.2, 3)) != structure(geometric(0.2, 2))
    assert sd.Truncated(chain, 0.1).noise_dim == 3
    assert not hasattr(chain, "nothing")
    assert "calculus='stratonovich'" in repr(chain)
    assert "calculus" not in repr(sd.SDE("-x", 1.0))


def test_heun_has_strong_order_one_for_geometric_brownian_motion_and_euler_only_one_half():
    w = driving_noise()
    ends = chains(geometric)
    assert has_order(ends, np.exp(MU + SIGMA * w), 1.0)
    assert not has_order(ends, np.exp(MU + SIGMA * np.roll(w, 1)), 1.0)  # another path's noise
    ito = chains(lambda dt, m: sd.EulerMaruyama(sd.SDE(**GEOMETRIC), dt, m))
    exact = np.exp(MU - SIGMA**2 / 2 + SIGMA * w)
    assert has_order(ito, exact, 0.5)
    assert not has_order(ito, exact, 1.0)


def test_noises_that_do_not_commute_leave_order_one_half():
    """dX = dW_1, dY = X dW_2: the limit needs the iterated integral, here that of the fine increments."""
    sde = sd.SDE([0, 0], [[1, 0], [0, "x"]], variables=["x", "y"], calculus="stratonovich")
    ends = chains(lambda dt, m: sd.Heun(sde, dt, m), [0.0, 0.0])[..., 1]
    fine = sd.run(sd.Heun(sde, 1 / FINE), [0.0, 0.0], PATHS, t_max=1.0, engine="reference", seed=11)
    # Against the finest chain, error**2 is proportional to m - 1: divide that known bias out.
    truth = fine.final_state.values[:, 1]
    shrunk = np.array([truth + (e - truth) * math.sqrt(m / (m - 1)) for e, m in zip(ends, LEVELS, strict=True)])
    assert has_order(shrunk, truth, 0.5)
    assert not has_order(shrunk, truth, 1.0)


def test_the_chain_has_its_exact_mean_which_is_that_of_the_stratonovich_equation():
    """One step multiplies by 1 + (q + q(1 + q))/2, q = mu dt + s dW, of mean 1 + mu dt + (mu² dt² + s² dt)/2."""
    dt, n = 0.01, 100
    x = sd.run(geometric(dt), 1.0, 200_000, n_steps=n, seed=3).final_state.values
    factor = 1 + MU * dt + (MU**2 * dt**2 + SIGMA**2 * dt) / 2
    assert chance.has_mean(x, factor**n)
    assert chance.has_mean(x, math.exp(MU + SIGMA**2 / 2), bias=0.01)
    assert not chance.has_mean(x, math.exp(MU), bias=0.01)  # the mean of the Ito equation


def test_exits_of_a_stratonovich_geometric_brownian_motion_are_those_of_its_logarithm():
    """Without drift log X is Brownian: it leaves (-1, 1) after a mean time of 1."""
    chain = sd.Heun(sd.SDE("0*x", "s*x", params={"s": 1.0}, calculus="stratonovich"), 0.005)
    region = sd.Interval(math.exp(-1), math.exp(1))
    call = {"x0": 1.0, "n_paths": 40_000, "t_max": 50.0, "seed": 1}
    corrected = sd.run(chain, observers=[sd.FirstExit(region)], **call)
    grid = sd.run(chain, observers=[sd.FirstExit(region, correction=None)], **call)
    assert chance.has_mean(corrected.exit_time.values, 1.0, bias=0.01)
    assert not chance.has_mean(grid.exit_time.values, 1.0, bias=0.01)


PLANE = sd.Landscape("(x**2 - 1)**2/4 + y**2/2 + x*y/10")
CASES = {
    "time, substeps and a bridge": (
        sd.Heun(sd.SDE("a*sin(t) - x", "0.4 + 0.1*cos(x)", params={"a": 0.3}, calculus="stratonovich"), 0.02, 2),
        0.0,
        [sd.FirstExit(sd.Interval(-0.9, 0.9)), sd.Record([0, 1, 2.5])],
    ),
    "a matrix in a disc": (
        sd.Heun(sd.SDE(-PLANE.gradient, [["0.3 + x/9", 0.1, 0], [0, "0.2 + y**2/9", "x/5"]], calculus="stratonovich"),
                0.02),
        [-1.0, 0.0],
        [sd.FirstExit(sd.Ball([-1, 0], 0.6))],
    ),
}  # fmt: skip


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
    "Ito": (lambda: sd.Heun(sd.SDE("-x", "x"), 0.1), r"Heun converges to the Stratonovich equation.*'ito'.*use Euler"),
    "no SDE": (lambda: sd.Heun("-x", 0.1), r"Heun integrates an SDE, got str: write SDE\(drift, diffusion\)"),
    "dt": (lambda: geometric(-0.1), "dt must be positive, got -0.1"),
    "substeps": (lambda: geometric(0.1, 0), "substeps must be at least 1, got 0"),
    "jumps": (
        lambda: sd.SDE("-x", "x", noise=sd.Stable(1.5), calculus="stratonovich"),
        "not defined for noise that jumps, got Stable.*write calculus='ito'",
    ),
    "calculus": (lambda: sd.SDE("-x", 1.0, calculus="strat"), "must be 'ito' or 'stratonovich', got 'strat'"),
    "Euler": (
        lambda: sd.EulerMaruyama(sd.SDE("-x", "x", calculus="stratonovich"), 0.1),
        "EulerMaruyama converges to the Ito equation.*use Heun.*correction",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(case):
    call, words = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
