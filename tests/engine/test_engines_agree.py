"""Compiled and tensor engine against the plain NumPy reference, path by path: the same words, 1,000 steps, 1e-10."""

import numpy as np
import pytest

import sdesim as sd
from tests.engine.named import LAWS, LEFT, MODE, PLANE, SPACE, WELL, clipped, euler, linear, sgd, well

STEPS = 1000


def looks(*more, clock=0.02):
    """Records and moments at fractions of the run, the start and a time beyond the end among them."""
    times = np.array([0, 0.01, 0.2, 0.5, 1.0, 1.1]) * STEPS * clock
    return [sd.Record(times), sd.Moments(times[:-1]), *more]


CASES = {
    **{f"SGD with {type(law).__name__}": (sgd(law), -1.0, [sd.FirstExit(LEFT)]) for law in LAWS},
    "truncated and projected": (
        clipped(),
        -1.0,
        looks(sd.FirstExit(sd.Interval(-1.7, 1.4)), sd.Passages(WELL, core=0.8, capacity=3), clock=0.05),
    ),
    "bridge to two ends": (well(0.5), -1.0, [sd.FirstExit(sd.Interval(-2.0, 0.0))]),
    "bridge to one end": (well(0.5), -1.0, [sd.FirstExit(sd.Interval(high=0.0))]),
    "grid points only": (well(0.5), -1.0, [sd.FirstExit(sd.Interval(high=0.0), correction=None)]),
    "bridge with multiplicative noise and time": (
        euler("a*sin(t) - x", "0.4 + 0.1*cos(x)", params={"a": 0.3}),
        0.0,
        [sd.FirstExit(sd.Interval(-1.1, 1.1)), sd.Record([0, 1, 2.5])],
    ),
    "geometric Brownian motion, three substeps": (
        euler("mu*x", "s*x", substeps=3, params={"mu": 0.05, "s": 0.2}),
        1.0,
        [sd.FirstExit(sd.Interval(0.3, 5.0))],
    ),
    "every function of a formula": (
        euler(
            "-tanh(x)*exp(-x**2/9) - abs(x)**0.6*sign(x) + min(cosh(x/9), 1.2)*sin(2*x) - max(x, 0)/4",
            "sqrt(1 + x**2)/(2 + cos(x)) + log(1 + x**4)/9 + tan(x/9)**2 + sinh(x/5)**2/9",
        ),
        0.3,
        [],
    ),
    "stable noise on the line": (
        euler(-WELL.gradient, 0.3, noise=sd.Stable(1.3)),
        -1.0,
        [sd.FirstExit(sd.Interval(-2, 2)), sd.Passages(WELL)],
    ),
    "bridge in a disc": (euler(-PLANE.gradient, 0.35), [-1.0, 0.0], looks(sd.FirstExit(sd.Ball([-1, 0], 0.8)))),
    "bridge in a half plane, matrix diffusion": (
        euler(-PLANE.gradient, [[0.5, 0.1, 0], [0, 0.3, "x/5"]]),
        [-1.0, 0.0],
        [sd.FirstExit(sd.HalfSpace([1.0, 0.5], 0.3))],
    ),
    "sublevel set, diagonal diffusion": (
        euler(-PLANE.gradient, ["0.3 + x**2/20", 0.2]),
        [-1.0, 0.0],
        [sd.FirstExit(sd.Sublevel(PLANE, 0.22)), sd.Record([0, 2])],
    ),
    "isotropic stable noise in a disc": (
        euler(-PLANE.gradient, 0.1, noise=sd.Stable(1.5, isotropic=True)),
        [-1.0, 0.0],
        [sd.FirstExit(sd.Ball([-1, 0], 1.5))],
    ),
    "coordinatewise stable noise in a disc": (
        euler(-PLANE.gradient, 0.1, noise=sd.Stable(1.5, isotropic=False)),
        [-1.0, 0.0],
        [sd.FirstExit(sd.Ball([-1, 0], 1.5))],
    ),
    "truncated and projected in the plane": (
        sd.Projected(sd.Truncated(sd.SGD(PLANE, 0.02, noise=sd.StudentT(2.0, 3.0)), 0.4), sd.Ball([0, 0], 1.3)),
        [-1.0, 0.0],
        [sd.Passages(PLANE)],
    ),
    "bridge in a ball of three dimensions": (
        euler(-SPACE.gradient, 0.6),
        [-1.0, 0.0, 0.0],
        [sd.FirstExit(sd.Ball([0, 0, 0], 1.7)), sd.Passages(SPACE)],
    ),
    "isotropic stable noise in three dimensions": (
        euler(-SPACE.gradient, 0.1, noise=sd.Stable(0.9, isotropic=True)),
        [-1.0, 0, 0],
        [sd.FirstExit(sd.Ball([-1, 0, 0], 9))],
    ),
    "truncated SGD in a half space": (
        sd.Truncated(sd.SGD(SPACE, 0.02, noise=sd.Pareto(1.5, 0.9)), 0.3),
        [-1.0, 0, 0],
        [sd.FirstExit(sd.HalfSpace([1, 1, 1], -0.2))],
    ),
    "a loss that is random, by coins": (
        sd.SGD(MODE, 0.1, noise=sd.Rademacher(4.0), random="xi"),
        [0.3, 0.4],
        looks(sd.FirstExit(sd.Ball([0, 0], 2.0)), clock=0.1),
    ),
    "a loss with two random parameters, heavy tails, truncated": (
        sd.Projected(
            sd.Truncated(
                sd.SGD(
                    sd.Landscape("a*(x - m)**2/2 + sin(s*x)", params={"a": 0.5, "m": 0.3, "s": 9.0}),
                    0.1,
                    noise=sd.Stable(1.4, isotropic=False),
                    random=["m", "s"],
                ),
                0.3,
            ),
            sd.Interval(-3, 3),
        ),
        0.2,
        [sd.FirstExit(sd.Interval(-1, 1)), sd.Record([0, 1, 3])],
    ),
}


