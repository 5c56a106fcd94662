"""The short table that a run ends with: estimates, intervals and theory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from sdesim.engine.results import status_counts
from sdesim.study.reference import ASYMPTOTIC, NONE, SHARES, SHARES_METHOD, THEORY, THEORY_METHOD

MAX_ROWS = 40
MAX_PLACES = 3
HEADER = ("", "estimate", "95 % interval", "theory")


def table(ds: xr.Dataset) -> str:
    """Estimates of a dataset with their intervals and, where known, the theory; one row for each cell.

    Below it which theory that is, or the assumption of the theories that is not met.
    """
    from sdesim.analysis import exits
    from sdesim.analysis.occupancy import occupancy

    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    if "exit_time" in ds:
        try:
            estimate = exits.mean_exit_time(ds, level=0.95)
            rows += _rows("mean exit time", estimate, ds.get(THEORY), ds.get(THEORY_METHOD))
            notes = sorted({f"warning  {note}" for note in np.ravel(estimate.warning) if note})
        except ValueError as error:  # every path diverged: the dataset is written all the same
            notes = [f"warning  {error}"]
        notes += _methods("exit time", ds.get(THEORY_METHOD))
    if "occupancy_time" in ds:
        rows += _rows("share of time", occupancy(ds, level=0.95), ds.get(SHARES), None)
        notes += _methods("share of time", ds.get(SHARES_METHOD))
        if SHARES in ds:
            notes.append("theory   is the share of time in the long run, which paths near their start have not reached")
    seen, unseen = _recorded(ds, MAX_ROWS - len(rows))
    rows, notes = rows + seen, notes + unseen
    lines = _aligned([HEADER, *rows[:MAX_ROWS]]) if rows else []
    if len(rows) > MAX_ROWS:
        lines.append(f"... and {len(rows) - MAX_ROWS} rows more in the dataset")
    counts = ", ".join(f"{n} {name}" for name, n in status_counts(ds).items())
    return "\n".join([*lines, f"paths    {counts}", *notes])


def _recorded(ds: xr.Dataset, room: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of Lyapunov exponents and of recorded values at their last time, where they fit, and notes on the others."""
    from sdesim.analysis import sample
    from sdesim.analysis.attractivity.lyapunov import lyapunov
    from sdesim.dynamics.tangent import GROWTH

    found: dict[str, Any] = {}
    if "component" in ds.coords and GROWTH in ds["component"].values:
        found["Lyapunov exponent"] = lambda: lyapunov(ds)
    for name, values in ds.data_vars.items():
        if {"path", "time"} <= set(values.dims) and not {"component", "well", "passage"} & set(values.dims):
            # Where some paths have ended before, the last time that all have reached.
            whole = np.isfinite(values.transpose("time", ...).values).reshape(values.sizes["time"], -1).all(1)
            last = int(np.flatnonzero(whole)[-1]) if whole.any() else -1
            end = f"{str(name).replace('_', ' ')} at time {float(ds['time'][last]):.5g}"
            found[end] = functools.partial(sample.mean, values.isel(time=last, drop=True))
    rows: list[tuple[str, ...]] = []
    notes = []
    for what, measure in found.items():
        try:
            more = list(_rows(what, measure(), None, None))
        except ValueError as error:  # one path, or some that have ended: the dataset has the values
            notes.append(f"no mean  {what}: {error}")
            continue
        if len(rows) + len(more) > room:
            notes.append(f"dataset  has {what} in {len(more)} cells")
        else:
            rows += more
    return rows, notes


def _rows(
    what: str, estimate: Any, theory: xr.DataArray | None, method: xr.DataArray | None
) -> Iterator[tuple[str, ...]]:
    value, low, high = (xr.DataArray(a) for a in (estimate.value, estimate.low, estimate.high))
    expected, ways = (
        None if a is None else a.broadcast_like(value).transpose(*value.dims) for a in (theory, method)
    )
    for cell in np.ndindex(value.shape):
        shown = "" if expected is None or np.isnan(expected[cell]) else f"{float(expected[cell]):.5g}"
        limit = shown and ways is not None and str(ways[cell].values).startswith(ASYMPTOTIC)
        yield (
            _label(what, value, cell),
            f"{float(value[cell]):.5g}",
            f"[{float(low[cell]):.5g}, {float(high[cell]):.5g}]",
            f"≈ {shown}" if limit else shown,
        )


def _methods(what: str, method: xr.DataArray | None) -> list[str]:
    """One line for each theory, or reason why there is none, with the cells it is about."""
    if method is None:
        return []
    places: dict[str, list[str]] = {}
    for cell in np.ndindex(method.shape):
        places.setdefault(str(method.values[cell]), []).append(_place(method, cell))
    lines = []
    for text, cells in places.items():
        about = what
        if len(places) > 1:
            about += f" ({', '.join(cells)})" if len(cells) <= MAX_PLACES else f" ({len(cells)} of {method.size} cells)"
        none = text.startswith(NONE)
        lines.append(f"theory   none for {about}: {text[len(NONE):]}" if none else f"theory   of {about}: {text}")
    return lines


def _label(what: str, array: xr.DataArray, cell: tuple[int, ...]) -> str:
    place = _place(array, cell)
    return f"{what} ({place})" if place else what


def _place(array: xr.DataArray, cell: tuple[int, ...]) -> str:
    """Where a cell lies, by its coordinates."""
    places = []
    for dim, i in zip(array.dims, cell, strict=True):
        value = array[dim].values[i]
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        places.append(shown if dim == "dynamics" else f"{dim} {shown}")
    return ", ".join(places)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{row[0]:<{widths[0]}}" + "".join(f"  {t:>{w}}" for t, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
