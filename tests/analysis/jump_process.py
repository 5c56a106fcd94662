"""Jump processes on wells, simulated jump by jump, as datasets of `run` with `Passages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

CLOCK = 1e-9
# Three wells, all ways open, rates from 0.1 to 2.
THREE = np.array([[-1.1, 0.8, 0.3], [1.0, -3.0, 2.0], [0.1, 0.5, -0.6]])
Holding = Callable[[np.random.Generator, int], np.ndarray]


def exponential(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_exponential(n)


def gamma(shape: float) -> Holding:
    """Holding times of mean one that are not exponential."""
    return lambda rng, n: rng.gamma(shape, 1 / shape, n)


def simulate(
    q: np.ndarray,
    shape: tuple[int, ...],
    horizon: float,
    seed: int,
    capacity: int = 0,
    holding: Holding = exponential,
    start: Any = 0,
    following: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> xr.Dataset:
    """Paths of a process with mean holding times -1/q_ii and next wells q_ij/-q_ii; the last axis of shape is `path`.

    `following` gives the next well from (uniform, well, well before) instead: a process with memory.
    """
    rng = np.random.default_rng(seed)
    n, m = int(np.prod(shape)), len(q)
    out = np.abs(np.diag(q))
    chance = np.cumsum(np.where(np.eye(m, dtype=bool), 0, q), axis=1) / np.where(out > 0, out, 1)[:, None]
    well = np.broadcast_to(start, (n,)).astype(int).copy()
    before, now = np.full(n, -1), np.zeros(n)
    counts, time = np.zeros((n, m, m), dtype=np.int64), np.zeros((n, m))
    since, made = np.zeros(n), np.zeros(n, dtype=np.int64)
    when, into = np.full((n, capacity), np.nan), np.full((n, capacity), -1)
    alive = np.arange(n)
    while alive.size:
        here = well[alive]
        with np.errstate(divide="ignore"):
            stay = holding(rng, alive.size) / out[here]
        end = now[alive] + stay
        time[alive, here] += np.minimum(end, horizon) - now[alive]
        going = end < horizon
        alive, here, end = alive[going], here[going], end[going]
        u = rng.random(alive.size)
        new = (u[:, None] > chance[here]).sum(axis=1) if following is None else following(u, here, before[alive])
        counts[alive, here, new] += 1
        kept = made[alive] < capacity
        when[alive[kept], made[alive[kept]]], into[alive[kept], made[alive[kept]]] = end[kept], new[kept]
        made[alive] += 1
        before[alive], well[alive], now[alive], since[alive] = here, new, end, end
    dims = (*(f"cell{i}" for i in range(len(shape) - 1)), "path")
    variables = {
        "status": (dims, np.full(shape, 2, dtype=np.int8)),
        "n_steps": (dims, np.full(shape, round(horizon / CLOCK), dtype=np.int64)),
        "clock": (dims[:-1], np.full(shape[:-1], CLOCK)),
        "occupancy_time": ((*dims, "well"), time.reshape(*shape, m), {"units": "time"}),
        "transitions": ((*dims, "well", "to_well"), counts.reshape(*shape, m, m)),
        "n_passages": (dims, made.reshape(shape)),
        "passage_time": ((*dims, "passage"), when.reshape(*shape, capacity)),
        "passage_well": ((*dims, "passage"), into.reshape(*shape, capacity)),
        "last_well": (dims, well.reshape(shape)),
    }
    minima = np.arange(m) - 0.5
    return xr.Dataset(variables, {"well": minima, "to_well": minima})
