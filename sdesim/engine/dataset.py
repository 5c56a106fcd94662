"""From the arrays of a run to a labelled dataset."""

from __future__ import annotations

import datetime
import json
import math
import subprocess
import sys
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sdesim.core.exactsum import LARGEST_MEAN, exact_value
from sdesim.dynamics.parameters import short_names
from sdesim.engine.ensemble import Ensemble
from sdesim.engine.plan import Plan
from sdesim.engine.results import SCHEMA_VERSION, Status
from sdesim.observe.passages import Passages
from sdesim.observe.schedule import POWERS, Moments

TIME_UNITS = "time"
MOMENT_NAMES = ("mean", "variance", "third", "fourth")
TOO_LARGE = (math.inf, math.inf, math.nan, math.inf)  # where a power of a state exceeds the largest double


def dataset(plan: Plan, ensemble: Ensemble, attrs: dict[str, Any]) -> xr.Dataset:
    """All variables of a finished or interrupted run."""
    make = _Maker(plan)
    e, seen = ensemble, plan.watch
    make.per_path("status", e.status, **Status.attributes())
    make.per_path("n_steps", e.steps, units="1", long_name="steps simulated")
    make.state("final_state", e.state, "state at the last step")
    make.per_cell("clock", plan.clock, units=TIME_UNITS, long_name="time per step")
    if seen.exit is not None:
        exited = e.status == Status.EXITED
        clock = np.repeat(plan.clock, plan.n_paths)
        time = e.exit_time if e.exit_time.size else np.where(exited, e.steps * clock, np.nan)
        make.per_path("exit_time", time, units=TIME_UNITS, long_name="first exit time")
        make.state("exit_state", np.where(exited[:, None], e.state, np.nan), "state at the first exit")
    if seen.record is not None:
        make.coords["time"] = (
            "time",
            np.array(seen.record.times),
            {"units": TIME_UNITS, "long_name": "time"},
        )
        if seen.record.state:
            make.state("state", e.record, "state", extra=("time",))
        for name, values in e.values.items():
            make.per_path(name, values, ("time",), units="1", long_name=name.replace("_", " "))
    if seen.moments is not None:
        _moments(make, plan, e, seen.moments)
    if seen.passages is not None:
        _passages(make, plan, e, seen.passages)
    return xr.Dataset(make.variables, make.coords, {**attrs, "n_paths": plan.n_paths})


