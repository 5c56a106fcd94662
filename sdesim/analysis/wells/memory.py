"""Whether the next well depends on the well before the last."""

from __future__ import annotations

import numpy as np
import xarray as xr

from sdesim.analysis.wells.sojourns import Sojourns

FEW = 10  # stays below which nothing is said


def memory(s: Sojourns, share: float, wells: xr.DataArray) -> xr.Dataset:
    """Share of the next wells after i, j and after j alone, with intervals of the difference.

    In a Markov chain P(next = k | now j, before i) does not depend on i. With n_ij of n_j stays in j coming from i the
    difference of the two shares has variance p (1 - p) (1/n_ij - 1/n_j) then, p the share after j alone.

    Parameters
    ----------
    s : Sojourns
    share : float
        False alarms of all intervals together (Bonferroni).
    wells : DataArray
        The coordinate `well`.

    Returns
    -------
    Dataset
        `given_both`, `given_one`, `difference`, `low`, `high` over before, well and to_well; NaN where fewer than ten
        stays are known, and where there is one way only.
    """
    from scipy.special import ndtri

    m = s.n_wells
    joined = (s.path[1:] == s.path[:-1]) & (s.to[1:] >= 0)
    n = np.zeros((m, m, m))
    np.add.at(n, (s.well[:-1][joined], s.well[1:][joined], s.to[1:][joined]), 1.0)
    from_one, here = n.sum(axis=2, keepdims=True), n.sum(axis=(0, 2))[None, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        both, one = n / from_one, n.sum(axis=0)[None] / here
        error = np.sqrt(one * (1 - one) * (1 / from_one - 1 / here))
    known = (from_one >= FEW) & (here > from_one) & (one > 0) & (one < 1)
    z = float(ndtri(1 - share / (2 * max(int(known.sum()), 1))))
    difference = both - one
    arrays = {
        "given_both": both, "given_one": np.broadcast_to(one, both.shape), "difference": difference,
        "low": difference - z * error, "high": difference + z * error,
    }  # fmt: skip
    dims = ("before", "well", "to_well")
    coords = {d: (d, np.asarray(wells), wells.attrs) for d in dims}
    return xr.Dataset({k: (dims, np.where(known, v, np.nan), {"units": "1"}) for k, v in arrays.items()}, coords)
