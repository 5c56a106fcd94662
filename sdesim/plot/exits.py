"""Figures of exit times: their law, their mean over a swept parameter, their scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sdesim.plot.canvas import axis_label, canvas, cells, label, swept_dims
from sdesim.study.reference import THEORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CELLS = 6
TIMES = 401
TICKS = 8


def survival(ax: Axes, ds: xr.Dataset) -> None:
    """Share of paths still inside against time, censored paths counted, with exp(-t/mean) of the theory."""
    from sdesim.analysis import exits

    curves = exits.survival(ds)
    time = curves["time"]
    for where, value in list(cells(curves["survival"], keep=("time",)))[:MAX_CELLS]:
        line = ax.plot(time, value, drawstyle="steps-post", label=label(where) or "simulated")[0]
        low, high = curves["low"].sel(where), curves["high"].sel(where)
        ax.fill_between(time, low, high, step="post", alpha=0.25, linewidth=0, color=line.get_color())
        if THEORY in ds:
            mean = float(ds[THEORY].sel({d: v for d, v in where.items() if d in ds[THEORY].dims}))
            ax.plot(time, np.exp(-time / mean), "k:", linewidth=1)
    if THEORY in ds:
        ax.plot([], [], "k:", linewidth=1, label="exponential, mean of the theory")
    ax.set_yscale("log")
    ax.set_ylim(0.5 / ds.sizes["path"], 1.5)
    ax.set(xlabel=axis_label(time, "time"), ylabel="P(no exit yet)", title="survival")
    ax.legend(fontsize="small")


def histogram(ax: Axes, ds: xr.Dataset) -> None:
    """Histogram of the exit times seen, with the mean (censored paths counted) and the theory's."""
    from sdesim.analysis import exits

    times = np.asarray(ds["exit_time"], dtype=float).ravel()
    seen = times[np.isfinite(times)]
    if seen.size:
        ax.hist(
            seen,
            bins=min(80, max(10, int(np.sqrt(seen.size)))),
            density=True,
            alpha=0.6,
            label=f"{seen.size} exits",
        )
        estimate = exits.mean_exit_time(ds)
        ax.axvspan(float(estimate.low), float(estimate.high), color="C1", alpha=0.3, linewidth=0)
        ax.axvline(float(estimate.value), color="C1", label=f"mean {float(estimate.value):.4g}")
    if THEORY in ds:
        ax.axvline(float(ds[THEORY]), color="k", linestyle=":", label=f"theory {float(ds[THEORY]):.4g}")
    ax.set(xlabel=axis_label(ds["exit_time"], "exit time"), ylabel="density", title="exit times")
    ax.legend(fontsize="small")


def mean_exit_times(ax: Axes, ds: xr.Dataset) -> None:
    """Mean exit time against one swept parameter, a line for each dynamics, or a map of two."""
    from sdesim.analysis import exits

    estimate = exits.mean_exit_time(ds)
    swept = [d for d in swept_dims(ds["exit_time"]) if d != "dynamics"]
    if len(swept) > 2:
        raise ValueError(
            f"cannot draw {len(swept)} swept parameters at once: select values of {', '.join(swept[2:])}"
        )
    if len(swept) == 2:
        _map(ax, estimate.value, swept)
    else:
        _bars(ax, ds, estimate, swept)
    ax.set_title("mean exit time")


def _map(ax: Axes, mean: xr.DataArray, swept: Sequence[str]) -> None:
    shown = np.log10(mean.transpose(swept[1], swept[0]))
    image = ax.pcolormesh(shown[swept[0]], shown[swept[1]], shown, shading="nearest")
    ax.figure.colorbar(image, ax=ax, label="log10 of the mean exit time")
    ax.set(xlabel=axis_label(mean[swept[0]], swept[0]), ylabel=axis_label(mean[swept[1]], swept[1]))


def _bars(ax: Axes, ds: xr.Dataset, estimate: Any, swept: Sequence[str]) -> None:
    over = swept[0] if swept else "dynamics"
    others = [d for d in estimate.value.dims if d != over]
    for where, mean in cells(estimate.value, keep=(over,)):
        at = {d: where[d] for d in others}
        low, high = estimate.low.sel(at), estimate.high.sel(at)
        errors = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
        ax.errorbar(
            mean[over], mean, yerr=errors, fmt="o", markersize=3, capsize=2, label=label(where) or "simulated"
        )
        if THEORY in ds:
            ax.plot(mean[over], ds[THEORY].sel(at).broadcast_like(mean), "k:")
    if THEORY in ds:
        ax.plot([], [], "k:", label="theory")
    ax.set_yscale("log")
    ax.set(xlabel=axis_label(ds[over], over), ylabel=axis_label(ds["exit_time"], "mean exit time"))
    ax.legend(fontsize="small")


