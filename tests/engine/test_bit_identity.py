"""What a result must not depend on, bit for bit: batches, threads, the size of the ensemble, interruptions."""

import itertools

import numpy as np
import pytest

import sdesim as sd
from sdesim.engine import native
from tests.engine.named import PLANE, WELL, clipped, euler, well
from tests.engine.test_engines_agree import looks

WATCHED = {
    "recursion with every observer": (
        clipped(),
        -1.0,
        looks(sd.FirstExit(sd.Interval(-1.7, 1.4)), sd.Passages(WELL, core=0.8, capacity=3), clock=0.05),
    ),
    "bridge in a disc": (euler(-PLANE.gradient, 0.35), [-1.0, 0.0], looks(sd.FirstExit(sd.Ball([-1, 0], 0.8)))),
}
PATHS, STEPS = 600, 1000


@pytest.fixture(params=WATCHED)
def call(request):
    dynamics, x0, observers = WATCHED[request.param]

    def simulate(n_paths=PATHS, **more):
        return sd.run(dynamics, x0, n_paths, **{"n_steps": STEPS, "observers": observers, "seed": 9, **more})

    return simulate


def assert_identical(a, b):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        x, y = a[name].values, b[name].values
        assert x.dtype == y.dtype
        if x.dtype.kind == "f":
            assert np.array_equal(x.view(np.int64)[~np.isnan(x)], y.view(np.int64)[~np.isnan(y)]), name
            assert np.array_equal(np.isnan(x), np.isnan(y)), name
        else:
            assert np.array_equal(x, y), name


def without_moments(ds):
    return ds.drop_vars([v for v in ds.variables if str(v).startswith("moment")])


@pytest.mark.parametrize("cuts", [(300,), (1, 64, 65, 599)])
def test_batches_joined_are_the_whole_run_moments_included(call, cuts):
    edges = [0, *cuts, PATHS]
    parts = [call(high - low, start_path=low) for low, high in itertools.pairwise(edges)]
    assert_identical(sd.concat(parts[::-1]), call())


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_changes_no_bit(call, threads):
    assert_identical(call(threads=threads), call(threads=2))


def test_a_thousand_paths_begin_ten_thousand(call):
    small, large = (call(n, n_steps=200) for n in (1000, 10_000))
    assert_identical(without_moments(small), without_moments(large.isel(path=slice(1000))))


def test_a_shorter_run_is_the_beginning_of_a_longer_one(call):
    short, long = call(n_steps=100), call()
    gone = short.status.values == sd.Status.EXITED
    assert gone.any()
    for name in ("exit_time", "exit_state"):
        assert np.array_equal(short[name].values[gone], long[name].values[gone])


def test_another_seed_changes_every_path(call):
    one, two = call(n_steps=50), call(n_steps=50, seed=10)
    assert np.mean(one.final_state.values == two.final_state.values) < 0.02


@pytest.fixture
def stop_after(monkeypatch):
    """Stops runs after a number of kernel calls, each of a few rounds."""

    def arrange(calls):
        original = native._Worker._call
        monkeypatch.setattr(native, "FIRST_ROUNDS", 7)
        monkeypatch.setattr(native, "SECONDS_PER_CALL", 1e-9)
        made = []

        def counted(self, rounds, *, drain):
            original(self, rounds, drain=drain)
            made.append(rounds)
            if len(made) == calls:
                self.halt.set()

        monkeypatch.setattr(native._Worker, "_call", counted)

    return arrange


@pytest.mark.parametrize("calls", [1, 2, 9, 60])
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(call, stop_after, monkeypatch, calls):
    whole = call()
    with monkeypatch.context():
        stop_after(calls)
        stopped = call()
    assert (stopped.status == sd.Status.INTERRUPTED).any()
    again = call(resume=stopped, wall_time=1e-6)
    monkeypatch.undo()
    assert_identical(call(resume=again), whole)


def test_a_file_of_an_interrupted_run_resumes_as_well(call, stop_after, monkeypatch, tmp_path):
    whole = call()
    stop_after(5)
    sd.save(call(), tmp_path / "part.zarr")
    monkeypatch.undo()
    assert_identical(call(resume=sd.load(tmp_path / "part.zarr")), whole)


def test_a_wall_time_marks_what_is_not_finished_and_keeps_what_is():
    dynamics, observers = well(0.3), [sd.FirstExit(sd.Interval(-2.0, 0.0))]
    whole = sd.run(dynamics, -1.0, 64, n_steps=2000, observers=observers)
    ds = sd.run(dynamics, -1.0, 64, n_steps=1 << 40, observers=observers, wall_time=0.05)
    assert set(np.unique(ds.status)) <= {sd.Status.EXITED, sd.Status.INTERRUPTED}
    early = (whole.status == sd.Status.EXITED).values & (ds.n_steps >= whole.n_steps).values
    assert np.array_equal(ds.exit_time.values[early], whole.exit_time.values[early])
    assert np.isnan(ds.exit_time.values[ds.status.values == sd.Status.INTERRUPTED]).all()


def test_moments_see_the_start_of_each_path_once_however_often_a_run_stops(stop_after, monkeypatch):
    """Paths of one step, so that a stop falls between the loading of a path and its first step."""
    dynamics, _, _ = WATCHED["recursion with every observer"]
    call = {
        "x0": -1.0,
        "n_paths": 5000,
        "n_steps": 3,
        "observers": WATCHED["recursion with every observer"][2],
        "threads": 2,
    }
    whole = sd.run(dynamics, **call)
    ds = None
    for calls in range(1, 12):
        with monkeypatch.context():
            stop_after(calls)
            ds = sd.run(dynamics, **call, resume=ds)
        monkeypatch.undo()
    ds = sd.run(dynamics, **call, resume=ds)
    assert int(ds.moment_count[0]) == 5000
    assert_identical(ds, whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 10}, "resume= was given a result of another call"),
        ({"n_steps": 999}, "resume= was given a result of another call"),
        ({"n_paths": PATHS + 1}, f"resume= holds paths 0 to {PATHS - 1}, the call asks for 0 to {PATHS}"),
        ({"engine": "reference"}, "the reference engine cannot resume: use engine='native'"),
    ],
)
def test_a_result_of_another_call_is_not_resumed(call, change, words):
    ds = call(n_steps=STEPS)
    with pytest.raises(ValueError, match=words):
        call(**{"resume": ds, **change})
