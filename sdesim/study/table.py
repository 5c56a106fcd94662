"""The short table that a run ends with: estimates, intervals and theory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from sdesim.engine.results import status_counts
from sdesim.study.reference import SHARES, THEORY

MAX_ROWS = 40
HEADER = ("", "estimate", "95 % interval", "theory")


def table(ds: xr.Dataset) -> str:
    """Estimates of a dataset with their intervals and, where known, the theory; one row for each cell."""
    from sdesim.analysis import exits
    from sdesim.analysis.occupancy import occupancy

    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    if "exit_time" in ds:
        try:
            estimate = exits.mean_exit_time(ds, level=0.95)
            rows += _rows("mean exit time", estimate, ds.get(THEORY))
            notes = sorted({f"warning  {note}" for note in np.ravel(estimate.warning) if note})
        except ValueError as error:  # every path diverged: the dataset is written all the same
            notes = [f"warning  {error}"]
    if "occupancy_time" in ds:
        rows += _rows("share of time", occupancy(ds, level=0.95), ds.get(SHARES))
        if SHARES in ds:
            notes.append("theory   is the share of time in the long run, which paths near their start have not reached")
    lines = _aligned([HEADER, *rows[:MAX_ROWS]]) if rows else []
    if len(rows) > MAX_ROWS:
        lines.append(f"... and {len(rows) - MAX_ROWS} rows more in the dataset")
    counts = ", ".join(f"{n} {name}" for name, n in status_counts(ds).items())
    return "\n".join([*lines, f"paths    {counts}", *notes])


def _rows(what: str, estimate: Any, theory: xr.DataArray | None) -> Iterator[tuple[str, ...]]:
    value, low, high = (xr.DataArray(a) for a in (estimate.value, estimate.low, estimate.high))
    expected = None if theory is None else theory.broadcast_like(value).transpose(*value.dims)
    for cell in np.ndindex(value.shape):
        yield (
            _label(what, value, cell),
            f"{float(value[cell]):.5g}",
            f"[{float(low[cell]):.5g}, {float(high[cell]):.5g}]",
            "" if expected is None else f"{float(expected[cell]):.5g}",
        )


def _label(what: str, array: xr.DataArray, cell: tuple[int, ...]) -> str:
    places = []
    for dim, i in zip(array.dims, cell, strict=True):
        value = array[dim].values[i]
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        places.append(shown if dim == "dynamics" else f"{dim} {shown}")
    return f"{what} ({', '.join(places)})" if places else what


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{row[0]:<{widths[0]}}" + "".join(f"  {t:>{w}}" for t, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