def exit_law(ds: xr.Dataset, after: float = 0.0) -> Figure:
    """Survival of the exit times on a log scale against the exponential law with the rate that they show.

    Parameters
    ----------
    ds : Dataset
        A result of `run` with a `FirstExit`; at most six cells of a sweep are drawn.
    after : float
        Only exits after this time give the rate and the p-value; the law is drawn from there on.
    """
    from sdesim.analysis import exits

    rate, test = exits.exit_rate(ds, after=after), exits.exponentiality(ds, after=after)
    curves = exits.survival(ds, np.append(after, np.linspace(0.0, _last_time(ds), TIMES)))
    drawn, (ax,) = canvas(1)
    for i, (where, curve) in enumerate(list(cells(curves["survival"], keep=("time",)))[:MAX_CELLS]):
        value, p = (float(xr.DataArray(a).sel(where)) for a in (rate.value, test.p_value))
        start, time = float(curve[0]), curves["time"][1:]
        shown = f"rate {value:.3g}" if np.isfinite(value) else "no exit"
        said = f"{label(where) or 'simulated'}: {shown}" + (f", p = {p:.2g}" if np.isfinite(p) else "")
        ax.plot(time, curve[1:], drawstyle="steps-post", color=f"C{i}", label=said)
        low, high = curves["low"].sel(where)[1:], curves["high"].sel(where)[1:]
        ax.fill_between(time, low, high, step="post", alpha=0.25, linewidth=0, color=f"C{i}")
        later = time[time >= after]
        ax.plot(later, start * np.exp(-value * (later - after)), color=f"C{i}", linestyle="--", linewidth=1)
    law = "exponential law of that rate" + (f", from {after:g} on" if after else "")
    ax.plot([], [], "k--", linewidth=1, label=law)
    ax.set_yscale("log")
    ax.set_ylim(0.5 / ds.sizes["path"], 1.5)
    ax.set(xlabel=axis_label(curves["time"], "time"), ylabel="P(no exit yet)", title="survival and the exponential law")
    ax.legend(fontsize="small")
    return drawn


def _last_time(ds: xr.Dataset) -> float:
    """The time until which any path was seen."""
    return float(xr.where(np.isfinite(ds["exit_time"]), ds["exit_time"], ds["n_steps"] * ds["clock"]).max())


def scaling(fit: Any, theory: Any = None) -> Figure:
    """Numbers against a parameter on log scales with the fitted power law, and local slopes below one another.

    Parameters
    ----------
    fit : ScalingExponent
        From `exits.scaling_exponent`; at most six cells over other swept dimensions are drawn.
    theory : ScalingExponent, optional
        The same for theory's numbers: drawn as a curve and its local slopes.
    """
    drawn, (left, right) = canvas(2)
    name = str(fit.local_slopes.value.dims[-1])
    for i, (where, value) in enumerate(list(cells(fit.points.value, keep=(name,)))[:MAX_CELLS]):
        _with_intervals(left, fit.points, where, name, f"C{i}", label(where) or "simulated")
        p, prefactor = (float(xr.DataArray(a).sel(where)) for a in (fit.value, fit.prefactor))
        low, high = (float(xr.DataArray(a).sel(where)) for a in (fit.low, fit.high))
        said = f"slope {p:.3g} [{low:.3g}, {high:.3g}]"
        left.plot(value[name], prefactor * value[name] ** p, color=f"C{i}", linewidth=1, label=said)
        _with_intervals(right, fit.local_slopes, where, name, f"C{i}", label(where) or "between neighbours")
        right.axhspan(low, high, color=f"C{i}", alpha=0.15, linewidth=0)
        right.axhline(p, color=f"C{i}", linewidth=1, label="fit and its interval")
    if theory is not None:
        for ax, numbers in ((left, theory.points), (right, theory.local_slopes)):
            over = numbers.value.dims[-1]
            ax.plot(numbers.value[over], numbers.value, "k:", label="theory")
    points = fit.points.value
    left.set(yscale="log", ylabel=axis_label(points, "value").removesuffix(", value"), title="scaling")
    right.set(ylabel="d log value / d log " + name, title="local slopes")
    for ax in (left, right):
        ax.set(xscale="log", xlabel=axis_label(points[name], name))
        shown = points[name].values[:: -(-points.sizes[name] // TICKS)]
        ax.set_xticks(shown, [f"{x:.3g}" for x in shown])
        ax.set_xticks([], minor=True)
        ax.legend(fontsize="small")
    return drawn


def _with_intervals(ax: Axes, estimate: Any, where: dict[str, Any], over: str, color: str, said: str) -> None:
    """Points with interval bars; an open end is cut."""
    value, low, high = (getattr(estimate, end).sel(where) for end in ("value", "low", "high"))
    errors = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
    errors = [error.where(np.isfinite(error), 0.0) for error in errors]
    ax.errorbar(value[over], value, yerr=errors, fmt="o", markersize=3, capsize=2, color=color, label=said)
