"""Datasets of exit times as `run` makes them, and coverage of intervals."""

import numpy as np
import scipy.stats
import xarray as xr

from sdesim.analysis.exit_times.sample import Sample
from tests.chance import ALARM

EXITED, CENSORED, DIVERGED, INTERRUPTED = 1, 2, 3, 4


def dataset(times, horizon=np.inf, dims=("path",), clock=1e-3, **variables):
    """A dataset from the exit times that would be seen without a horizon."""
    times = np.asarray(times, dtype=float)
    exited = times <= horizon
    steps = np.ceil(np.where(exited, times, horizon) / clock - 1e-6).astype(np.int64)
    return xr.Dataset(
        {
            "status": (dims, np.where(exited, EXITED, CENSORED).astype(np.int8)),
            "exit_time": (dims, np.where(exited, times, np.nan), {"units": "time"}),
            "n_steps": (dims, steps),
            "clock": clock,
            **variables,
        }
    )


def censored(times, horizon, clock=0.0):
    """The sample of such a dataset."""
    return Sample(np.minimum(times, horizon), times <= horizon, 0, clock)


def hits(draw, estimate, truth, repeats=2000, seed=0):
    """Whether each repetition's interval contains the truth; `estimate` of a draw gives a dict with low and high."""
    rng = np.random.default_rng(seed)
    found = [estimate(draw(rng)) for _ in range(repeats)]
    return np.array([f["low"] <= truth <= f["high"] for f in found])


def covers(found, level=0.95):
    """Whether the share of hits is at least the level, by the exact binomial law."""
    return scipy.stats.binomtest(int(found.sum()), found.size, level, alternative="less").pvalue > ALARM
