"""The double well of most sections: dX = (X - X³) dt + σ dW, started at -1, left through 0."""

from __future__ import annotations

import xarray as xr
from machine import THREADS

import sdesim as sd

LEFT = sd.Interval(high=0.0)
START, DT, SIGMA = -1.0, 0.01, 0.7


def sde(sigma: float = SIGMA) -> sd.SDE:
    return sd.SDE(drift=-sd.Landscape("x**4/4 - x**2/2").gradient, diffusion=sigma)


def chain(dt: float = DT, sigma: float = SIGMA) -> sd.EulerMaruyama:
    return sd.EulerMaruyama(sde(sigma), dt=dt)


def exits(dynamics: sd.EulerMaruyama, n_paths: int, correction: str | None, seed: int = 0) -> xr.Dataset:
    """Every path followed to its exit."""
    watched = [sd.FirstExit(LEFT, correction=correction)]
    return sd.run(dynamics, START, n_paths, t_max=1e6, seed=seed, observers=watched, threads=THREADS, progress=False)