class _Maker:
    """Shapes rows (cell, path) into the dims of the dataset."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.grid = tuple(plan.grid)
        self.shape = tuple(len(v) for v in plan.grid.values())
        self.variables: dict[str, Any] = {}
        self.coords: dict[str, Any] = {
            name: (name, values, {"long_name": f"parameter {name}", "units": "1"}) for name, values in plan.grid.items()
        }
        paths = plan.start_path + np.arange(plan.n_paths)
        self.coords["path"] = ("path", paths, {"long_name": "path number", "units": "1"})
        if plan.dynamics.dim > 1:
            self.coords["component"] = ("component", list(plan.dynamics.variables))

    def per_path(self, name: str, rows: np.ndarray, extra: tuple[str, ...] = (), **attrs: Any) -> None:
        values = rows.reshape(*self.shape, self.plan.n_paths, *rows.shape[1:])
        self.variables[name] = ((*self.grid, "path", *extra), values, attrs)

    def per_cell(self, name: str, cells: np.ndarray, extra: tuple[str, ...] = (), **attrs: Any) -> None:
        self.variables[name] = ((*self.grid, *extra), cells.reshape((*self.shape, *cells.shape[1:])), attrs)

    def state(self, name: str, rows: np.ndarray, text: str, extra: tuple[str, ...] = ()) -> None:
        if self.plan.dynamics.dim == 1:
            self.per_path(name, rows[..., 0], extra, units="state", long_name=text)
        else:
            self.per_path(name, rows, (*extra, "component"), units="state", long_name=text)


def central_moments(sums: np.ndarray, count: int, about: float) -> np.ndarray:
    """Mean and central moments 2, 3, 4 from exact sums of powers, shape (POWERS, LIMBS)."""
    if count == 0:
        return np.full(POWERS, np.nan)
    means = m1, m2, m3, m4 = [exact_value(limbs) / count for limbs in sums]
    central = (m1, m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3, m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4)
    known = np.logical_and.accumulate([m < LARGEST_MEAN for m in means])
    values = np.array([_rounded(c) if k else lost for c, k, lost in zip(central, known, TOO_LARGE, strict=True)])
    values[0] += about
    return values


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _moments(make: _Maker, plan: Plan, e: Ensemble, observer: Moments) -> None:
    """Exact sums become moments; the sums stay, so that joined runs give the moments of all their paths."""
    times, d = len(observer.times), plan.dynamics.dim
    make.coords["moment_time"] = (
        "moment_time",
        np.array(observer.times),
        {"units": TIME_UNITS, "long_name": "time"},
    )
    counts = e.moment_count.reshape(plan.cells, times)
    sums = e.moment_sums.reshape(plan.cells, times, d, POWERS, -1)
    axis = ("moment_time",)
    make.per_cell("moment_count", counts, axis, units="1", long_name="paths still running")
    make.per_cell("moment_sums", sums, (*axis, "moment_component", "power", "limb"), units="1",
                  long_name="exact sums of powers of the state", about=observer.about)  # fmt: skip
    values = moment_values(sums, counts, observer.about)
    for p, name in enumerate(MOMENT_NAMES):
        text = "ensemble mean" if p == 0 else f"ensemble central moment {p + 1}"
        extra = axis if d == 1 else (*axis, "component")
        cells = values[..., 0, p] if d == 1 else values[..., p]
        make.per_cell(f"moment_{name}", cells, extra, units="state" if p == 0 else f"state^{p + 1}", long_name=text)


def moment_values(sums: np.ndarray, counts: np.ndarray, about: float) -> np.ndarray:
    """Moments for arrays (..., time, component, power, limb) of sums and (..., time) of counts."""
    out = np.empty(sums.shape[:-1])
    for index in np.ndindex(*sums.shape[:-2]):
        out[index] = central_moments(sums[index], int(counts[index[:-1]]), about)
    return out


def _passages(make: _Maker, plan: Plan, e: Ensemble, observer: Passages) -> None:
    minima = np.asarray(observer.landscape.minima)
    make.coords["well"] = ("well", minima if minima.ndim == 1 else np.arange(len(minima)),
                           {"units": "state", "long_name": "minimum of the well"})  # fmt: skip
    make.coords["to_well"] = (
        "to_well",
        make.coords["well"][1],
        {"units": "state", "long_name": "minimum of the next well"},
    )
    clock = np.repeat(plan.clock, plan.n_paths)
    occupied = e.occupancy.copy()
    going = np.flatnonzero((e.status == Status.INTERRUPTED) & (e.well >= 0))
    occupied[going, e.well[going]] += (e.steps - e.since)[going]
    make.per_path(
        "occupancy_time",
        occupied * clock[:, None],
        ("well",),
        units=TIME_UNITS,
        long_name="time in each well",
    )
    make.per_path("transitions", e.transitions, ("well", "to_well"), units="1", long_name="passages between wells")
    make.per_path("n_passages", e.passed, units="1", long_name="passages made")
    time = np.where(e.passage_step >= 0, e.passage_step * clock[:, None], np.nan)
    make.per_path("passage_time", time, ("passage",), units=TIME_UNITS, long_name="time of each passage")
    make.per_path("passage_well", e.passage_to, ("passage",), units="1", long_name="well entered, -1 where none")
    make.per_path("last_well", e.well, units="1", long_name="well occupied at the end, -1 where none yet")
    make.per_path("last_well_step", e.since, units="1", long_name="step at which it was entered")


def attributes(plan: Plan, describe: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Provenance of a run."""
    names = {path: short for short, path in short_names(plan.values).items()}
    fixed = {names[p]: float(v) for p, v in plan.values.items() if p not in plan.varied and np.isfinite(v)}
    return {
        "schema_version": SCHEMA_VERSION, "model": type(plan.dynamics).__name__, "parameters": json.dumps(fixed),
        **describe, "seed": str(plan.seed), "start_path": plan.start_path, "device": "cpu", "dtype": "float64",
        "versions": versions(), "git_commit": git_commit(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **more,
    }  # fmt: skip


@lru_cache(maxsize=1)
def versions() -> str:
    """Versions of what computed the result, as JSON."""
    import numba
    import scipy

    from sdesim import __version__

    found = {"sdesim": __version__, "python": sys.version.split()[0]}
    found |= {m.__name__: m.__version__ for m in (np, scipy, xr, numba)}
    return json.dumps(found)


@lru_cache(maxsize=1)
def git_commit() -> str:
    """Commit of the folder the program runs in, "" outside a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path.cwd(),
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
