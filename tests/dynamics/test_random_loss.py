"""SGD on a stochastic loss f(x; ξ): its law, and who may assume that its noise is added."""

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY
from tests import chance

SLOPED = sd.Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": 1.0, "xi": 0.0})
LINE = sd.Landscape("x**2/2 + xi*(x + x**2/4)", params={"xi": 0.0})


def test_a_step_follows_the_gradient_at_the_value_drawn():
    sgd = sd.SGD(SLOPED, 0.1, noise=sd.Gaussian(2.0), random="xi")
    assert (sgd.noise_dim, sgd.params, sgd.random) == (1, {"S": 1.0}, ("xi",))
    u, v, xi = np.array([[0.3, 0.5], [-1.2, 0.7]]).T[0], np.array([0.5, 0.7]), np.array([0.4, -3.0])
    new = sgd.step(NUMPY, np.stack([u, v], axis=-1), xi[:, None], 0)
    slope = u * v - 1.0 + xi
    np.testing.assert_allclose(new, np.stack([u - 0.1 * slope * v, v - 0.1 * slope * u], axis=-1), rtol=1e-15)


@pytest.mark.parametrize("engine", ["native", "tensor"])
def test_added_noise_is_the_random_loss_f_minus_xi_x(engine):
    loss, noise = "x**4/4 - x**2/2", sd.StudentT(2.5, 0.7)
    added = sd.SGD(sd.Landscape(loss), 0.1, noise=noise)
    drawn = sd.SGD(sd.Landscape(f"{loss} - xi*x", params={"xi": 5.0}), 0.1, noise=noise, random=("xi",))
    one, two = (sd.run(d, 0.3, 32, n_steps=50, engine=engine).final_state.values for d in (added, drawn))
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_moments_of_a_random_curvature_follow_their_closed_recursion():
    """x⁺ = x (1 - η a - η ξ): E x_n = (1 - η a)**n x0, E x_n² = ((1 - η a)² + η² σ²)**n x0²."""
    f = sd.Landscape("(a + xi)*x**2/2", params={"a": 1.0, "xi": 0.0})
    sgd = sd.SGD(f, 0.1, noise=sd.Uniform(2.0), random="xi")
    x = sd.run(sgd, 1.0, 40_000, n_steps=12, seed=4).final_state.values
    assert chance.has_mean(x, 0.9**12)
    assert chance.has_mean(x**2, (0.81 + 0.01 * 4 / 3) ** 12)
    assert not chance.has_mean(x**2, 0.81**12)  # without noise


def test_a_parameter_that_is_not_random_can_vary():
    ds = sd.run(sd.SGD(SLOPED, 0.1, random="xi"), [0.3, 0.2], 4, n_steps=3, vary={"S": [0.5, 1.0], "scale": [1.0, 2.0]})
    assert dict(ds.sizes) == {"S": 2, "scale": 2, "path": 4, "component": 2}
    with pytest.raises(ValueError, match="unknown parameter 'xi'"):
        sd.run(sd.SGD(SLOPED, 0.1, random="xi"), [0.3, 0.2], 4, n_steps=3, vary={"xi": [0.5, 1.0]})


def test_the_transfer_operator_knows_noise_that_is_multiplied():
    sgd, region = sd.SGD(LINE, 0.1, noise=sd.Gaussian(3.0), random="xi"), sd.Interval(-1.0, 1.0)
    exact = sd.theory.chain_exit_time(sgd, 0.2, region)
    times = sd.run(sgd, 0.2, 8000, n_steps=100_000, observers=[sd.FirstExit(region)], seed=2).exit_time.values
    assert chance.has_mean(times, float(exact.value))
    added = sd.SGD(sd.Landscape("x**2/2"), 0.1, noise=sd.Gaussian(3.0))
    assert not chance.has_mean(times, float(sd.theory.chain_exit_time(added, 0.2, region).value))


def test_splitting_knows_noise_that_is_multiplied():
    sgd, region = sd.SGD(LINE, 0.1, noise=sd.Gaussian(1.2), random="xi"), sd.Interval(-2.0, 1.5)
    exact = float(sd.theory.chain_exit_time(sgd, 0.0, region).value)
    found = sd.rare_exit_time(sgd, 0.0, sd.Interval(-0.2, 0.2), leave=region, n_clones=100, n_runs=30, seed=3)
    assert found.low < exact < found.high


REFUSED = {
    "no such parameter": (lambda: sd.SGD(SLOPED, 0.1, random="x1"), "no parameter 'x1' that could be random"),
    "a variable": (lambda: sd.SGD(SLOPED, 0.1, random="u"), "random='u' is a variable of the loss"),
    "twice": (lambda: sd.SGD(SLOPED, 0.1, random=("xi", "xi")), "random names xi twice"),
    "a value too": (lambda: sd.SGD(SLOPED, 0.1, random="xi", params={"xi": 1.0}), "leave it out of params"),
    "no name": (lambda: sd.SGD(SLOPED, 0.1, random=3), "random must be names of parameters, got 3"),
    "two stable noises": (
        lambda: sd.SGD(SLOPED, 0.1, noise=sd.Stable(1.5), random=("xi", "S")),
        "Stable noise in 2 dimensions needs isotropic",
    ),
    "operator of a nonlinear step": (
        lambda: sd.theory.chain_exit_time(
            sd.SGD(sd.Landscape("sin(xi*x)", params={"xi": 1.0}), 0.1, random="xi"), 0.2, sd.Interval(-1, 1)
        ),
        "needs a step linear in its noise, the gradient of sin",
    ),
    "operator of coins": (
        lambda: sd.theory.chain_exit_time(
            sd.SGD(sd.Landscape("x**2/2"), 0.1, noise=sd.Rademacher()), 0.2, sd.Interval(-1, 1)
        ),
        "needs noise with a density, Rademacher",
    ),
    "wells of a random loss": (
        lambda: sd.chain.jumps(
            sd.SGD(sd.Landscape("x**4/4 - x**2/2 + xi*x", params={"xi": 0.0}), 0.1, noise=sd.Pareto(1.5), random="xi")
        ),
        "are not known: give landscape=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case):
    make, words = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_one_stable_noise_of_several_variables_needs_no_isotropy():
    assert sd.SGD(SLOPED, 0.1, noise=sd.Stable(1.5), random="xi").noise_dim == 1


def test_bridges_are_not_for_recursions():
    sgd = sd.SGD(LINE, 0.1, random="xi")
    with pytest.raises(ValueError, match="has no continuous path between steps"):
        sd.run(sgd, 0.0, 2, n_steps=2, observers=[sd.FirstExit(sd.Interval(-1, 1), correction="bridge")])
