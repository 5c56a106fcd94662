"""Exit times of a dataset as samples with censoring, one for each cell of a sweep, and results back as arrays.

A path that did not exit (still running, censored at the horizon, interrupted) is a datum: it was at risk for
n_steps · clock. A path that diverged is left out and counted, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import xarray as xr

EXITED, DIVERGED = 1, 3
# Below this many exits the skewness of a sample says nothing; the exponential law is assumed instead.
FEW = 10
# Exit times are on a grid if they are multiples of the time step up to this share of a step.
ON_GRID = 1e-6
ADVICE = (
    "no exit seen: the bound is all that the paths say; simulate longer (t_max), take more paths, raise the noise, "
    "or reach rare exits by rare_exit_time"
)
T = TypeVar("T")


class Sample(NamedTuple):
    """Time at risk of each path that counts, whether it exited, how many diverged, and the time step (0: none)."""

    time: np.ndarray
    exited: np.ndarray
    n_diverged: int = 0
    clock: float = 0.0

    @property
    def n_exited(self) -> int:
        """Paths that left."""
        return int(self.exited.sum())

    def grid(self) -> float:
        """The spacing of exit times that come in steps of a clock, 0 if they are continuous."""
        times = self.time[self.exited]
        if not self.clock or not times.size:
            return 0.0
        steps = np.round(times / self.clock)
        if np.any(np.abs(times / self.clock - steps) > ON_GRID):
            return 0.0
        every = int(np.gcd.reduce(steps.astype(np.int64))) if times.size >= FEW else 1
        return max(every, 1) * self.clock

    def after(self, start: np.ndarray | float) -> Sample:
        """The paths still at risk at `start`, their time counted from there (from the last grid point before it)."""
        if not np.any(start):
            return self
        start, grid = np.broadcast_to(np.asarray(start, dtype=float), self.time.shape), self.grid()
        if grid:
            start = grid * np.floor(start / grid + ON_GRID)
        later = self.time > start * (1 + 1e-12)
        if not later.any():
            raise ValueError(
                f"no path is at risk after {float(np.min(start)):g}: the last one is seen until "
                f"{float(self.time.max()):g}; take a smaller after="
            )
        return self._replace(time=(self.time - start)[later], exited=self.exited[later])


def check_exits(ds: xr.Dataset) -> None:
    """Refuse a dataset without exit times."""
    missing = [name for name in ("status", "exit_time", "n_steps", "clock") if name not in ds]
    if missing:
        raise ValueError(f"the dataset has no {', '.join(missing)}: run with observers=[FirstExit(region)]")


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")


def swept(ds: xr.Dataset) -> tuple[list[Any], dict[Any, Any]]:
    """Swept dimensions of the exit times, and their coordinates."""
    dims = [d for d in ds["exit_time"].dims if d != "path"]
    return dims, {d: ds[d] for d in dims if d in ds.coords}


def time_units(ds: xr.Dataset) -> str:
    """Units of the exit times."""
    return str(ds["exit_time"].attrs.get("units", "1"))


def samples(ds: xr.Dataset, *more: Any) -> Iterator[tuple[Any, ...]]:
    """For every cell of the sweep, the last dimension fastest: its sample, and each of `more` at the paths that count.

    What is in `more` is a number or a DataArray over some of the dimensions of the exit times.
    """
    check_exits(ds)
    dims, _ = swept(ds)
    extra = [xr.DataArray(value) for value in more]
    for array in extra:
        unknown = [str(d) for d in array.dims if d not in ds["exit_time"].dims]
        if unknown:
            raise ValueError(
                f"an argument has the dimensions {', '.join(unknown)}, the exit times have "
                f"{', '.join(map(str, ds['exit_time'].dims))}: give a number or a DataArray over those"
            )
    columns = xr.broadcast(ds["exit_time"], ds["status"], ds["n_steps"], ds["clock"], *extra)
    arrays = [a.transpose(*dims, "path").values.reshape(-1, ds.sizes["path"]) for a in columns]
    for times, status, steps, clock, *others in zip(*arrays, strict=True):
        counts = status != DIVERGED
        yield _sample(times, status, steps, clock, counts), *(other[counts] for other in others)


def over_cells(ds: xr.Dataset, statistic: Callable[..., T], *more: Any) -> list[T]:
    """The statistic of every cell's sample (and of `more` there, as `samples` gives it)."""
    return [statistic(*cell) for cell in samples(ds, *more)]


def table(ds: xr.Dataset, cells: list[dict[str, Any]], long_name: str, units: str) -> dict[str, Any]:
    """Columns of the cells' results: plain values without a sweep, else arrays over the swept dimensions."""
    dims, coords = swept(ds)
    if not dims:
        return dict(cells[0])
    shape = [ds.sizes[d] for d in dims]
    columns = {}
    for name in cells[0]:
        known = {"units": units, "long_name": f"{long_name}, {name}"} if name in ("value", "low", "high") else {}
        data = np.array([cell[name] for cell in cells]).reshape(shape)
        columns[name] = xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=known)
    return columns


def counts(sample: Sample) -> dict[str, int]:
    """The three numbers every result carries."""
    n = sample.time.size
    return {"n_exited": sample.n_exited, "n_censored": n - sample.n_exited, "n_diverged": sample.n_diverged}


def left_out(sample: Sample) -> list[str]:
    """A note if paths diverged."""
    return [f"{sample.n_diverged} diverged paths left out"] if sample.n_diverged else []


def _sample(
    times: np.ndarray, status: np.ndarray, steps: np.ndarray, clock: np.ndarray, counted: np.ndarray
) -> Sample:
    """Paths of one cell that count; diverged ones are counted apart."""
    exited = status[counted] == EXITED
    if not counted.any():
        raise ValueError(f"all {counted.size} paths diverged, none has an exit time: take a smaller step")
    at_risk = np.where(exited, times[counted], steps[counted] * clock[counted])
    return Sample(at_risk.astype(float), exited, int((~counted).sum()), float(clock[0]))
