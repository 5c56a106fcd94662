"""How wells are named in messages, and checked in arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr


def well_name(place: int, minimum: Any = None) -> str:
    """"well 3 (x = 1.32)" for the third well; only its number where the minimum is not known.

    Parameters
    ----------
    place : int
        Position in `landscape.minima`, from 0.
    minimum : float or array, optional
    """
    if minimum is None:
        return f"well {place + 1}"
    where = ", ".join(f"{v:.4g}" for v in np.atleast_1d(minimum))
    return f"well {place + 1} (x = {where if np.ndim(minimum) == 0 else '(' + where + ')'})"


def well_names(array: xr.DataArray) -> list[str]:
    """The name of each well of an array over `well`."""
    coordinate = np.asarray(array["well"])
    known = coordinate.dtype.kind == "f"
    return [well_name(i, v if known else None) for i, v in enumerate(coordinate)]


def well_numbers(argument: str, wells: Sequence[int], n: int) -> list[int]:
    """Distinct positions of wells, or one clear error.

    Raises
    ------
    ValueError
        If there are none, one occurs twice, or one is not in 0 … n - 1.
    """
    numbers = [int(w) for w in np.atleast_1d(np.asarray(wells))]
    bad = [w for w in numbers if not 0 <= w < n]
    if bad or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{argument} must be distinct wells among 0 … {n - 1}, got {list(wells)}")
    return numbers
