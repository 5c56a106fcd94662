"""The figure of a comparison: each dynamics with its interval, and the differences with their simultaneous band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from sdesim.analysis.compare.result import STATISTICS, Comparison, Comparisons
from sdesim.plot.canvas import SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS, MAX_LINES = 4, 6


def compare(found: Comparisons) -> Figure:
    """Means over time of every dynamics, above; differences from the reference and where they part, below.

    One column for each observable and component, the clearest differences first, four at most. Bands above are t
    intervals at each time; bands below hold all differences at once, in standard deviations of the reference. Dots
    mark the looks at which the means part, crosses those at which only the laws do.

    Parameters
    ----------
    found : Comparisons
        As `sdesim.compare` gives them; of more than six, the first six are drawn.

    Raises
    ------
    ValueError
        If there is nothing in it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not len(found):
        raise ValueError("nothing to draw: no comparison was made")
    shown = found.each[:MAX_LINES]
    names = _columns(shown)
    drawn = Figure(figsize=(max(SIZE[0] * len(names), 6.5), 1.75 * SIZE[1]), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(2, len(names), squeeze=False, sharex="col")
    for column, name in enumerate(names):
        _means(axes[0, column], shown, name)
        _differences(axes[1, column], shown, name)
        axes[0, column].set_title(_title(name), fontsize="medium")
    axes[0, 0].set_ylabel(f"mean, {100 * shown[0].level:g} % interval")
    axes[1, 0].set_ylabel("difference [sd of the reference],\nsimultaneous band")
    axes[0, 0].legend(fontsize="small")
    _name_marks(axes[1, 0], {line.get_marker() for ax in axes[1] for line in ax.lines})
    drawn.suptitle(_headline(found), fontsize="medium")
    return drawn


def _columns(shown: tuple[Comparison, ...]) -> list[tuple[str, str]]:
    """Observables and components that all have, those with the smallest p-value first, in their own order."""
    least: dict[tuple[str, str], float] = {}
    for one in shown:
        t = one.table
        p = np.min([np.nan_to_num(t[name].values, nan=2.0) for name in STATISTICS], axis=0)
        for name, component, value in zip(t["observable"].values, t["component"].values, p, strict=True):
            key = str(name), str(component)
            least[key] = min(least.get(key, 2.0), float(value))
    best = sorted(least, key=lambda key: least[key])[:MAX_PANELS]
    return [key for key in least if key in best]


def _rows(one: Comparison, name: tuple[str, str]) -> Any:
    """The looks of one column, by time."""
    t = one.table
    return t.isel(look=np.flatnonzero((t["observable"].values == name[0]) & (t["component"].values == name[1])))


def _means(ax: Axes, shown: tuple[Comparison, ...], name: tuple[str, str]) -> None:
    cells: dict[str, None] = {}
    for i, one in enumerate(shown):
        t, color = _rows(one, name), f"C{i + 1}"
        place = _place(one)
        if place not in cells:
            label = f"{one.reference}{f', {place}' if place else ''}"
            _line(ax, t, "reference", one, "k" if not place else color, label, "--" if place else "-", i + 0.85)
            cells[place] = None
        elif t.sizes["look"] < 2:
            _line(ax, t, "reference", one, "k" if not place else color, None, "-", i + 0.85)
        _line(ax, t, "other", one, color, f"{one.other}{f', {place}' if place else ''}", "-", i + 1.15)


def _line(
    ax: Axes, t: Any, which: str, one: Comparison, color: str, label: str | None, style: str, place: float
) -> None:
    """A curve with its band, or a point (open: the reference) where there is one look."""
    n, mean, sd = (t[f"{what}_{which}"].values for what in ("n", "mean", "sd"))
    half = stdtrit(np.maximum(n - 1, 1), (1 + one.level) / 2) * sd / np.sqrt(np.maximum(n, 1))
    time = t["time"].values
    if time.size < 2:
        inside = "w" if which == "reference" else color
        ax.errorbar([place], mean, half, fmt="o", color=color, mfc=inside, capsize=3, label=label)
        return
    ax.plot(time, mean, style, color=color, linewidth=1.2, label=label)
    ax.fill_between(time, mean - half, mean + half, color=color, alpha=0.15, linewidth=0)


def _differences(ax: Axes, shown: tuple[Comparison, ...], name: tuple[str, str]) -> None:
    for i, one in enumerate(shown):
        t, color, alpha = _rows(one, name), f"C{i + 1}", 1 - one.level + 1e-12
        sd = t["sd_reference"].values
        unit = np.where(sd > 0, sd, np.nan)
        d, low, high = (t[k].values / unit for k in ("difference", "band_low", "band_high"))
        x = t["time"].values
        if x.size < 2:
            x = np.array([i + 1.0])
            ax.errorbar(x, d, [d - low, high - d], fmt="_", color=color, capsize=3)
        else:
            ax.plot(x, d, color=color, linewidth=1.0)
            ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        means = t["p_mean"].values <= alpha
        laws = ~means & (np.fmin(t["p_wasserstein"].values, t["p_energy"].values) <= alpha)
        for mark, where in (("o", means), ("x", laws)):
            if where.any():
                ax.plot(x[where], d[where], mark, color=color, markersize=5)
    ax.axhline(0.0, color="k", linewidth=0.8)
    if shown and _rows(shown[0], name)["time"].size < 2:
        ax.set_xticks(range(1, len(shown) + 1), [_tick(one) for one in shown], fontsize="small")
        ax.set_xlim(0.5, len(shown) + 0.5)
    else:
        ax.set_xlabel("time")


def _name_marks(ax: Axes, used: set[Any]) -> None:
    """A legend of the marks that occur."""
    names = {mark: text for mark, text in (("o", "means part"), ("x", "laws part")) if mark in used}
    for mark, text in names.items():
        ax.plot([], [], f"k{mark}", markersize=5, label=text)
    if names:
        ax.legend(fontsize="small")


def _tick(one: Comparison) -> str:
    return f"{one.other}, {_place(one)}".removesuffix(", ")


def _place(one: Comparison) -> str:
    return one.title.removeprefix(f"{one.other} and {one.reference}").removeprefix(", ")


def _title(name: tuple[str, str]) -> str:
    return " ".join(part for part in name if part).replace("_", " ")


def _headline(found: Comparisons) -> str:
    """The first line of each verdict, three at most."""
    lines = [one.verdict[0] for one in found.each]
    return "\n".join([*lines[:3], *([f"and {len(lines) - 3} comparisons more"] if len(lines) > 3 else [])])
