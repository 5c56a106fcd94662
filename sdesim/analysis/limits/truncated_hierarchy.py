"""How many truncated jumps a well takes to leave, and which wells remain in the limit."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.checks import positive

WHOLE = 1e-9


@dataclass(frozen=True)
class TruncatedHierarchy:
    """Hierarchy of wells under heavy-tailed noise truncated at b, made by `truncated_hierarchy`.

    Attributes
    ----------
    widths : ndarray, shape (well,)
        r_i, distance from the minimum to the nearest end of its basin that leads out; infinite where none does.
    jumps : ndarray of int, shape (well,)
        l*_i = ⌈r_i/b⌉, jumps needed to leave; -1 where no end leads out.
    exponents : ndarray, shape (well,)
        E τ_i ~ η^-exponent in steps, up to slowly varying factors; infinite where no end leads out.
    widest : tuple of int
        The wells with the largest l*: all that remain in the limit η → 0.
    minima : ndarray or None
        The minima, where a landscape was given.
    b, alpha : float
    """

    widths: np.ndarray
    jumps: np.ndarray
    exponents: np.ndarray
    widest: tuple[int, ...]
    minima: np.ndarray | None
    b: float
    alpha: float


def truncated_hierarchy(wells: Any, b: float, alpha: float) -> TruncatedHierarchy:
    """Widths, jumps l* = ⌈r/b⌉ and exponents of the exit times of truncated heavy-tailed SGD.

    For X⁺ = X - φ_b(η f'(X) - η Z), φ_b(w) = w min(1, b/|w|), P(|Z| > x) regularly varying with index -α, α > 1, the
    number of steps to leave well i grows like

        η^-(α + (l*_i - 1)(α - 1)),    l*_i = ⌈r_i/b⌉,

    and after scaling with the slowest of these rates only the wells with the largest l* are visited in the limit. Times
    in the clock η × steps have an exponent smaller by one.

    Parameters
    ----------
    wells : Landscape of one variable, or a list of widths r_i
        Ends of the domain at which paths are held (walls) are no exits; maxima are.
    b : float
        Truncation.
    alpha : float
        Tail index, above 1.

    Returns
    -------
    TruncatedHierarchy

    Raises
    ------
    ValueError
        If α ≤ 1, the landscape has several variables or no well, or some r_i/b is a whole number, which the theorem
        excludes: there ⌈r/b⌉ is not decided by the limit.

    References
    ----------
    X. Wang, S. Oh and C.-H. Rhee 2021, arXiv 2102.04297, theorems 1 and 2; X. Wang and C.-H. Rhee 2023,
    arXiv 2307.03479.

    Examples
    --------
    >>> truncated_hierarchy([0.2, 0.9], b=0.5, alpha=1.2).exponents
    array([1.2, 1.4])
    """
    positive("b", b)
    positive("alpha", alpha)
    if not alpha > 1:
        raise ValueError(f"the hierarchy needs noise with a mean, alpha > 1, got {alpha:g}: below it l* is always 1")
    minima = None
    if hasattr(wells, "basin_of"):
        minima = np.asarray(wells.minima, dtype=float)
        widths = _widths(wells)
    else:
        widths = np.atleast_1d(np.asarray(wells, dtype=float))
    if widths.ndim != 1 or not widths.size or not np.all(widths > 0):
        raise ValueError(f"the hierarchy needs wells of positive width, got {wells!r}")
    ratio = widths / b
    for i, q in enumerate(ratio):
        if math.isfinite(q) and abs(q - round(q)) < WHOLE * max(q, 1.0):
            raise ValueError(
                f"well {i} has width {widths[i]:g} = {round(q)} b: the limit needs r/b that is no whole number, "
                "change b a little"
            )
    jumps = np.array([math.ceil(q) if math.isfinite(q) else -1 for q in ratio])
    exponents = np.where(jumps > 0, alpha + (jumps - 1) * (alpha - 1), np.inf)
    widest = tuple(int(i) for i in np.flatnonzero(exponents == exponents.max()))
    return TruncatedHierarchy(widths, jumps, exponents, widest, minima, float(b), float(alpha))


def _widths(landscape: Any) -> np.ndarray:
    """Distance from each minimum to the nearest end of its basin over which a path gets out."""
    if landscape.dim != 1:
        raise ValueError(
            f"the basins of a landscape of {landscape.dim} variables have no ends: give their widths, the distances "
            "from each minimum to the boundary of its basin"
        )
    if not len(landscape.minima):
        raise ValueError("the landscape has no minimum: there is no well to leave")
    maxima = np.asarray(landscape.maxima, dtype=float)
    out = np.full(len(landscape.minima), np.inf)
    for i, (x, ends) in enumerate(zip(landscape.minima, landscape.basins, strict=True)):
        for end in ends:
            if maxima.size and np.abs(maxima - end).min() == 0:
                out[i] = min(out[i], abs(float(end - x)))
    return out
