"""Ensembles with laws that are known: three observables at some times."""

import numpy as np
import xarray as xr

NAMES = ("loss", "accuracy", "norm")


def correlated(rng, n, times=10, rho=0.7):
    """Stationary normal sequences of variance 1, shape (paths, observables, times)."""
    z = rng.standard_normal((n, len(NAMES), times))
    for k in range(1, times):
        z[:, :, k] = rho * z[:, :, k - 1] + np.sqrt(1 - rho**2) * z[:, :, k]
    return z


def recorded(x, seed, status=None, times=None, start=0, **attrs):
    """Such values as a result of `run`."""
    times = np.arange(float(x.shape[2])) if times is None else times
    variables = {name: (("path", "time"), x[:, i]) for i, name in enumerate(NAMES)}
    status = np.full(len(x), 2) if status is None else status
    coords = {"path": start + np.arange(len(x)), "time": times}
    return xr.Dataset(variables | {"status": ("path", status)}, coords, {"seed": str(seed), **attrs})


def one_number(x, seed, name="loss"):
    """One value a path at one time."""
    return xr.Dataset({name: (("path", "time"), np.asarray(x)[:, None])}, {"time": [1.0]}, {"seed": str(seed)})