def both(dynamics, x0, observers, n_paths=48, n_steps=STEPS, fast="native", **more):
    return (
        sd.run(dynamics, x0, n_paths, n_steps=n_steps, observers=observers, seed=5, engine=engine, **more)
        for engine in (fast, "reference")
    )


def assert_same(a, b, tolerance=1e-10):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        x, y = a[name].values, b[name].values
        assert x.dtype == y.dtype
        if name == "moment_sums":
            continue
        if x.dtype.kind in "iuU":
            assert np.array_equal(x, y), name
        else:
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, err_msg=name)


FAST = ("native", "tensor")


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("case", CASES)
def test_every_path_is_the_references(case, fast):
    dynamics, x0, observers = CASES[case]
    compiled, reference = both(dynamics, x0, observers, fast=fast)
    assert_same(compiled, reference)
    if any(isinstance(o, sd.FirstExit) for o in observers):
        assert (compiled.status == sd.Status.EXITED).sum() > 3
    if any(isinstance(o, sd.Passages) for o in observers):
        assert compiled.n_passages.sum() > 0


def test_another_seed_gives_other_paths_on_both_engines():
    dynamics, x0, observers = CASES["bridge to two ends"]
    for engine in ("native", "tensor", "reference"):
        times = [
            sd.run(dynamics, x0, 8, n_steps=50, observers=observers, seed=seed, engine=engine).final_state.values
            for seed in (0, 1, 1 << 32, (1 << 64) - 1)
        ]
        assert len(np.unique(times)) == 32


@pytest.mark.parametrize("fast", FAST)
def test_a_grid_of_values_is_the_references_and_each_cell_a_run_of_its_own(fast):
    dynamics, x0, observers = CASES["bridge to two ends"]
    grid = {"diffusion": [0.4, 0.8], "high": [-0.3, 0.1, 0.4], "dt": [0.02, 0.05]}
    compiled, reference = both(dynamics, x0, observers, n_paths=9, n_steps=300, vary=grid, fast=fast)
    assert_same(compiled, reference)
    assert dict(compiled.sizes) == {"diffusion": 2, "high": 3, "dt": 2, "path": 9}
    assert np.array_equal(compiled.clock, np.broadcast_to([0.02, 0.05], (2, 3, 2)))
    corner = compiled.isel(diffusion=0, high=0, dt=0).drop_vars(["diffusion", "high", "dt"])
    assert_same(sd.run(well(0.4), x0, 9, n_steps=300, seed=5, observers=[sd.FirstExit(sd.Interval(-2, -0.3))]), corner)
    times = compiled.exit_time.values
    times = times[np.isfinite(times)]
    assert len(np.unique(times)) == times.size > 50  # no two paths share their noise


@pytest.mark.parametrize(
    "start", [sd.Gaussian(0.3), sd.Stable(1.2), sd.Pareto(2.0), sd.StudentT(2.0), sd.Uniform(0.5)], ids=str
)
def test_starts_drawn_from_a_law_are_the_same(start):
    compiled, reference = both(linear(), start, [sd.Record([0.0, 0.2]), sd.Moments([0.0, 0.2])], n_steps=10)
    assert_same(compiled, reference)
    assert compiled.state.isel(time=0).std() > 0


def test_a_start_for_each_path_is_kept():
    dynamics, _, observers = CASES["bridge in a disc"]
    x0 = np.stack([np.linspace(-1.5, -0.5, 48), np.zeros(48)], axis=-1)
    compiled, reference = both(dynamics, x0, observers, n_steps=100)
    assert_same(compiled, reference)
    assert np.array_equal(compiled.state.isel(time=0).values, x0)
