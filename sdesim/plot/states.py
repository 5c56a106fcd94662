"""Figures of states: the landscape, paths on it, moments, time in the wells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sdesim.plot.canvas import axis_label, cells, label
from sdesim.study.reference import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CELLS = 6
MAX_PATHS = 12
TIMES = 401


def occupancy(ax: Axes, ds: xr.Dataset) -> None:
    """Share of time in each well with interval bars, the long-run share of the theory marked.

    One group of bars for each dynamics or swept value.
    """
    from sdesim.analysis.occupancy import occupancy as shares

    estimate = shares(ds)
    groups = list(cells(estimate.value, keep=("well",)))[:MAX_CELLS]
    wells = np.arange(estimate.value.sizes["well"])
    width = 0.8 / len(groups)
    for i, (where, mean) in enumerate(groups):
        low, high = estimate.low.sel(where), estimate.high.sel(where)
        errors = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
        place = wells + (i - (len(groups) - 1) / 2) * width
        ax.bar(place, mean, width, yerr=errors, capsize=2, label=label(where), color=f"C{i}", alpha=0.7)
        if SHARES in ds:
            known = ds[SHARES].sel({d: v for d, v in where.items() if d in ds[SHARES].dims})
            ax.hlines(known, place - width / 2, place + width / 2, color="k", linestyle=":")
    if SHARES in ds:
        ax.plot([], [], "k:", label="long run, theory")
    names = np.asarray(estimate.value["well"])
    ax.set_xticks(wells, [f"{name:.2f}" if names.dtype.kind == "f" else str(name) for name in names])
    ax.set(xlabel=axis_label(estimate.value["well"], "well"), ylabel="share of time", title="occupancy")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small")


def paths(ax: Axes, ds: xr.Dataset) -> None:
    """The first recorded paths against time, one colour for each cell and component."""
    shown = ds["state"].isel(path=slice(MAX_PATHS))
    for i, (where, state) in enumerate(list(cells(shown, keep=("path", "time")))[:MAX_CELLS]):
        lines = ax.plot(state["time"], state.transpose("time", "path"), color=f"C{i}", linewidth=0.6)
        if label(where):
            lines[0].set_label(label(where))
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small")
    ax.set(xlabel=axis_label(ds["time"], "time"), ylabel=axis_label(ds["state"], "state"), title="paths")


def moments(ax: Axes, ds: xr.Dataset) -> None:
    """Mean over paths against time, with a band of one standard deviation."""
    for where, mean in list(cells(ds["moment_mean"], keep=("time",)))[:MAX_CELLS]:
        line = ax.plot(mean["time"], mean, label=label(where) or "mean")[0]
        if "moment_variance" in ds:
            spread = np.sqrt(ds["moment_variance"].sel(where))
            ax.fill_between(
                mean["time"], mean - spread, mean + spread, color=line.get_color(), alpha=0.2, linewidth=0
            )
    ax.set(
        xlabel=axis_label(ds["time"], "time"), ylabel=axis_label(ds["moment_mean"], "mean"), title="mean ± sd"
    )
    ax.legend(fontsize="small")


def landscape(ax: Axes, f: Any) -> None:
    """A loss of one variable over its domain, its minima and, shaded, their basins."""
    ends = [end for basin in f.basins for end in basin]
    finite = [end for end in ends if np.isfinite(end)] + list(f.minima)
    margin = 0.15 * (max(finite) - min(finite)) if not np.all(np.isfinite(ends)) else 0.0
    x = np.linspace(min(finite) - margin, max(finite) + margin, 1601)
    ax.plot(x, f(x), color="k", linewidth=1)
    ax.plot(f.minima, f(f.minima), "ko", markersize=4)
    for i, (low, high) in enumerate(f.basins):
        left, right = max(low, x[0]), min(high, x[-1])
        ax.axvspan(left, right, alpha=0.15, color=f"C{i}", linewidth=0, label=f"well {i + 1}")
    ax.legend(fontsize="small")
    ax.set(xlabel=f.variables[0], ylabel=f"f({f.variables[0]})", title="landscape and its wells")
