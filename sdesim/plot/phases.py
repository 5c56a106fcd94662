"""Phase diagrams: where noise makes a set attractive, over two parameters of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sdesim.analysis.attractivity.lyapunov import lyapunov
from sdesim.core.checks import near
from sdesim.plot.canvas import axis_label, swept_dims

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.95


def phase_diagram(
    ax: Axes,
    ds: xr.Dataset,
    x: str | None = None,
    y: str | None = None,
    after: float = 0.0,
    boundary: Callable[[Any], Any] | None = None,
    label: str = "predicted boundary",
    distance: str | None = None,
) -> None:
    """Lyapunov exponent over two swept parameters, its zero and the predicted boundary.

    Red cells attract, blue ones repel; cells whose 95 % interval holds 0 carry a dot, cells in which a path diverged
    are grey. The solid line is the zero of the measured exponent, linear between cells; the dashed one is the
    prediction. With one swept parameter: the exponents with their intervals, and the predicted threshold.

    Parameters
    ----------
    ax : matplotlib Axes
    ds : Dataset
        A run of `Tangent` with one or two dimensions of `vary`, or one with a recorded `distance`.
    x, y : str, optional
        Which swept parameters are the axes. Default: the last and the one before it.
    after, distance : as for `lyapunov`
    boundary : callable of x, or number with one swept parameter
        The predicted boundary y(x), of an array.
    label : str
        Its name.

    Raises
    ------
    ValueError
        If there are not one or two swept parameters, or the axes are none of them.
    """
    found = lyapunov(ds, after, LEVEL, distance=distance)
    dims = swept_dims(found.value) if np.ndim(found.value) else []
    if not 1 <= len(dims) <= 2:
        raise ValueError(f"a phase diagram has one or two swept parameters, the dataset has {len(dims)}: use vary")
    for name in (x, y):
        if name is not None and name not in dims:
            raise ValueError(f"{name!r} is no swept parameter: {near(name, dims)}")
    if len(dims) == 1:
        _line(ax, found, dims[0], boundary, label)
        return
    across = x or next(d for d in reversed(dims) if d != y)
    up = y or next(d for d in dims if d != across)
    if across == up:
        raise ValueError(f"x and y are both {across!r}: give two of {', '.join(dims)}")
    if boundary is not None and not callable(boundary):
        raise TypeError(f"the boundary over two parameters is a function of {across}, got {boundary!r}")
    _map(ax, found, across, up, boundary, label)


def _line(ax: Axes, found: Any, name: str, boundary: Any, label: str) -> None:
    """Exponents against one parameter."""
    value = found.value
    bars = [value - found.low, found.high - value]
    ax.errorbar(value[name], value, bars, fmt="o", markersize=3, capsize=2, label=f"measured, {LEVEL:.0%}")
    ax.axhline(0, color="0.7", linewidth=0.8)
    if boundary is not None:
        ax.axvline(float(boundary(0.0) if callable(boundary) else boundary), color="k", linestyle="--", label=label)
    ax.set(xlabel=axis_label(value[name], name), ylabel="Lyapunov exponent [1/time]")
    ax.legend(fontsize="small")


def _map(ax: Axes, found: Any, across: str, up: str, boundary: Any, label: str) -> None:
    """Exponents over two parameters."""
    value, low, high = (v.transpose(up, across) for v in (found.value, found.low, found.high))
    at, heights = value[across].values, value[up].values
    widest = float(np.nanmax(np.abs(value))) if np.isfinite(value).any() else 1.0
    ax.set_facecolor("0.75")
    image = ax.pcolormesh(at, heights, value, cmap="RdBu", vmin=-widest, vmax=widest, shading="nearest")
    ax.figure.colorbar(image, ax=ax, label="Lyapunov exponent [1/time]")
    unsure = np.argwhere(((low <= 0) & (high >= 0)).values)
    ax.plot(at[unsure[:, 1]], heights[unsure[:, 0]], "k.", markersize=3, label=f"0 within the {LEVEL:.0%} interval")
    if np.nanmin(value) < 0 < np.nanmax(value) and min(value.shape) > 1:
        ax.contour(at, heights, np.ma.masked_invalid(value.values), levels=[0.0], colors="k")
        ax.plot([], [], "k", label="measured zero")
    if boundary is not None:
        fine, limits = np.linspace(at.min(), at.max(), 400), ax.get_ylim()
        curve = np.asarray(boundary(fine), dtype=float)
        shown = (curve >= limits[0]) & (curve <= limits[1])
        ax.plot(fine, np.where(shown, curve, np.nan), "k--", label=label)
        ax.set_ylim(limits)
    ax.set(xlabel=axis_label(value[across], across), ylabel=axis_label(value[up], up))
    ax.legend(fontsize="small")
