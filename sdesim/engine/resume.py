"""Going on with an interrupted run: every path from the state and the step where it stopped."""

from __future__ import annotations

import numpy as np
import xarray as xr

from sdesim.engine.ensemble import Ensemble
from sdesim.engine.plan import Plan
from sdesim.engine.results import Status


def check_resumable(ds: xr.Dataset, plan: Plan, fingerprint: str) -> np.ndarray:
    """Rows of the plan that are not finished in `ds`.

    Raises
    ------
    ValueError
        If the dataset was made by another call.
    """
    if ds.attrs.get("fingerprint") != fingerprint:
        raise ValueError("resume= was given a result of another call: dynamics, observers, x0, seed or length differ")
    start, paths = int(ds.attrs.get("start_path", 0)), ds.sizes.get("path", 0)
    if (start, paths) != (plan.start_path, plan.n_paths):
        raise ValueError(
            f"resume= holds paths {start} to {start + paths - 1}, the call asks for "
            f"{plan.start_path} to {plan.start_path + plan.n_paths - 1}: ask for the same"
        )
    return np.flatnonzero(ds["status"].values.ravel() == Status.INTERRUPTED)


def restore(ensemble: Ensemble, plan: Plan, ds: xr.Dataset) -> None:
    """Fill the arrays with what the dataset holds."""
    n, d = plan.total, plan.dynamics.dim
    ensemble.status[:] = ds["status"].values.ravel()
    ensemble.steps[:] = ds["n_steps"].values.ravel()
    ensemble.state[:] = ds["final_state"].values.reshape(n, d)
    if ensemble.exit_time.size:
        ensemble.exit_time[:] = ds["exit_time"].values.ravel()
    if plan.watch.record is not None:
        if plan.watch.record.state:
            ensemble.record[:] = ds["state"].values.reshape(ensemble.record.shape)
        for name, array in ensemble.values.items():
            array[:] = ds[name].values.reshape(array.shape)
    if plan.watch.moments is not None:
        ensemble.moment_sums[:] = ds["moment_sums"].values.reshape(ensemble.moment_sums.shape)
        ensemble.moment_count[:] = ds["moment_count"].values.ravel()
    if plan.watch.passages is not None:
        _restore_passages(ensemble, plan, ds)


def _restore_passages(e: Ensemble, plan: Plan, ds: xr.Dataset) -> None:
    clock = np.repeat(plan.clock, plan.n_paths)[:, None]
    e.well[:], e.since[:] = ds["last_well"].values.ravel(), ds["last_well_step"].values.ravel()
    e.occupancy[:] = np.rint(ds["occupancy_time"].values.reshape(e.occupancy.shape) / clock)
    going = np.flatnonzero((e.status == Status.INTERRUPTED) & (e.well >= 0))
    e.occupancy[going, e.well[going]] -= (e.steps - e.since)[going]
    e.transitions[:] = ds["transitions"].values.reshape(e.transitions.shape)
    e.passed[:] = ds["n_passages"].values.ravel()
    steps = ds["passage_time"].values.reshape(e.passage_step.shape) / clock
    e.passage_step[:] = np.where(np.isfinite(steps), np.rint(steps), -1)
    e.passage_to[:] = ds["passage_well"].values.reshape(e.passage_to.shape)
