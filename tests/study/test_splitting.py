"""Rare exits: unbiased for every number of clones, with ties, over levels that are skipped, on both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

import sdesim as sd
from tests.chance import WIDTH, has_mean
from tests.study.splitting_cases import (
    FAR,
    NEAR,
    START,
    WELL,
    exact,
    gaussian,
    lattice,
    lomax,
    ruin,
    splitting_of_walks,
)

SIGMA = 0.5


def drifted(x: np.ndarray) -> np.ndarray:
    return x + 0.01 * (x - x**3)


def gaussian_exact(sigma: float) -> tuple[float, float]:
    return exact(drifted, lambda y: ndtr(y / (sigma * 0.1)))


def lomax_exact(scale: float) -> tuple[float, float]:
    return exact(drifted, sd.Pareto(1.5, 0.01 * scale).cdf)


def test_the_mean_over_runs_of_ten_clones_is_the_probability() -> None:
    p, error = gaussian_exact(SIGMA)
    found = sd.rare_exit(gaussian(SIGMA), START, NEAR, FAR, n_clones=10, n_runs=20_000, kill=1)
    assert has_mean(found.runs, p, bias=error)
    assert not has_mean(found.runs, 0.95 * p, bias=error)
    assert int(found.dataset["n_lost"].sum()) == 0


def test_many_clones_reach_one_in_a_billion() -> None:
    p, error = gaussian_exact(0.16)
    found = sd.rare_exit(gaussian(0.16), START, NEAR, FAR, n_clones=1000, n_runs=30, seed=1)
    assert 1e-9 < p < 1e-8
    assert has_mean(found.runs, p, bias=error)
    variance = found.runs.var(ddof=1) / p**2
    assert variance < 2 * -np.log(p) / 1000
    direct = found.n * found.dataset["path_steps"].mean() * variance / found.n * p  # path-steps, for the same error
    assert direct < 1e-5 * 35  # a direct excursion takes 35 steps or more and has variance 1/p
    assert found.warning == ""


def test_leaving_the_left_half_is_reaching_the_right_half() -> None:
    options: dict[str, Any] = {"n_clones": 20, "n_runs": 2, "engine": "tensor"}
    reached = sd.rare_exit(gaussian(1.0), START, NEAR, FAR, **options)
    left = sd.rare_exit(gaussian(1.0), START, NEAR, leave=sd.Interval(high=0.0), **options)
    assert np.array_equal(reached.runs, left.runs)


@pytest.mark.parametrize("kill", [1, 4])
def test_clones_tied_with_a_level_die_together(kill: int) -> None:
    walk = sd.rare_exit(
        lattice(), 1.0, sd.Interval(high=0.5), sd.Interval(low=5.5), n_clones=10, n_runs=20_000, kill=kill,
        coordinate="min(x, 3)",
    )  # fmt: skip
    assert has_mean(walk.runs, ruin(1, 6), bias=1e-7)


def test_killing_only_k_of_the_tied_clones_is_biased() -> None:
    rng = np.random.default_rng(5)
    right, wrong = (
        [splitting_of_walks(6, 1, 5, rng, ties_together=together) for _ in range(1500)] for together in (True, False)
    )
    assert has_mean(right, ruin(1, 5))
    assert not has_mean(wrong, ruin(1, 5))


def test_one_big_jump_is_reached_by_revealing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    p, error = lomax_exact(0.01)
    options: dict[str, Any] = {"n_clones": 500, "n_runs": 20}
    revealed = sd.rare_exit(lomax(0.01), START, NEAR, FAR, **options)
    assert has_mean(revealed.runs, p, bias=error)
    spread = revealed.runs.std(ddof=1) / p
    assert spread**2 < 2 * -np.log(p) / 500
    assert revealed.warning == ""
    few = sd.rare_exit(lomax(0.01), START, NEAR, FAR, n_clones=20, n_runs=2000, seed=2)
    assert has_mean(few.runs, p, bias=error)
    monkeypatch.setattr("sdesim.study.rare.exit.reveal_of", lambda dynamics: None)
    blind = sd.rare_exit(lomax(0.01), START, NEAR, FAR, **options)
    assert blind.runs.std(ddof=1) / p > 5 * spread or np.median(blind.runs) < 0.5 * p
    assert blind.warning != ""


def test_of_several_starts_each_clone_takes_one_at_random() -> None:
    exact_both = sd.theory.chain_committor(gaussian(SIGMA), np.array([START, -0.5]), NEAR, FAR)
    found = sd.rare_exit(gaussian(SIGMA), [START, -0.5], NEAR, FAR, n_clones=20, n_runs=3000)
    assert has_mean(found.runs, exact_both.value.mean(), bias=exact_both.error.max())
    assert not has_mean(found.runs, exact_both.value[0], bias=exact_both.error.max())


def test_copies_go_on_at_the_time_of_their_parents() -> None:
    swinging = sd.EulerMaruyama(sd.SDE("-(x + 1)*(1 + 2*sin(3*t))", 0.5, variables=["x"]), dt=0.02)
    near = sd.Interval(high=-1.2)
    direct = sd.rare_exit(swinging, START, near, FAR, n_clones=20_000, n_runs=20, kill=1, smallest=1.0)
    hits = (direct.dataset["outcome"] == 1).mean("clone").values
    split = sd.rare_exit(swinging, START, near, FAR, n_clones=20, n_runs=8000)
    error = np.hypot(split.runs.std() / np.sqrt(8000), hits.std(ddof=1) / np.sqrt(20))
    assert error < 0.01 * hits.mean()
    assert abs(split.value - hits.mean()) < WIDTH * error


def test_two_independent_coordinates_exit_as_one_does() -> None:
    p, error = gaussian_exact(SIGMA)
    plane = sd.Landscape("x**4/4 - x**2/2 + y**2/2")
    chain = sd.EulerMaruyama(sd.SDE(drift=-plane.gradient, diffusion=SIGMA), dt=0.01)
    a, b = sd.HalfSpace((1.0, 0.0), -1.0), sd.HalfSpace((-1.0, 0.0), 0.0)
    found = sd.rare_exit(chain, (START, 0.3), a, b, n_clones=50, n_runs=1000)
    assert has_mean(found.runs, p, bias=error)
    assert found.exit_states.shape[1] == 2
    assert (found.exit_states[:, 0] > 0).all()


@pytest.mark.parametrize("case", ["gaussian", "jumps", "walk", "from A"])
def test_engines_make_the_same_runs(case: str) -> None:
    coarse = {"n_clones": 20, "n_runs": 2, "kill": 4}
    if case == "walk":
        arguments = (lattice(), 1.0, sd.Interval(high=0.5), sd.Interval(low=5.5))
        coarse["coordinate"] = "min(x, 3)"
    else:
        dynamics = lomax(0.05) if case == "jumps" else gaussian(1.0)
        arguments = (dynamics, -1.02 if case == "from A" else START, NEAR, FAR)
    native, tensor = (sd.rare_exit(*arguments, engine=engine, **coarse) for engine in ("native", "tensor"))
    assert np.allclose(native.runs, tensor.runs, rtol=1e-12)
    assert native.path_steps == tensor.path_steps
    assert native.value > 0


def test_a_function_of_tensors_is_a_coordinate() -> None:
    formula = sd.rare_exit(gaussian(1.0), START, NEAR, FAR, n_clones=20, n_runs=2, engine="tensor")
    found = sd.rare_exit(gaussian(1.0), START, NEAR, FAR, n_clones=20, n_runs=2, coordinate=lambda x: x[:, 0])
    assert np.array_equal(found.runs, formula.runs)


def test_a_network_leaves_a_level_as_often_as_it_does_directly() -> None:
    import torch

    inputs = torch.linspace(0.5, 1.5, 8, dtype=torch.float64)[:, None]
    objective = sd.network(torch.nn.Linear(1, 1, bias=False).double(), "mse", (inputs, 2 * inputs))
    sgd = sd.SGD(objective, 0.1, batch_size=2, label_noise=1.0)

    def distance(w: Any) -> Any:
        return (w[:, 0] - 2.0).abs()

    near, far = sd.Below(distance, 0.1), sd.Above(distance, 0.6)
    options: dict[str, Any] = {"coordinate": distance, "n_clones": 60, "n_runs": 8, "block": 64}
    split = sd.rare_exit(sgd, [2.15], near, far, **options, seed=1)
    direct = sd.rare_exit(sgd, [2.15], near, far, **options, kill=1, smallest=1.0)  # no level is ever passed
    hits = (direct.dataset["outcome"] == 1).mean("clone").values
    assert 0.01 < split.value < 0.5
    difference = split.value - hits.mean()
    assert abs(difference) < 5.33 * np.hypot(split.runs.std(ddof=1), hits.std(ddof=1)) / np.sqrt(8)
    assert int(split.dataset["n_lost"].sum()) == 0
    with pytest.raises(ValueError, match="reshuffled epochs"):
        sd.rare_exit(sd.SGD(objective, 0.1, batch_size=2, sampling="epochs"), [2.15], near, far, **options)


def test_threads_and_companions_change_nothing() -> None:
    one = sd.rare_exit(gaussian(SIGMA), START, NEAR, FAR, n_clones=50, n_runs=9, threads=1)
    three = sd.rare_exit(gaussian(SIGMA), START, NEAR, FAR, n_clones=50, n_runs=9, threads=3)
    later = sd.rare_exit(gaussian(SIGMA), START, NEAR, FAR, n_clones=50, n_runs=4, first_run=5)
    assert one.dataset.drop_attrs().equals(three.dataset.drop_attrs())
    assert np.array_equal(one.runs[5:], later.runs)
    assert len(set(one.runs)) == 9


def test_finished_runs_are_kept_and_the_rest_is_made_later(tmp_path: Path) -> None:
    file = tmp_path / "runs.nc"
    arguments: dict[str, Any] = {"n_clones": 100, "n_runs": 6, "seed": 3}
    whole = sd.rare_exit(gaussian(0.3), START, NEAR, FAR, **arguments)
    sd.rare_exit(gaussian(0.3), START, NEAR, FAR, **(arguments | {"n_runs": 2}), file=file)
    resumed = sd.rare_exit(gaussian(0.3), START, NEAR, FAR, **arguments, file=file)
    assert np.array_equal(whole.runs, resumed.runs)
    assert np.array_equal(whole.exit_states, resumed.exit_states)
    again = sd.rare_exit(gaussian(0.3), START, NEAR, FAR, **arguments, file=file, wall_time=1e-9)
    assert np.array_equal(whole.runs, again.runs)
    with pytest.raises(ValueError, match="another call"):
        sd.rare_exit(gaussian(0.31), START, NEAR, FAR, **arguments, file=file)


def test_a_study_that_is_stopped_leaves_out_what_is_not_finished() -> None:
    found = sd.rare_exit(gaussian(0.14), START, NEAR, FAR, n_clones=3000, n_runs=60, kill=1, wall_time=0.3)
    assert found.n < 60
    assert "not finished" in found.warning


def test_the_mean_exit_time_is_that_of_the_killed_chain() -> None:
    expected = sd.theory.chain_exit_time(gaussian(0.25), -1.0, sd.Interval(high=0.0))
    found = sd.rare_exit_time(gaussian(0.25), -1.0, sd.Interval(high=-0.9), FAR, n_clones=400, n_runs=20)
    error = np.log(found.high / found.low) / 2 / stdtrit(19, 0.975)
    assert WIDTH * error < 0.3
    assert abs(np.log(found.value / expected.value)) < WIDTH * error
    assert abs(np.log(0.7 * found.value / expected.value)) > WIDTH * error
    assert found.probability.value < 1e-3


def test_paths_that_blow_up_are_counted_and_end_nothing_else() -> None:
    near, far = sd.Interval(-1.2, -1.0), sd.Interval(0.0, 0.1)
    found = sd.rare_exit(gaussian(SIGMA, dt=5.0), START, near, far, n_clones=100, n_runs=2)
    assert int(found.dataset["n_diverged"].sum()) > 0
    assert "diverged" in found.warning


def test_no_exit_is_an_upper_bound_with_advice() -> None:
    found = sd.rare_exit(gaussian(0.05), START, NEAR, FAR, n_clones=10, n_runs=2, smallest=1e-3)
    assert np.isnan(found.value)
    assert (found.low, found.high) == (0.0, pytest.approx(1 - 0.05 ** (1 / 20)))
    assert "no exit seen" in str(found)
    assert "fell below" in found.warning


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("one of them", {"leave": FAR}),
    ("lies in B", {"x0": 0.5}),
    ("is constant", {"coordinate": "3"}),
    ("unknown symbol 'z'", {"coordinate": "z"}),
    ("not finite at x0", {"coordinate": "log(x)"}),
    ("n_runs must be at least 2", {"n_runs": 1}),
    ("share of the clones", {"kill": 0}),
    ("share of the clones", {"kill": 2000}),
    ("has dimension 2", {"a": sd.Ball((0.0, 0.0), 1.0)}),
    ("unknown engine", {"engine": "nativ"}),
    ("is for engine='tensor'", {"engine": "native", "device": "cpu"}),
    ("x0 has shape", {"x0": np.zeros((2, 2))}),
    ("must be .zarr or .nc", {"file": "runs.txt"}),
    ("level must be", {"level": 95}),
]


@pytest.mark.parametrize(("message", "changes"), REFUSED)
def test_what_cannot_work_is_refused(message: str, changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"x0": START, "a": NEAR, "b": FAR, "n_clones": 10, "n_runs": 2} | changes
    with pytest.raises(ValueError, match=message):
        sd.rare_exit(gaussian(SIGMA), **arguments)


def test_a_coordinate_that_never_increases_is_refused() -> None:
    with pytest.raises(ValueError, match="never rose"):
        sd.rare_exit(
            lattice(), 4.0, sd.Interval(high=0.5), sd.Interval(low=39.5), n_clones=20, n_runs=2, coordinate="min(x, 3)"
        )


def test_other_misuse_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a dynamics"):
        sd.rare_exit(WELL, START, NEAR, FAR)
    with pytest.raises(TypeError, match="must be a region"):
        sd.rare_exit(gaussian(SIGMA), START, -1.0, FAR)
    with pytest.raises(ValueError, match="x0 must lie in a"):
        sd.rare_exit_time(gaussian(SIGMA), START, NEAR, FAR)
    plane = sd.Landscape("(x**2 - 1)**2/4 + y**2/2")
    chain = sd.EulerMaruyama(sd.SDE(drift=-plane.gradient, diffusion=0.5), dt=0.01)
    with pytest.raises(ValueError, match="basin in several dimensions"):
        sd.rare_exit(chain, (-1.0, 0.0), sd.Ball((-1.0, 0.0), 0.1), leave=sd.Basin(plane, (-1.0, 0.0)))
