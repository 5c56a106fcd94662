"""What every dynamics, law and observer must do, on the plain NumPy operations and on tensors."""

import itertools

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY
from sdesim.dynamics.parameters import parameters, rebind, structure
from sdesim.observe.step import Step

LANDSCAPES = {
    1: sd.Landscape("a*x**4 - x**2/2", params={"a": 0.25}),
    2: sd.Landscape("a*(x**2 - 1)**2 + y**2/2", params={"a": 0.25}),
    3: sd.Landscape("a*(x**2 - 1)**2 + y**2/2 + z**2", params={"a": 0.25}),
}
LAWS = {
    "Gaussian": sd.Gaussian(1.3),
    "Stable by coordinate": sd.Stable(1.4, isotropic=False),
    "Stable isotropic": sd.Stable(1.4, isotropic=True),
    "Pareto": sd.Pareto(1.2, 0.4),
    "StudentT": sd.StudentT(2.5),
    "Uniform": sd.Uniform(2.0),
    "Rademacher": sd.Rademacher(2.0),
}
OBSERVERS = {
    "FirstExit": lambda f: sd.FirstExit(sd.Ball([-1.0] + [0.0] * (f.dim - 1), 0.6)),
    "Record": lambda f: sd.Record([0.0, 0.05, 0.3]),
    "Moments": lambda f: sd.Moments([0.0, 0.05, 0.3]),
    "Passages": lambda f: sd.Passages(f),
}


def kinds(dim, law):
    """Every dynamics that the law can drive."""
    f = LANDSCAPES[dim]
    sgd = sd.SGD(f, 0.05, noise=law)
    yield sgd
    yield sd.Truncated(sgd, 0.1)
    yield sd.Projected(sgd, sd.Ball([0.0] * dim, 1.2))
    yield sd.Projected(sd.Truncated(sgd, 0.1), sd.Ball([0.0] * dim, 1.2))
    if isinstance(law, sd.Gaussian | sd.Stable):
        euler = sd.EulerMaruyama(sd.SDE(-f.gradient, 0.4, noise=law), 0.05)
        yield euler
        yield sd.Truncated(euler, 0.1)
        if isinstance(law, sd.Gaussian):
            yield sd.Milstein(sd.SDE(-f.gradient, [f"0.4 + {v}**2/9" for v in f.variables], noise=law), 0.05)
            yield sd.Heun(sd.SDE(-f.gradient, 0.4, noise=law, calculus="stratonovich"), 0.05)
            yield sd.SVAG(f, 0.1, l=2, noise=law)
        if dim == 2:
            yield sd.EulerMaruyama(sd.SDE(-f.gradient, [["x", 0.1], [0, 0.3]], noise=law), 0.05)


GRID = [
    pytest.param(dynamics, id=f"{dim}-D {name} {i}")
    for dim, (name, law) in itertools.product(LANDSCAPES, LAWS.items())
    for i, dynamics in enumerate(kinds(dim, law))
]


def draw(dynamics, n, seed=0):
    law, m = dynamics.noise, dynamics.noise_dim
    words = np.random.default_rng(seed).integers(0, 1 << 64, (2 * law.rounds(m).blocks, n), dtype=np.uint64)
    return [np.stack(step, axis=-1) for step in law.draw(NUMPY, m, list(words))]


@pytest.mark.parametrize("dynamics", GRID)
def test_a_step_keeps_shape_and_type_is_pure_and_treats_paths_alike(dynamics):
    x = np.random.default_rng(1).normal(size=(7, dynamics.dim))
    rounds = draw(dynamics, 7)
    assert len(rounds) == dynamics.noise.rounds(dynamics.noise_dim).steps
    for z in rounds:
        assert z.shape == (7, dynamics.noise_dim)
        before = x.copy(), z.copy()
        new = dynamics.step(NUMPY, x, z, 3)
        assert new.shape == x.shape
        assert new.dtype == np.float64
        assert np.array_equal(x, before[0])
        assert np.array_equal(z, before[1])
        assert np.array_equal(dynamics.step(NUMPY, x, z, 3), new)
        order = np.random.default_rng(2).permutation(7)
        assert np.array_equal(dynamics.step(NUMPY, x[order], z[order], 3), new[order])
        assert np.array_equal(dynamics.step(NUMPY, x[:1], z[:1], 3), new[:1])
        assert not np.array_equal(dynamics.step(NUMPY, x, z[::-1], 3), new)
        bad = x.copy()
        bad[2] = np.nan
        spoilt = dynamics.step(NUMPY, bad, z, 3)
        assert np.isnan(spoilt[2]).any()
        assert np.array_equal(np.delete(spoilt, 2, axis=0), np.delete(new, 2, axis=0))


