"""Theory beside an experiment's measurements, as variables of its dataset; or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sdesim.study.exit_theory import NODES, NoTheory, exit_theory

THEORY, THEORY_ERROR, THEORY_METHOD = "exit_time_theory", "exit_time_theory_error", "exit_time_theory_method"
SHARES, SHARES_METHOD = "occupancy_theory", "occupancy_theory_method"
NONE = "no theory: "
ASYMPTOTIC = "asymptotic, "
# Enough for a table and a figure: the error of a share is far below its statistical one.
SHARE_RTOL, SHARE_NODES = 0.03, 1500
# Over a grid of parameters: so many operators, and of that size.
FEW_CELLS, FEW_NODES = 4, 500


def with_theory(
    ds: xr.Dataset, dynamics: Any, x0: Any, observers: Sequence[Any], vary: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """The dataset with what theory says as variables: mean exit time, long-run share of time in each well.

    `exit_time_theory_method` says how each mean was calculated, "asymptotic, ..." where only a limit is known, and
    "no theory: ..." with the assumption that is not met where there is none; `occupancy_theory_method` likewise. Over a
    grid of more than FEW_CELLS cells no operators are used: they would take longer than the simulation.
    """
    from sdesim.engine.trace import watch

    seen = watch(observers)
    if seen.passages is not None:
        ds = _with_shares(ds, dynamics, seen.passages.landscape, vary or {})
    if seen.exit is not None:
        ds = _with_exit_times(ds, dynamics, x0, seen, vary or {})
    return ds


def _with_shares(ds: xr.Dataset, dynamics: Any, landscape: Any, vary: Mapping[str, Any]) -> xr.Dataset:
    try:
        shares = occupancy(dynamics, landscape, vary)
    except NoTheory as error:
        return ds.assign({SHARES_METHOD: ((), f"{NONE}{error}")})
    attributes = {"long_name": "share of time in the long run", "units": "1", "method": shares.method}
    return ds.assign({SHARES: ("well", shares.value, attributes), SHARES_METHOD: ((), shares.method)})


def occupancy(dynamics: Any, landscape: Any, vary: Mapping[str, Any] | None = None) -> Any:
    """Long-run share of time in each well of a 1-D recursion on bounded states.

    Raises
    ------
    NoTheory
        If there is none: several dimensions, a grid of parameters, unbounded states, or no stationary law.
    """
    from sdesim.analysis import theory

    if not getattr(dynamics, "formulas", True):
        raise NoTheory("the dynamics is not given by formulas")
    if dynamics.dim != 1:
        raise NoTheory(f"the stationary law is known in one dimension, the dynamics has {dynamics.dim}")
    if vary:
        raise NoTheory("the operators of all cells would take too long: theory.chain_stationary_law gives one")
    try:
        law = theory.chain_stationary_law(
            dynamics, intervals=landscape.basins, rtol=SHARE_RTOL, max_nodes=SHARE_NODES
        )
    except (TypeError, ValueError) as error:
        raise NoTheory(" ".join(str(error).split())) from None
    return law.interval_mass


def _with_exit_times(
    ds: xr.Dataset, dynamics: Any, x0: Any, seen: Any, vary: Mapping[str, Any]
) -> xr.Dataset:
    from sdesim.analysis.limits.asymptotic import Asymptotic
    from sdesim.dynamics.parameters import resolve
    from sdesim.engine.trace import all_parameters, bind

    grid = {name: np.atleast_1d(np.asarray(values, dtype=float)) for name, values in vary.items()}
    known = all_parameters(dynamics, seen) if grid else {}
    shape = tuple(len(values) for values in grid.values())
    value, error, method = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, "", dtype=object)
    nodes = NODES if not grid else FEW_NODES if value.size <= FEW_CELLS else None
    for cell in np.ndindex(shape):
        moved, region = dynamics, seen.exit.region
        if grid:
            values = {resolve(name, known): grid[name][i] for name, i in zip(grid, cell, strict=True)}
            moved, region, _ = bind(dynamics, seen, values)
        try:
            found = exit_theory(moved, x0, region, nodes=nodes)
        except NoTheory as reason:
            method[cell] = f"{NONE}{reason}"
            continue
        value[cell], error[cell] = float(np.ravel(found.value)[0]), float(np.ravel(found.error)[0])
        method[cell] = f"{ASYMPTOTIC}{found.limit}: {found.method}" if isinstance(found, Asymptotic) else found.method
    ds = ds.assign({THEORY_METHOD: (tuple(grid), method.astype(str), {"long_name": "how the theory was calculated"})})
    if np.isnan(value).all():
        return ds
    attributes = {"long_name": "mean exit time, theory", "units": "time"}
    return ds.assign(
        {
            THEORY: (tuple(grid), value, attributes | {"method": "; ".join(_methods(method))}),
            THEORY_ERROR: (tuple(grid), error, attributes | {"long_name": "error of the mean exit time, theory"}),
        }
    )


def _methods(method: np.ndarray) -> list[str]:
    """The different ways in which the means were calculated."""
    return list(dict.fromkeys(m for m in method.ravel() if not m.startswith(NONE)))
