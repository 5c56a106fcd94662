"""Runs of splitting as a dataset, and back: what is finished is never computed again."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sdesim.engine.dataset import git_commit, versions
from sdesim.engine.rare import levels
from sdesim.engine.rare.levels import LEVELS, LOST, N_CUT, N_DIVERGED, NEW_STEPS, OLD_STEPS, STATUS
from sdesim.engine.rare.runs import Clones, SplittingPlan
from sdesim.engine.results import SCHEMA_VERSION, load, save
from sdesim.study.rare.estimate import run_values

RUN_STATUS = ("running", "finished", "extinct", "given_up")
OUTCOMES = ("none", "reached", "returned", "diverged", "cut")


def fingerprint(plan: SplittingPlan, engine: str) -> str:
    """What decides the numbers of every run, as a short hash; how many runs there are does not."""
    excursion = plan.excursion
    what = (
        *(repr(part) for part in (excursion.dynamics, excursion.a, excursion.b, excursion.coordinate)),
        excursion.outside, plan.starts.tobytes(), plan.own and (plan.first_run, plan.n_runs), plan.n_clones, plan.kill,
        plan.seed, plan.max_steps, plan.smallest, plan.reveal, engine,
    )  # fmt: skip
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def to_dataset(plan: SplittingPlan, clones: Clones, more: dict[str, Any]) -> xr.Dataset:
    """Dims run, clone, level and, in several dimensions, component."""
    numbers, d = clones.numbers, plan.excursion.dim
    status = numbers[:, STATUS].astype(np.int8)
    deepest = max(1, int(numbers[:, LEVELS].max(initial=0)))
    place = ("run", "clone", "component") if d > 1 else ("run", "clone")
    clock = float(plan.excursion.dynamics.clock)
    variables = {
        "probability": ("run", run_values(clones.weight, status, clones.outcome), "probability of exit, by run", "1"),
        "status": ("run", status, "what became of the run", "1"),
        "weight": ("run", clones.weight, "product of the shares that survived", "1"),
        "n_levels": ("run", numbers[:, LEVELS], "number of levels", "1"),
        "path_steps": ("run", numbers[:, NEW_STEPS] + numbers[:, OLD_STEPS], "steps simulated", "1"),
        "n_diverged": ("run", numbers[:, N_DIVERGED], "excursions that diverged", "1"),
        "n_cut": ("run", numbers[:, N_CUT], "excursions longer than max_steps", "1"),
        "n_lost": ("run", numbers[:, LOST], "paths that could not be followed again", "1"),
        "level_value": (("run", "level"), clones.levels[:, :deepest], "coordinate of the level", "1"),
        "outcome": (("run", "clone"), clones.outcome, "where the excursion ended", "1"),
        "n_steps": (("run", "clone"), clones.length, "steps of the excursion", "1"),
        "final_state": (place, clones.last if d > 1 else clones.last[:, :, 0], "state at its end", "1"),
    }
    ds = xr.Dataset(
        {
            name: (dims, array, {"long_name": text, "units": unit})
            for name, (dims, array, text, unit) in variables.items()
        },
        coords={"run": plan.first_run + np.arange(plan.n_runs)},
    )
    for name, meanings in (("status", RUN_STATUS), ("outcome", OUTCOMES)):
        ds[name].attrs |= {"flag_values": np.arange(len(meanings), dtype=np.int8), "flag_meanings": " ".join(meanings)}
    ds.attrs = {
        "schema_version": SCHEMA_VERSION, "model": type(plan.excursion.dynamics).__name__,
        "dynamics": repr(plan.excursion.dynamics), "a": repr(plan.excursion.a), "b": repr(plan.excursion.b),
        "b_is_outside": int(plan.excursion.outside), "coordinate": repr(plan.excursion.coordinate), "clock": clock,
        "n_clones": plan.n_clones, "kill": plan.kill, "seed": str(plan.seed), "max_steps": plan.max_steps,
        "smallest": plan.smallest, "versions": versions(), "git_commit": git_commit(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "parameters": json.dumps({}), **more,
    }  # fmt: skip
    return ds


def restore(plan: SplittingPlan, clones: Clones, ds: xr.Dataset) -> None:
    """Take over the runs that are finished in a dataset."""
    wanted = plan.first_run + np.arange(plan.n_runs)
    _, mine, theirs = np.intersect1d(wanted, np.asarray(ds["run"]), return_indices=True)
    done = np.asarray(ds["status"])[theirs] != levels.RUNNING
    mine, theirs = mine[done], theirs[done]
    values = {name: np.asarray(ds[name])[theirs] for name in ds.data_vars}
    columns = {"status": STATUS, "n_levels": LEVELS, "path_steps": NEW_STEPS, "n_diverged": N_DIVERGED}
    columns |= {"n_cut": N_CUT, "n_lost": LOST}
    for name, column in columns.items():
        clones.numbers[mine, column] = values[name]
    clones.weight[mine], clones.outcome[mine], clones.length[mine] = (
        values[name] for name in ("weight", "outcome", "n_steps")
    )
    clones.last[mine] = values["final_state"].reshape(len(mine), plan.n_clones, -1)
    clones.levels[mine, : ds.sizes["level"]] = values["level_value"]


class Store:
    """The file that keeps finished runs; without a name it keeps nothing."""

    def __init__(self, path: Any, mark: str) -> None:
        self.path, self.mark = None if path is None else Path(path), mark
        self.found: xr.Dataset | None = None
        if self.path is not None and self.path.exists():
            self.found = load(self.path)
            if self.found.attrs.get("fingerprint") != mark:
                raise ValueError(
                    f"{self.path} holds runs of another call: dynamics, sets, coordinate, clones or seed differ; "
                    "choose another file"
                )
        elif self.path is not None:
            from sdesim.engine.results import check_output

            check_output(self.path)

    def keep(self, ds: xr.Dataset) -> None:
        """Write the runs that are finished, all of them or nothing."""
        if self.path is not None:
            done = np.flatnonzero(np.asarray(ds["status"]) != levels.RUNNING)
            if len(done):
                save(ds.isel(run=done), self.path, overwrite=True)