@pytest.mark.parametrize("dynamics", GRID)
def test_parameters_are_found_and_a_copy_holds_other_values(dynamics):
    found = parameters(dynamics)
    assert dynamics.clock == 0.05
    assert "a" in {path.rsplit(".", 1)[-1] for path in found}
    doubled = rebind(dynamics, {path: 2 * value for path, value in found.items() if not path.endswith("alpha")})
    assert parameters(dynamics) == found
    for path, value in parameters(doubled).items():
        assert value == (found[path] if path.endswith("alpha") else 2 * found[path])
    assert structure(doubled) == structure(dynamics)
    assert rebind(dynamics, {}) is dynamics
    assert hash(structure(dynamics)) == hash(structure(doubled))


@pytest.mark.parametrize("dynamics", GRID)
@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("engine", ["reference", "tensor"])
def test_every_observer_watches_every_dynamics_path_by_path(dynamics, name, engine):
    """A subset of the paths, and their order, change nothing for the others."""
    observer = OBSERVERS[name](LANDSCAPES[dynamics.dim])
    x0 = [-1.0] + [0.0] * (dynamics.dim - 1)
    call = {"x0": x0 if dynamics.dim > 1 else -1.0, "n_steps": 8, "observers": [observer], "engine": engine}
    whole = sd.run(dynamics, n_paths=6, **call)
    assert whole.final_state.shape == ((6,) if dynamics.dim == 1 else (6, dynamics.dim))
    assert whole.status.dtype == np.int8
    assert whole.n_steps.dtype == np.int64
    assert all("units" in v.attrs and "long_name" in v.attrs for v in whole.data_vars.values())
    part = sd.run(dynamics, n_paths=2, start_path=3, **call)
    for variable in part.data_vars:
        if "path" in part[variable].dims:
            assert np.array_equal(part[variable], whole[variable].isel(path=slice(3, 5)), equal_nan=True)
    other = sd.run(dynamics, n_paths=6, **call, seed=1)
    assert not np.array_equal(whole.final_state, other.final_state)


# A kernel takes seconds to compile: each law and each kind of dynamics once, the dimensions taking turns.
COMPILED = [
    pytest.param(dynamics, id=f"{dim}-D {name} {i}")
    for (dim, (j, (name, law))) in itertools.product(LANDSCAPES, enumerate(LAWS.items()))
    for i, dynamics in enumerate(kinds(dim, law))
    if (i + j) % len(LANDSCAPES) + 1 == dim
]


@pytest.mark.parametrize("dynamics", COMPILED)
def test_the_native_engine_does_the_same_with_all_observers_in_one_kernel(dynamics):
    observers = tuple(make(LANDSCAPES[dynamics.dim]) for make in OBSERVERS.values())
    x0 = [-1.0] + [0.0] * (dynamics.dim - 1)
    call = {"x0": x0 if dynamics.dim > 1 else -1.0, "n_steps": 8, "observers": observers}
    whole, plain = (sd.run(dynamics, n_paths=6, engine=engine, **call) for engine in ("native", "reference"))
    assert set(whole.variables) == set(plain.variables)
    for variable in whole.data_vars:
        assert whole[variable].dims == plain[variable].dims
        assert whole[variable].dtype == plain[variable].dtype
        if variable != "moment_sums":
            np.testing.assert_allclose(whole[variable], plain[variable], rtol=1e-10, atol=1e-10, err_msg=variable)
    part = sd.run(dynamics, n_paths=2, start_path=3, engine="native", **call)
    for variable in part.data_vars:
        if "path" in part[variable].dims:
            assert np.array_equal(part[variable], whole[variable].isel(path=slice(3, 5)), equal_nan=True)
    other = sd.run(dynamics, n_paths=6, engine="native", seed=1, **call)
    assert not np.array_equal(whole.final_state, other.final_state)


@pytest.mark.parametrize("name", OBSERVERS)
def test_observers_do_not_touch_the_states_they_are_shown(name):
    f = LANDSCAPES[2]
    dynamics = sd.EulerMaruyama(sd.SDE(-f.gradient, 0.4), 0.05)
    observer = OBSERVERS[name](f)
    acc = observer.init(4, dynamics)
    x0 = np.tile([-1.0, 0.0], (4, 1))
    x1 = x0 + np.array([[0.0, 0.0], [0.1, 0.1], [2.0, 0.0], [0.0, 3.0]])
    rows = np.arange(4)
    start = Step(0, 0.0, 0.0, x0, x0, rows, rows, dynamics, 0)
    moved = Step(1, 0.0, 0.05, x0, x1, rows, rows, dynamics, 0)
    before = x0.copy(), x1.copy()
    observer.update(acc, start)
    observer.update(acc, moved)
    assert np.array_equal(x0, before[0])
    assert np.array_equal(x1, before[1])
