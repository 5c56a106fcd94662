"""What the theory in one dimension asks of a region, a start and an equation."""
from __future__ import annotations

from typing import Any

import numpy as np


def region_ends(region: Any) -> tuple[float, float]:
    """Low and high end of an Interval, a Ball or a HalfSpace in one dimension; either may be infinite.

    Raises
    ------
    TypeError
        If the region is none of these.
    ValueError
        If it has more than one dimension, is empty, or is the whole line.
    """
    low, high = _ends(region)
    if not low < high:
        raise ValueError(f"the region ({low:g}, {high:g}) is empty: write Interval(low, high), low < high")
    if np.isinf(low) and np.isinf(high):
        raise ValueError("no path leaves the whole line: give the region a finite end, Interval(low, high)")
    return low, high


def interval_ends(piece: Any) -> tuple[float, float]:
    """Low and high end of an Interval, a Ball or a HalfSpace in one dimension, or of a pair (low, high).

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it is empty or has more than one dimension.
    """
    if isinstance(piece, tuple | list) and len(piece) == 2 and all(np.isscalar(end) for end in piece):
        low, high = float(piece[0]), float(piece[1])
    else:
        low, high = _ends(piece)
    if not low < high:
        raise ValueError(f"the set ({low:g}, {high:g}) is empty: write Interval(low, high), low < high")
    return low, high


def _ends(region: Any) -> tuple[float, float]:
    if hasattr(region, "low") and hasattr(region, "high"):
        return _one(region.low), _one(region.high)
    if hasattr(region, "radius"):
        centre = _one(region.center)
        return centre - float(region.radius), centre + float(region.radius)
    if hasattr(region, "normal"):
        normal = _one(region.normal)
        end = float(region.offset) / normal
        return (-np.inf, end) if normal > 0 else (end, np.inf)
    raise TypeError(f"theory in one dimension needs an Interval, got {region!r}: write Interval(low, high)")


def _one(value: Any) -> float:
    """A number, or the only entry of an array."""
    values = np.ravel(np.asarray(value, dtype=float))
    if values.size != 1:
        raise ValueError(f"the region has {values.size} dimensions, not one: write Interval(low, high)")
    return float(values[0])


def refuse_time(sde: Any) -> None:
    """Refuse an SDE whose coefficients depend on the time `t`, or are no formulas."""
    if not getattr(sde, "formulas", True):
        raise ValueError(f"the theory needs formulas, {type(sde).__name__} has functions of tensors: use run instead")
    entries = [*sde.drift, *(entry for row in sde.diffusion for entry in row)]
    if any(s.name == "t" for entry in entries for s in entry.free_symbols) and "t" not in sde.variables:
        raise ValueError("the theory needs coefficients that do not depend on the time t: use run instead")


def inside(x0: Any, low: float, high: float) -> np.ndarray:
    """Starting points as an array, all strictly between the ends.

    Raises
    ------
    ValueError
        If one is not.
    """
    x = np.asarray(x0, dtype=float)
    bad = x[~((x > low) & (x < high))]
    if bad.size:
        raise ValueError(f"x0={bad.flat[0]:g} is not inside ({low:g}, {high:g}): start inside the region")
    return x
