"""Plans: the paths they name reach the error they promise, and agree with run_to_precision."""

import numpy as np
import pytest

import sdesim as sd
from sdesim.analysis import exits
from sdesim.analysis.exit_times.planning import exits_for, relative_half_width
from tests.analysis.exit_data import dataset


def test_number_of_exits_is_the_smallest_whose_interval_is_narrow_enough():
    for rel in (0.3, 0.05):
        d = exits_for(rel, 0.95)
        width = []
        for exits_seen in (d - 1, d):
            times = np.append(np.ones(exits_seen), 9.0)
            width.append(float(relative_half_width(exits.mean_exit_time(dataset(times, 1.0)))))
        assert width[1] <= rel < width[0]
    assert exits_for(0.01, 0.95) == pytest.approx((1.959964 / 0.01) ** 2, rel=0.01)


@pytest.mark.parametrize("horizon", [np.inf, 1.0])
def test_planned_paths_reach_the_error(horizon):
    rng = np.random.default_rng(0)
    found = exits.plan(dataset(rng.exponential(2.0, 1000), horizon), 0.02)
    reached = float(relative_half_width(exits.mean_exit_time(dataset(rng.exponential(2.0, found.n_paths), horizon))))
    assert reached == pytest.approx(0.02, rel=5 * found.uncertainty / 2)
    assert found.uncertainty < 0.1 and found.n_paths == found.least_paths > 1000


def test_a_tenth_of_the_paths_would_not_reach_it():
    rng = np.random.default_rng(1)
    found = exits.plan(dataset(rng.exponential(2.0, 1000), 1.0), 0.02)
    short = exits.mean_exit_time(dataset(rng.exponential(2.0, found.n_paths // 10), 1.0))
    assert float(relative_half_width(short)) > 0.05


def test_time_and_steps_scale_with_the_paths():
    ds = dataset(np.random.default_rng(2).exponential(2.0, 200), 1.0)
    ds.attrs["wall_time"] = 4.0
    found = exits.plan(ds, 0.03)
    assert found.wall_time == pytest.approx(4.0 * found.n_paths / 200)
    assert found.path_steps == pytest.approx(float(ds["n_steps"].sum()) * found.n_paths / 200)
    assert f"{found.n_paths:,} paths" in str(found) and "minutes" in str(found) and "start_path=200" in str(found)
    del ds.attrs["wall_time"]
    assert exits.plan(ds, 0.03).wall_time is None and "speed" not in str(exits.plan(ds, 0.03))


def test_the_cell_that_needs_most_counts():
    rng = np.random.default_rng(3)
    ds = dataset(rng.exponential([[1.0], [20.0]], (2, 500)), 2.0, ("a", "path"))
    found = exits.plan(ds, 0.05)
    assert found.n_paths == exits.plan(ds.isel(a=1), 0.05).n_paths > exits.plan(ds.isel(a=0), 0.05).n_paths
    assert "each of 2 cells" in str(found)


def test_no_exit_gives_a_lower_bound_in_words_and_no_number():
    found = exits.plan(dataset(np.full(100, 9.0), 1.0), 0.05)
    assert found.n_paths is None and found.reached == np.inf
    assert found.least_paths == int(np.ceil(exits_for(0.05, 0.95) * 100 / -np.log(0.05)))
    assert "saw no exit" in str(found) and "more than" in str(found) and "rare_exit_time" in str(found)


def test_a_pilot_that_is_enough_says_so():
    ds = dataset(np.random.default_rng(4).exponential(2.0, 4000))
    found = exits.plan(ds, 0.2)
    assert found.n_paths < 4000 and "the pilot is enough" in str(found)


def test_plan_and_run_to_precision_agree():
    """Brownian motion with drift: both start from the same pilot."""
    motion = sd.EulerMaruyama(sd.SDE(drift="0.5 - x", diffusion=1.0), dt=2e-2)
    options = {"observers": [sd.FirstExit(sd.Interval(high=1.0))], "t_max": 1.5, "seed": 3}
    pilot = sd.run(motion, 0.0, 1000, **options)
    planned = exits.plan(pilot, 0.015)
    done = sd.run_to_precision(motion, 0.0, n_paths=1000, rel=0.015, **options)
    assert planned.n_paths == pytest.approx(done.sizes["path"], rel=0.05 + 3 * planned.uncertainty)
    planned_for = exits.mean_exit_time(sd.run(motion, 0.0, planned.n_paths, **options))
    assert float(relative_half_width(planned_for)) == pytest.approx(0.015, rel=3 * planned.uncertainty)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"0.05 asks for five per cent"):
        exits.plan(dataset([1.0, 2.0]), 5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        exits.plan(dataset([1.0, 2.0]), 0.05, level=95)
