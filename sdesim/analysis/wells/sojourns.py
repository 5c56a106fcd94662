"""The stays of each path in the wells, put together from what `Passages` records."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

DIVERGED = 3
NEEDED = (
    "transitions", "occupancy_time", "n_passages", "passage_time", "passage_well", "last_well", "n_steps", "clock",
)  # fmt: skip


class Sojourns(NamedTuple):
    """Stays in wells, ordered by path and time; all arrays have shape (stay,).

    `to` is the next well, -1 where the record ends before the path leaves; `end - start` is then the time seen.
    """

    path: np.ndarray
    well: np.ndarray
    to: np.ndarray
    start: np.ndarray
    end: np.ndarray
    n_wells: int
    clock: float


def sojourns(ds: xr.Dataset) -> Sojourns:
    """Every stay of every path of one cell.

    The first well follows from the passages counted: it is left once more than it is entered, unless it is also
    the last; the time of its entry is the time of the run less that in all wells.

    Raises
    ------
    ValueError
        If passages are missing, parameters are swept, or paths made more passages than were kept.
    """
    missing = [name for name in NEEDED if name not in ds]
    if missing:
        raise ValueError(f"the dataset has no {', '.join(missing)}: run with observers=[Passages(landscape)]")
    swept = [str(d) for d in ds["n_passages"].dims if d != "path"]
    if swept:
        raise ValueError(f"stays are those of one cell: select {', '.join(swept)}, as ds.isel({swept[0]}=0)")
    most, capacity = int(ds["n_passages"].max()), ds.sizes["passage"]
    if most > capacity:
        over = int((ds["n_passages"] > capacity).sum())
        raise ValueError(
            f"{over} of {ds.sizes['path']} paths made more passages than the {capacity} kept, up to {most}: "
            f"run with Passages(landscape, capacity={most})"
        )
    entered = np.asarray(ds["last_well"]) >= 0
    return _assembled(ds.isel(path=entered & (np.asarray(ds["status"]) != DIVERGED)))


def _assembled(ds: xr.Dataset) -> Sojourns:
    m, n = ds.sizes["well"], ds.sizes["path"]
    counts = np.asarray(ds["transitions"].transpose("path", "well", "to_well"))
    last = np.asarray(ds["last_well"]).astype(int)
    surplus = counts.sum(axis=2) - counts.sum(axis=1)
    surplus[np.arange(n), last] += 1
    first = surplus.argmax(axis=1)
    horizon = np.asarray(ds["n_steps"] * ds["clock"], dtype=float)
    begin = np.maximum(horizon - np.asarray(ds["occupancy_time"].sum("well"), dtype=float), 0.0)
    times = np.asarray(ds["passage_time"].transpose("path", "passage"), dtype=float)
    into = np.asarray(ds["passage_well"].transpose("path", "passage")).astype(int)
    made = np.asarray(ds["n_passages"]).astype(int)

    stays = made + 1
    row = np.repeat(np.arange(n), stays)
    place = np.arange(stays.sum()) - np.repeat(np.cumsum(stays) - stays, stays)
    padded_times = np.hstack([begin[:, None], times])
    padded_wells = np.hstack([first[:, None], into])
    ended = place == made[row]
    column = np.minimum(place, max(times.shape[1] - 1, 0))
    return Sojourns(
        path=row,
        well=padded_wells[row, place],
        to=np.where(ended, -1, into[row, column]),
        start=padded_times[row, place],
        end=np.where(ended, horizon[row], times[row, column]),
        n_wells=m,
        clock=float(np.asarray(ds["clock"])),
    )


def cut(s: Sojourns, pieces: int) -> Sojourns:
    """Every path cut into equal times, each a path of its own: stays that cross a cut end there unfinished."""
    if pieces == 1:
        return s
    n = int(s.path.max()) + 1
    begin, end = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(begin, s.path, s.start)
    np.maximum.at(end, s.path, s.end)
    width = (end - begin) / pieces
    parts: list[Any] = []
    for b in range(pieces):
        low = (begin + b * width)[s.path]
        high = end[s.path] if b == pieces - 1 else (begin + (b + 1) * width)[s.path]
        inside = (s.start < high) & (s.end > low)
        through = s.end > high
        start, stop = np.maximum(s.start, low), np.minimum(s.end, high)
        parts.append(
            (s.path * pieces + b, s.well, np.where(through, -1, s.to), start, stop, inside)
        )  # fmt: skip
    arrays = [np.concatenate([p[c][p[5]] for p in parts]) for c in range(5)]
    order = np.lexsort((arrays[3], arrays[0]))
    path, well, to, start, stop = (a[order] for a in arrays)
    return Sojourns(path, well, to, start, stop, s.n_wells, s.clock)


def counted(s: Sojourns) -> tuple[np.ndarray, np.ndarray]:
    """Passages (path, well, to_well) and time (path, well) of each path."""
    n, m = int(s.path.max()) + 1, s.n_wells
    moves = np.zeros((n, m, m))
    left = s.to >= 0
    np.add.at(moves, (s.path[left], s.well[left], s.to[left]), 1.0)
    time = np.zeros((n, m))
    np.add.at(time, (s.path, s.well), s.end - s.start)
    return moves, time


def pairs(s: Sojourns, lag: float) -> np.ndarray:
    """Times each path is in well i at the start and in j at the end of a window of length `lag`.

    The windows follow each other without overlap from the first entry on; shape (path, well, to_well).
    """
    n, m = int(s.path.max()) + 1, s.n_wells
    begin, end = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(begin, s.path, s.start)
    np.maximum.at(end, s.path, s.end)
    windows = np.where(end > begin, np.floor((end - begin) / lag * (1 + 1e-12)), 0).astype(int)
    looks = np.where(windows > 0, windows + 1, 0)
    row = np.repeat(np.arange(n), looks)
    place = np.arange(looks.sum()) - np.repeat(np.cumsum(looks) - looks, looks)
    span = 2 * float((end - np.where(np.isfinite(begin), begin, 0)).max(initial=0.0)) + 1.0
    since = s.start - begin[s.path] + s.path * span
    well = s.well[np.searchsorted(since, place * lag * (1 - 1e-12) + row * span, side="right") - 1]
    out = np.zeros((n, m, m))
    follows = place[1:] > 0
    np.add.at(out, (row[1:][follows], well[:-1][follows], well[1:][follows]), 1.0)
    return out
