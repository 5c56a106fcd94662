"""A path that becomes infinite is marked so and harms no other."""

import math

import numpy as np
import pytest

import sdesim as sd
from tests.engine.named import euler
from tests.engine.test_engines_agree import assert_same

BLOWS_UP = euler("x**3", 0.1, 0.05)
TIMES = np.arange(0, 3.01, 0.05)


def ensemble(engine="native", **more):
    """Every other path starts where the recursion explodes."""
    x0 = np.where(np.arange(200) % 2, 0.01, 2.0)
    observers = [sd.Record(TIMES), sd.Moments(TIMES)]
    return sd.run(BLOWS_UP, x0, 200, n_steps=60, observers=observers, engine=engine, **more)


@pytest.fixture(scope="module")
def mixed():
    return ensemble()


def test_paths_that_blow_up_are_marked_and_the_others_reach_the_end(mixed):
    fast = np.arange(200) % 2 == 0
    assert (mixed.status.values[fast] == sd.Status.DIVERGED).all()
    assert (mixed.status.values[~fast] == sd.Status.CENSORED).all()
    assert (mixed.n_steps.values[fast] < 30).all()
    assert not np.isfinite(mixed.final_state.values[fast]).any()
    assert (np.abs(mixed.final_state.values[~fast]) < 2).all()


def test_the_unharmed_paths_are_the_same_as_without_the_others(mixed):
    calm = sd.run(BLOWS_UP, 0.01, 200, n_steps=60, observers=[sd.Record(TIMES), sd.Moments(TIMES)])
    slow = np.arange(200) % 2 == 1
    assert np.array_equal(mixed.state.values[slow], calm.state.values[slow])


def test_a_diverged_path_is_recorded_until_it_is_infinite_and_never_after(mixed):
    states = mixed.state.isel(path=0).values
    steps = int(mixed.n_steps[0])
    assert np.isfinite(states[:steps]).all()
    assert np.isnan(states[steps:]).all()
    assert np.abs(states[steps - 1]) > 1e100


def test_moments_over_states_near_the_largest_double_do_not_fail_and_come_back_to_the_living(mixed):
    assert mixed.moment_count[-1] == 100
    last = mixed.state.isel(time=-1).values[1::2]
    assert float(mixed.moment_mean[-1]) == pytest.approx(last.mean(), rel=1e-12)
    assert float(mixed.moment_variance[-1]) == pytest.approx(last.var(), rel=1e-9)
    assert math.inf in mixed.moment_fourth.values
    assert not np.isnan(mixed.moment_mean.values).any()


def test_the_reference_sees_the_same_paths_diverge(mixed):
    reference = ensemble("reference")
    assert np.array_equal(reference.status, mixed.status)
    assert np.array_equal(reference.n_steps, mixed.n_steps)
    slow = np.arange(200) % 2 == 1
    np.testing.assert_allclose(reference.state.values[slow], mixed.state.values[slow], rtol=1e-10, atol=1e-10)


def test_an_infinite_state_inside_an_unbounded_sublevel_set_is_seen_at_once():
    """x < 5 holds at minus infinity."""
    observers = [sd.FirstExit(sd.Sublevel(sd.Landscape("x", domain=(-9, 9)), 5.0))]
    compiled, reference = (
        sd.run(BLOWS_UP, -1.5, 20, n_steps=100, observers=observers, engine=e) for e in ("native", "reference")
    )
    assert (compiled.status == sd.Status.DIVERGED).all()
    assert (compiled.n_steps < 30).all()
    assert_same(compiled.drop_vars("final_state"), reference.drop_vars("final_state"))


def test_nan_from_a_formula_is_a_divergence_and_not_an_exit():
    dynamics = euler("-sqrt(x)", 0.5, 0.05)
    ds = sd.run(dynamics, 0.2, 100, n_steps=200)
    assert (ds.status == sd.Status.DIVERGED).sum() > 50
