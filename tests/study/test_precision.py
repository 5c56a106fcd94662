import numpy as np
import pytest
import xarray as xr

from sdesim.analysis import exits, theory
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.sde import SDE
from sdesim.engine.run import run
from sdesim.observe.first_exit import FirstExit
from sdesim.observe.regions import Interval
from sdesim.observe.schedule import Record
from sdesim.study.precision import run_to_precision

CHAIN = EulerMaruyama(SDE("0", 1.0, variables=["x"]), dt=0.05)
REGION = Interval(-1, 1)
EXIT = {"t_max": 100.0, "observers": [FirstExit(REGION, correction=None)], "seed": 3}


def half_width(ds: xr.Dataset, level: float = 0.95) -> float:
    estimate = exits.mean_exit_time(ds, level=level)
    return float((estimate.high - estimate.low) / 2 / estimate.value)


def test_interval_is_as_narrow_as_asked_and_no_narrower_than_needed() -> None:
    ds = run_to_precision(CHAIN, 0.0, rel=0.02, n_paths=500, **EXIT)
    assert 0.015 < half_width(ds) <= 0.02
    assert ds.sizes["path"] > 500


def test_result_is_that_of_one_run_of_all_its_paths() -> None:
    ds = run_to_precision(CHAIN, 0.0, rel=0.05, n_paths=200, **EXIT)
    xr.testing.assert_equal(ds, run(CHAIN, 0.0, ds.sizes["path"], **EXIT))


def test_answer_known_at_once_takes_one_round() -> None:
    assert run_to_precision(CHAIN, 0.0, rel=0.5, n_paths=300, **EXIT).sizes["path"] == 300


def test_widest_cell_of_a_sweep_counts() -> None:
    ds = run_to_precision(CHAIN, 0.0, rel=0.05, n_paths=200, vary={"dt": [0.02, 0.05]}, **EXIT)
    estimate = exits.mean_exit_time(ds)
    assert float(((estimate.high - estimate.low) / 2 / estimate.value).max()) <= 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rel": 0.0}, r"rel must be in \(0, 1\)"),
        ({"rel": "1%"}, r"rel must be in \(0, 1\)"),
        ({"rel": 1e-6}, "needs about .* paths, max_paths is"),
        ({"observers": [Record([1.0])]}, "needs observers"),
        ({"t_max": 0.05, "observers": [FirstExit(Interval(-50, 50))]}, "simulate longer"),
        ({"n_paths": 1}, "n_paths must be at least 2"),
    ],
)
def test_impossible_wishes_are_refused(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_to_precision(CHAIN, 0.0, **({"rel": 0.02, "n_paths": 200} | EXIT | change))


def test_largest_number_of_paths_is_kept_and_said() -> None:
    with pytest.warns(UserWarning, match="reached 400 paths"):
        ds = run_to_precision(CHAIN, 0.0, rel=0.07, n_paths=200, max_paths=400, **EXIT)
    assert ds.sizes["path"] == 400


def test_interrupted_ensemble_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(*args, **options):
        calls.append(options["start_path"])
        if len(calls) > 1:
            raise KeyboardInterrupt
        return run(*args, **options)

    monkeypatch.setattr("sdesim.engine.run.run", interrupted)
    ds = run_to_precision(CHAIN, 0.0, rel=0.01, n_paths=300, **EXIT)
    assert calls == [0, 300]
    assert ds.sizes["path"] == 300


def test_time_limit_is_shared_by_all_rounds() -> None:
    slow = EulerMaruyama(SDE("-x", 0.3, variables=["x"]), dt=1e-4)
    ds = run_to_precision(
        slow, 0.0, rel=0.001, max_paths=1 << 40, n_paths=20_000, wall_time=1.0, **EXIT | {"t_max": 1e4}
    )
    assert "interrupted" in str(ds["status"].attrs["flag_meanings"])
    assert (ds["status"] == 4).any()


def test_last_interval_covers_the_truth_and_not_a_wrong_one() -> None:
    truth = theory.chain_exit_time(CHAIN, 0.0, REGION).value
    hits = np.zeros(2)
    for seed in range(60):
        ds = run_to_precision(CHAIN, 0.0, rel=0.05, n_paths=100, **EXIT | {"seed": seed})
        estimate = exits.mean_exit_time(ds)
        hits += [estimate.low <= t <= estimate.high for t in (truth, 1.15 * truth)]
    assert hits[0] >= 47
    assert hits[1] <= 10
