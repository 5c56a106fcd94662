"""Exits on the Müller–Brown landscape in two dimensions, with the bridge correction."""

from __future__ import annotations

from typing import Any

import numpy as np
from machine import THREADS
from table import Row
from timing import alternate

import sdesim as sd

# Müller and Brown 1979, Theor. Chim. Acta 53, 75: A, a, b, c, x0, y0 of each term.
TERMS = (
    (-200, -1, 0, -10, 1, 0),
    (-100, -1, 0, -10, 0, 0.5),
    (-170, -6.5, 11, -6.5, -0.5, 1.5),
    (15, 0.7, 0.6, 0.7, -1, 1),
)
FORMULA = " + ".join(
    f"({A})*exp(({a})*(x - ({x0}))**2 + ({b})*(x - ({x0}))*(y - ({y0})) + ({c})*(y - ({y0}))**2)"
    for A, a, b, c, x0, y0 in TERMS
)
MINIMUM, SADDLE = (-0.5582236346, 1.441725842), (-0.8220015587, 0.6243128028)
SIGMAS, DT, N = (6.0, 8.0), 1e-4, 65_536
BAR = 12.0


def regions(landscape: sd.Landscape) -> dict[str, Any]:
    """Behind the saddle by a plane across its unstable direction, and a disc around the minimum."""
    _, vectors = np.linalg.eigh(landscape.hessian(np.array(SADDLE)))
    normal = vectors[:, 0]
    if normal @ (np.array(SADDLE) - np.array(MINIMUM)) < 0:
        normal = -normal
    return {
        "half plane at the saddle": sd.HalfSpace(tuple(normal.tolist()), float(normal @ np.array(SADDLE))),
        "disc around the minimum": sd.Ball(MINIMUM, 0.6),
    }


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    n = N // 16 if small else N
    landscape = sd.Landscape(FORMULA)
    found = {
        f"{name}, σ = {sigma:g}": (_dynamics(landscape, sigma), region)
        for sigma in SIGMAS
        for name, region in regions(landscape).items()
    }
    timed = alternate({name: lambda p=pair: _exits(*p, n) for name, pair in found.items()})
    detail: dict[str, Any] = {"timings": {name: t.summary() for name, t in timed.items()}}
    rows = []
    for name, t in timed.items():
        steps = float(t.result["n_steps"].sum())
        estimate = sd.exits.mean_exit_time(t.result)
        same = _same_as_reference(*found[name])
        detail[name] = {"mean_exit_time": str(estimate), "steps_per_path": steps / n, "reference": same}
        cost = t.median / steps * 1e9
        work = f"Müller–Brown, {name}, bridge correction ({steps / n:.0f} steps a path)"
        rows.append(Row(work, "ns/useful path-step", cost, bar=BAR))
    detail["remarks"] = [
        f"Müller–Brown: dt = {DT:g}, {n:,} paths from the deepest minimum to their exits; 64 of them agree with the "
        "slow NumPy engine path by path. The less noise, the longer the paths, and the less the start and the "
        "crossing of each path weigh."
    ]
    return rows, detail


def _dynamics(landscape: sd.Landscape, sigma: float) -> sd.EulerMaruyama:
    return sd.EulerMaruyama(sd.SDE(drift=-landscape.gradient, diffusion=sigma), dt=DT)


def _exits(dynamics: Any, region: Any, n: int, engine: str = "native") -> Any:
    watched = [sd.FirstExit(region, correction="bridge")]
    return sd.run(dynamics, MINIMUM, n, t_max=1e3, observers=watched, engine=engine, threads=THREADS, progress=False)


def _same_as_reference(dynamics: Any, region: Any, n: int = 64) -> dict[str, float]:
    """Largest difference of exit times from the slow engine, and paths that left in another step."""
    fast, slow = (_exits(dynamics, region, n, engine) for engine in ("native", "reference"))
    other = int((fast["n_steps"] != slow["n_steps"]).sum())
    difference = float(abs(fast["exit_time"] - slow["exit_time"]).max())
    if other > 1:
        raise AssertionError(f"{other} of {n} paths leave in another step than in the reference engine")
    return {"largest_difference": difference, "paths_with_other_step": other}
