"""Where an ensemble spends its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from sdesim.analysis.estimate import Estimate


def occupancy(ds: xr.Dataset, level: float = 0.95, wells: Sequence[int] | None = None) -> Estimate:
    """Share of the time spent in each well, or in some wells together.

    Parameters
    ----------
    ds : Dataset
        With `occupancy_time` (path, well), as `Passages` records it.
    level : float
        Of the interval.
    wells : sequence of int, optional
        Positions of wells whose shares are added.

    Returns
    -------
    Estimate
        Over the wells unless they are added (and swept dims): mean over paths, which are independent, and
        the Student interval of that mean, cut at 0 and 1. Where no path differs (a well never visited) it
        reaches to the binomial bound 1 - ((1 - level)/2)^(1/n); a single path has no interval: it is [0, 1].

    Raises
    ------
    ValueError
        If the dataset has no `occupancy_time`, or the level is not in (0, 1).
    """
    if "occupancy_time" not in ds:
        raise ValueError("the dataset has no occupancy_time: run with observers=[Passages(landscape)]")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    time = ds["occupancy_time"]
    share = time / time.sum("well")
    if wells is not None:
        share = share.isel(well=list(wells)).sum("well", skipna=False)
    n = share.notnull().sum("path")
    mean = share.mean("path")
    freedom = np.maximum(n - 1, 1)
    half = stdtrit(freedom, (1 + level) / 2) * share.std("path", ddof=1) / np.sqrt(n)
    never = 1 - ((1 - level) / 2) ** (1 / np.maximum(n, 1))
    half = half.where(half > 0, never).where(n > 1, 1.0)
    return Estimate(
        value=mean,
        low=(mean - half).clip(0, 1),
        high=(mean + half).clip(0, 1),
        level=level,
        n=n,
        method="mean over paths, Student interval",
    )
