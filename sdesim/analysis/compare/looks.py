"""What two ensembles can be compared by: values of each path, one column for each observable, component and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from sdesim.core.checks import near
from sdesim.engine.results import Status
from sdesim.observe.schedule import steps_of

# Dimensions that lie inside an ensemble; all others are swept parameters.
INSIDE = frozenset({"path", "time", "component", "well", "to_well", "passage"})
# Two times are the same up to this share; two values that differ by fewer roundings are the same.
SAME_TIME, ROUNDINGS = 1e-9, 64


class Looks(NamedTuple):
    """Two samples of rows: one row a path, one column a look (an observable, its component, a time).

    `diverged` says which rows are of paths that did; a value that is not there is NaN. In `paired` samples row i of
    one belongs to row i of the other.
    """

    observable: list[str]
    component: list[str]
    time: np.ndarray
    reference: np.ndarray
    other: np.ndarray
    diverged_reference: np.ndarray
    diverged_other: np.ndarray
    paired: bool
    notes: list[str]


def ensembles(data: Any, other: Any) -> dict[str, xr.Dataset]:
    """The ensembles by name: those of a dataset with the dimension `dynamics`, of a mapping, or two datasets."""
    if other is not None:
        data = {"first": data, "second": other}
    if isinstance(data, Mapping) and not isinstance(data, xr.Dataset):
        runs = {str(name): ds for name, ds in data.items()}
    elif isinstance(data, xr.Dataset) and "dynamics" in data.dims:
        runs = {str(name): data.sel(dynamics=name) for name in data["dynamics"].values}
    elif isinstance(data, xr.Dataset):
        raise ValueError(
            "the dataset holds one dynamics: give two datasets, compare(a, b), or a model of several experiments"
        )
    else:
        raise TypeError(f"a comparison is of datasets, got {type(data).__name__}: write compare(a, b)")
    for name, ds in runs.items():
        if not isinstance(ds, xr.Dataset):
            raise TypeError(f"{name!r} is no dataset, got {type(ds).__name__}: give results of run")
        if "dynamics" in ds.dims:
            raise ValueError(
                f"{name!r} holds several dynamics itself, {', '.join(map(str, ds['dynamics'].values))}: select one by "
                "ds.sel(dynamics=NAME), or compare them alone"
            )
        if "path" not in ds.dims:
            raise ValueError(f"{name!r} has no paths, its dimensions are {dict(ds.sizes)}: give results of run")
        if not ds.sizes["path"]:
            raise ValueError(f"{name!r} has 0 paths: nothing to compare")
    if len(runs) < 2:
        raise ValueError(f"a comparison needs two dynamics, got {', '.join(runs) or 'none'}")
    return runs


def cells(a: xr.Dataset, b: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset, xr.Dataset]]:
    """Both ensembles at each value of the swept parameters, with those values by name."""
    dims = [_swept(ds) for ds in (a, b)]
    if set(dims[0]) != set(dims[1]):
        raise ValueError(
            f"different parameters are swept, {dims[0] or 'none'} and {dims[1] or 'none'}: select values by ds.sel(...)"
        )
    for d in dims[0]:
        if not np.array_equal(a[d].values, b[d].values):
            raise ValueError(f"{d} has the values {a[d].values} and {b[d].values}: select those they share by ds.sel")
    for index in np.ndindex(*(a.sizes[d] for d in dims[0])):
        at = dict(zip(dims[0], index, strict=True))
        yield {d: a[d].values[i].item() for d, i in at.items()}, a.isel(at), b.isel(at)


def looks(
    a: xr.Dataset, b: xr.Dataset, observables: Sequence[str] | None, times: Sequence[float] | None, paired: Any
) -> Looks:
    """Everything that both ensembles have, path by path."""
    notes: list[str] = []
    together = _together(a, b, paired, notes)
    if together:
        a, b = a.sel(path=_common(a, b)), b.sel(path=_common(a, b))
    chosen = _chosen(a, b, observables, notes)
    columns = [column for name in chosen for column in _columns(name, a, b, times, notes)]
    first = np.stack([c[3] for c in columns], axis=1)
    second = np.stack([c[4] for c in columns], axis=1)
    eps = max(np.finfo(str(ds.attrs.get("dtype", "float64"))).eps for ds in (a, b))
    first, second = _snapped(first, second, together, ROUNDINGS * float(eps))
    found = Looks(
        [c[0] for c in columns], [c[1] for c in columns], np.array([c[2] for c in columns]), first, second,
        _diverged(a).values, _diverged(b).values, together, notes,
    )  # fmt: skip
    _note_missing(found)
    return found


def _swept(ds: xr.Dataset) -> list[str]:
    dims = dict.fromkeys(str(d) for v in ds.data_vars.values() if "path" in v.dims for d in v.dims)
    return [d for d in dims if d not in INSIDE]


def _together(a: xr.Dataset, b: xr.Dataset, paired: Any, notes: list[str]) -> bool:
    """Whether path i of one belongs to path i of the other: same seed, same path number."""
    if paired not in ("auto", True, False):
        raise ValueError(f"paired must be 'auto', True or False, got {paired!r}")
    common = _common(a, b)
    seeds = [ds.attrs.get("seed") for ds in (a, b)]
    shared = seeds[0] is not None and seeds[0] == seeds[1] and common.size > 0
    if paired is True and not common.size:
        raise ValueError("no path number is in both ensembles: paired=True needs common ones, write paired=False")
    if paired is False and shared:
        notes.append("the ensembles share a seed: their paths depend on each other, which paired=False leaves out")
    if paired is False or (paired == "auto" and not shared):
        return False
    left = a.sizes["path"] + b.sizes["path"] - 2 * common.size
    if left:
        notes.append(f"{left} paths have no partner and are left out: simulate one ensemble with another seed")
    return True


def _common(a: xr.Dataset, b: xr.Dataset) -> np.ndarray:
    one, two = (ds["path"].values if "path" in ds.coords else np.arange(ds.sizes["path"]) for ds in (a, b))
    common: np.ndarray = np.intersect1d(one, two)
    return common


def _chosen(a: xr.Dataset, b: xr.Dataset, observables: Sequence[str] | None, notes: list[str]) -> list[str]:
    have = [_observables(ds) for ds in (a, b)]
    if observables is not None:
        asked = [observables] if isinstance(observables, str) else list(observables)
        if not asked:
            raise ValueError("observables names nothing: leave it out to compare all that both have")
        for name in asked:
            for ds in (a, b):
                known = [str(v) for v in ds.data_vars if "path" in ds[v].dims]
                if name not in known:
                    raise ValueError(f"there is no observable {name!r} in both: {near(name, known)}")
        return asked
    common = [name for name in have[0] if name in have[1]]
    if not common:
        raise ValueError(
            f"no observable in common, {', '.join(have[0]) or 'nothing'} and {', '.join(have[1]) or 'nothing'}: "
            "record the same things, observers=[Record(times)]"
        )
    alone = [name for name in dict.fromkeys(have[0] + have[1]) if name not in common]
    if alone:
        notes.append(f"in one ensemble only, not compared: {', '.join(alone)}")
    return common


def _observables(ds: xr.Dataset) -> list[str]:
    """What was recorded over time, and exit times; the last states where there is neither."""
    seen = [str(v) for v, x in ds.data_vars.items() if {"path", "time"} <= set(x.dims) and bool(np.isfinite(x).any())]
    if "exit_time" in ds and bool(np.isin(ds["status"], (Status.EXITED, Status.CENSORED)).any()):
        seen.append("exit_time")
    return seen or [name for name in ("final_state",) if name in ds]


Column = tuple[str, str, float, np.ndarray, np.ndarray]


def _columns(
    name: str, a: xr.Dataset, b: xr.Dataset, times: Sequence[float] | None, notes: list[str]
) -> Iterator[Column]:
    """Name, component, time and both samples of every look at one observable."""
    if name == "exit_time":
        yield _exit_column(a, b, notes)
        return
    x, y = a[name], b[name]
    if set(x.dims) != set(y.dims):
        raise ValueError(f"{name} has the dimensions {x.dims} and {y.dims}: compare quantities of one shape")
    if "time" in x.dims:
        at = _common_times(a["time"].values, b["time"].values, times)
        x, y = (v.isel(time=rows) for v, rows in zip((x, y), at, strict=True))
        clock = x["time"].values
        _note_steps(a, b, clock, notes)
    else:
        clock = np.array([_end(name, a, b)])
        x, y = x.expand_dims("time"), y.expand_dims("time")
    inner = [str(d) for d in x.dims if d not in ("path", "time")]
    parts = list(_parts(x, y, inner))
    if not parts:
        said = [", ".join(map(str, v[inner[0]].values)) for v in (x, y)]
        raise ValueError(f"{name} has no {inner[0]} in common, {said[0]} and {said[1]}: compare the same quantities")
    alone = max(np.prod([v.sizes[d] for d in inner]) for v in (x, y)) - len(parts)
    if alone:
        notes.append(f"{name}: {int(alone)} components of one ensemble only are not compared")
    for place, one, two in parts:
        first, second = (v.transpose("path", "time").values.astype(float) for v in (one, two))
        for k, t in enumerate(clock):
            yield name, place, float(t), first[:, k], second[:, k]


def _parts(x: xr.DataArray, y: xr.DataArray, inner: list[str]) -> Iterator[tuple[str, xr.DataArray, xr.DataArray]]:
    """Both arrays at every value of their inner dimensions (components, wells) that they share."""
    if not inner:
        yield "", x, y
        return
    d, *rest = inner
    labels = [v[d].values if d in v.coords else np.arange(v.sizes[d]) for v in (x, y)]
    for i, label in enumerate(labels[0]):
        where = np.flatnonzero(labels[1] == label)
        if where.size:
            for place, one, two in _parts(x.isel({d: i}), y.isel({d: int(where[0])}), rest):
                yield f"{label} {place}".strip(), one, two


def _common_times(a: np.ndarray, b: np.ndarray, times: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    """Places of the times that both have, of those asked for."""
    near_b = np.array([np.argmin(np.abs(b - t)) for t in a], dtype=int)
    same = np.abs(b[near_b] - a) <= SAME_TIME * np.maximum(np.abs(a), 1.0)
    if not same.any():
        raise ValueError(f"no common times, {_span(a)} and {_span(b)}: record both at the same times")
    kept = np.flatnonzero(same)
    if times is not None:
        asked = np.atleast_1d(np.asarray(times, dtype=float))
        close = np.abs(a[kept][:, None] - asked) <= SAME_TIME * np.maximum(np.abs(asked), 1.0)
        if not close.any(axis=0).all():
            missing = asked[~close.any(axis=0)][0]
            raise ValueError(f"time {missing:g} was not recorded in both: there are {_span(a[kept])}")
        kept = kept[close.any(axis=1)]
    return kept, near_b[kept]


def step_times(ds: xr.Dataset, times: np.ndarray) -> np.ndarray:
    """Times of the steps whose states were recorded at these times: the last ones at or before."""
    if "clock" not in ds:
        return times
    clock = float(ds["clock"].max())
    return steps_of(times.tolist(), clock) * clock


def _note_steps(a: xr.Dataset, b: xr.Dataset, times: np.ndarray, notes: list[str]) -> None:
    """Say so where states recorded at one time are of different times, the steps being of different lengths."""
    one, two = step_times(a, times), step_times(b, times)
    off = np.flatnonzero(np.abs(one - two) > SAME_TIME * np.maximum(times, 1.0))
    if off.size:
        k = off[0]
        note = (
            f"at {off.size} of {times.size} times the states are of different times (at {times[k]:g} the last steps "
            f"were at {one[k]:g} and {two[k]:g}), and may differ by that alone: record at multiples of both steps"
        )
        if note not in notes:
            notes.append(note)


def _span(times: np.ndarray) -> str:
    return f"{times.size} from {times[0]:g} to {times[-1]:g}" if times.size > 4 else ", ".join(f"{t:g}" for t in times)


def _end(name: str, a: xr.Dataset, b: xr.Dataset) -> float:
    """The time at which both ensembles end, NaN where the dataset does not say."""
    if name != "final_state" or not all({"n_steps", "clock"} <= set(ds.data_vars) for ds in (a, b)):
        return float("nan")
    ends = [_last_time(ds) for ds in (a, b)]
    if np.isnan(ends).any():  # every path of one has diverged, which is said elsewhere
        return float(np.nanmax(ends)) if np.isfinite(ends).any() else float("nan")
    steps = max(float(ds["clock"].max()) for ds in (a, b))
    if abs(ends[0] - ends[1]) > steps * (1 + SAME_TIME):
        raise ValueError(
            f"no common times, the last states are of {ends[0]:g} and {ends[1]:g}: give both the same t_max"
        )
    return ends[0]


def _last_time(ds: xr.Dataset) -> float:
    """Time that the paths which have not diverged reached, NaN where all have."""
    return float((ds["n_steps"] * ds["clock"]).where(~_diverged(ds)).max())


def _exit_column(a: xr.Dataset, b: xr.Dataset, notes: list[str]) -> Column:
    """Exit times cut at the first censoring of any path: min(T, t) is known for every path, no law assumed."""
    known, last = [], []
    for ds in (a, b):
        status = ds["status"].values
        if np.any(status == Status.INTERRUPTED):
            raise ValueError("exit times of an interrupted run cannot be compared: complete it by run(..., resume=ds)")
        at_risk = np.where(status == Status.EXITED, ds["exit_time"].values, ds["n_steps"].values * ds["clock"].values)
        known.append(np.where(status == Status.DIVERGED, np.nan, at_risk))
        last.append(np.min(at_risk[status == Status.CENSORED], initial=np.inf))
    t = float(min(last))
    grid = sorted({float(ds["clock"].max()) for ds in (a, b)})
    if len(grid) > 1:
        notes.append(f"exit times come in steps of {grid[0]:g} and {grid[1]:g}: they may differ by that much")
    label = "" if t == np.inf else f"up to {t:g}"
    return "exit_time", label, float("nan"), np.minimum(known[0], t), np.minimum(known[1], t)


def _diverged(ds: xr.Dataset) -> xr.DataArray:
    if "status" not in ds:
        return xr.DataArray(np.zeros(ds.sizes["path"], dtype=bool), dims="path")
    return xr.DataArray(ds["status"] == Status.DIVERGED)


def _snapped(a: np.ndarray, b: np.ndarray, paired: bool, rounding: float) -> tuple[np.ndarray, np.ndarray]:
    """Values that differ by rounding alone made equal, infinite ones NaN; in pairs, a lone value NaN too."""
    a, b = (np.where(np.isfinite(v), v, np.nan) for v in (a, b))
    both = np.concatenate([a, b])
    known = np.isfinite(both)
    low, high = np.min(both, axis=0, initial=np.inf, where=known), np.max(both, axis=0, initial=-np.inf, where=known)
    flat = (high >= low) & (high - low <= rounding * np.maximum(np.abs(low), np.abs(high)))
    a, b = (np.where(flat & np.isfinite(v), low, v) for v in (a, b))
    if paired:
        b = np.where(np.abs(a - b) <= rounding * np.maximum(np.abs(a), np.abs(b)), a, b)
        alone = np.isnan(a) | np.isnan(b)
        a, b = np.where(alone, np.nan, a), np.where(alone, np.nan, b)
    return a, b


def _note_missing(found: Looks) -> None:
    for name, x in (("reference", found.reference), ("other", found.other)):
        missing = int(np.isnan(x).any(axis=1).sum())
        if missing:
            found.notes.append(
                f"{missing} of {len(x)} paths of the {name} lack values at some times (stopped, diverged"
                f"{', or their partner' if found.paired else ''}): compared are those that have them"
            )
