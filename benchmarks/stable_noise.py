"""Euler steps with symmetric 1.5-stable increments in a quadratic well, against vectorised NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from machine import THREADS
from table import Row
from timing import agree, alternate

import sdesim as sd

ALPHA, DT, SCALE = 1.5, 1e-3, 0.5
N, STEPS, BLOCK = 65_536, 200, 4_096


def numpy_loop(n: int, steps: int, block: int) -> Callable[[], np.ndarray]:
    """Chambers, Mallows and Stuck's variates for whole arrays, `block` paths at a time."""
    rng = np.random.default_rng(0)
    a = ALPHA

    def simulate() -> np.ndarray:
        return np.concatenate([_block(rng, block, steps, a) for _ in range(n // block)])

    return simulate


def _block(rng: np.random.Generator, n: int, steps: int, a: float) -> np.ndarray:
    x = np.zeros(n)
    for _ in range(steps):
        u, w = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.exponential(size=n)
        z = np.sin(a * u) / np.cos(u) ** (1 / a) * (np.cos((1 - a) * u) / w) ** ((1 - a) / a)
        x = x - DT * x + SCALE * DT ** (1 / a) * z
    return x


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    steps = STEPS // 10 if small else STEPS
    dynamics = sd.EulerMaruyama(sd.SDE(drift="-x", diffusion=SCALE, noise=sd.Stable(ALPHA)), dt=DT)
    timed = alternate(
        {
            "sdesim": lambda: sd.run(dynamics, 0.0, N, n_steps=steps, threads=THREADS, progress=False),
            "NumPy": numpy_loop(N, steps, N),
            "NumPy in blocks": numpy_loop(N, steps, BLOCK),
        }
    )
    state = timed["sdesim"].result["final_state"].values
    detail: dict[str, Any] = {"timings": {name: t.summary() for name, t in timed.items()}, "agreement": {}}
    width = np.median(np.abs(state))
    for peer in ("NumPy", "NumPy in blocks"):
        for k in (0.3, 1.0, 3.0):
            a, b = (np.cos(k * x / width) for x in (state, timed[peer].result))
            detail["agreement"][f"{peer}, E cos({k:g} x / median |x|)"] = agree(peer, a, b)
    detail["remarks"] = [
        f"Stable noise: NumPy runs on one thread, with all paths at once or {BLOCK:,} at a time (which stay in "
        "the cache). The means compared are those of cosines, since the noise has no variance."
    ]
    ns = {name: t.median / N / steps * 1e9 for name, t in timed.items()}
    work = f"stable noise, α = {ALPHA:g}, {N:,} paths × {steps:,} steps"
    peers = ("NumPy", "NumPy in blocks")
    return [Row(work, "ns/path-step", ns["sdesim"], peer, ns[peer], 8) for peer in peers], detail
