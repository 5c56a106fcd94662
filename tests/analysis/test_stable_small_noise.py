"""One-jump exits under small stable noise against quadrature, the transfer operator, and simulation."""
import math

import numpy as np
import pytest
from scipy.integrate import quad

import sdesim as sd
from sdesim.analysis import theory
from sdesim.analysis.limits.stable_small_noise import _mean_reach
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import Gaussian, Stable
from tests.chance import has_mean

OU = ["-x", "-y"]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
def test_the_jump_rate_has_the_characteristic_exponent_of_the_process(alpha):
    """∫ (1 - cos y) ν(dy) = 1 for ν(dy) = (rate/2) α |y|^(-1-α) dy: the exponent |ξ|^α at ξ = 1."""
    rate = theory.stable_jump_rate(alpha)
    small = quad(lambda y: (1 - math.cos(y)) * y ** (-1 - alpha), 0, 1)[0]
    tail = 1 / alpha - quad(lambda y: y ** (-1 - alpha), 1, np.inf, weight="cos", wvar=1)[0]
    assert rate * alpha * (small + tail) == pytest.approx(1, rel=1e-6)


def test_isotropic_jumps_project_to_the_line():
    """Jumps whose first coordinate exceeds 1, in the plane: rate × mean of |cos φ|^α is that of the line."""
    for alpha in (0.7, 1.5):
        share = quad(lambda phi, a=alpha: abs(math.cos(phi)) ** a, 0, math.pi)[0] / math.pi
        assert theory.stable_jump_rate(alpha, 2) * share == pytest.approx(theory.stable_jump_rate(alpha), rel=1e-9)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_mean_reach_to_a_sphere_matches_sampled_directions(dim):
    rng = np.random.default_rng(3)
    u = rng.standard_normal((200_000, dim))
    u = u[:, 0] / np.linalg.norm(u, axis=1)
    reach = -0.5 * u + np.sqrt(1 - 0.25 * (1 - u**2))
    assert has_mean(reach**-1.4, _mean_reach(1.4, dim, 0.5, 1.0, 400))
    assert not has_mean(reach**-1.4, _mean_reach(1.4, dim, 0.52, 1.0, 400))


def test_the_limit_is_that_of_the_transfer_operator():
    """Euler steps of dX = -X dt + ε dL in (-1, 1.5): the difference falls with ε, within the stated order."""
    wrong = []
    for eps in (0.1, 0.03):
        sde = sd.SDE("-x", eps, noise=Stable(1.5))
        found = theory.small_noise_stable_exit_time(sde, 0.2, sd.Interval(-1, 1.5))
        exact = theory.chain_exit_time(sd.EulerMaruyama(sde, dt=0.02), 0.0, sd.Interval(-1, 1.5), max_nodes=1000)
        wrong.append(abs(exact.value - found.value) / found.value)
        assert abs(exact.value - found.value) < found.error + exact.error
    assert wrong[1] < 0.02 and wrong[1] < 0.4 * wrong[0]


def test_width_counts_and_height_does_not():
    shallow, deep = Landscape("(x**4/4 - x**2/2)/4"), Landscape("4*(x**4/4 - x**2/2)")
    times = [
        theory.small_noise_stable_exit_time(
            sd.SDE(-f.gradient, 0.01, noise=Stable(1.2)), -1.0, sd.Interval(-np.inf, 0.0)
        ).value
        for f in (shallow, deep)
    ]
    assert times[0] == pytest.approx(times[1], rel=1e-9)
    assert times[0] == pytest.approx(0.01**-1.2 * math.pi / (math.gamma(1.2) * math.sin(0.6 * math.pi)), rel=1e-9)


@pytest.mark.parametrize("isotropic", [True, False])
def test_simulated_exits_from_a_ball_have_the_mean_of_their_law_and_not_of_the_other(isotropic):
    """dX = -(X - m) dt + ε dL in a unit ball about 0, m off its centre: jumps on axes have other ways out."""
    drift, ball, start = ["0.6 - x", "-y"], sd.Ball([0.0, 0.0], 1.0), [0.6, 0.0]

    def model(isotropic):
        return sd.SDE(drift, 0.01, noise=Stable(1.3, isotropic=isotropic), variables=["x", "y"])

    own, other = (theory.small_noise_stable_exit_time(model(i), start, ball) for i in (isotropic, not isotropic))
    ds = sd.run(
        sd.EulerMaruyama(model(isotropic), dt=0.05),
        x0=start,
        n_paths=3000,
        t_max=1e5,
        seed=5,
        observers=[sd.FirstExit(ball)],
    )
    assert has_mean(ds["exit_time"], own.value, bias=own.error)
    assert not has_mean(ds["exit_time"], other.value, bias=other.error)


def test_a_matrix_of_coordinatewise_noises_jumps_along_its_columns():
    """Two noises along the diagonals of a square seen from its centre: the unit ball is at distance 1 from there."""
    sde = sd.SDE(OU, [[0.006, 0.006], [0.006, -0.006]], noise=Stable(1.5, isotropic=False))
    found = theory.small_noise_stable_exit_time(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0)).value
    assert found == pytest.approx(1 / (2 * theory.stable_jump_rate(1.5) * (0.006 * math.sqrt(2)) ** 1.5))


@pytest.mark.parametrize(
    ("drift", "noise", "x0", "region", "message"),
    [
        ("-x", Gaussian(), 0.0, sd.Interval(-1, 1), "alpha < 2"),
        ("-x", Stable(2.0), 0.0, sd.Interval(-1, 1), "alpha < 2"),
        ("x - x**3", Stable(1.5), 0.9, sd.Interval(-2, 2), "more than one resting point"),
        ("1 - 0*x", Stable(1.5), 0.0, sd.Interval(-1, 1), "out of the region"),
        ("-x**3", Stable(1.5), 0.0, sd.Interval(-1, 1), "degenerate|more than one"),
        ("-x", Stable(1.5), 3.0, sd.Interval(-1, 1), "inside"),
        ("-x*t", Stable(1.5), 0.5, sd.Interval(-1, 1), "time"),
        (OU, Stable(1.5, isotropic=True), [0.0, 0.0], sd.HalfSpace([1.0, 0.0], 1.0), "Ball"),
        (["-x", "y"], Stable(1.5, isotropic=True), [0.0, 0.1], sd.Ball([0.0, 0.0], 1.0), "out of the region"),
    ],
)
def test_questions_outside_the_assumptions_are_refused(drift, noise, x0, region, message):
    names = ["x", "y"][: np.size(x0)]
    with pytest.raises(ValueError, match=message):
        theory.small_noise_stable_exit_time(sd.SDE(drift, 0.01, noise=noise, variables=names), x0, region)


def test_large_noise_is_refused():
    with pytest.raises(ValueError, match="small noise"):
        theory.small_noise_stable_exit_time(sd.SDE("-x", 3.0, noise=Stable(1.5)), 0.0, sd.Interval(-1, 1))
