"""Figures of the Markov chain of wells: a graph over the landscape, and generators side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdesim.analysis.chain import WellChain
from sdesim.analysis.estimate import Estimate
from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.wells.chain import AXES, reducible
from sdesim.plot.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 0.05  # of the passages out of a well, or into one: rarer ones have no arrow
BULGE = 0.12  # height of an arrow's arc between neighbours, in heights of the panel
PANEL = np.array([390.0, 285.0])  # its size in points, about


def chain(chains: WellChain | Mapping[str, WellChain], landscape: Any) -> Figure:
    """The first chain as a graph over its landscape, and the rates of all of them side by side.

    Parameters
    ----------
    chains : WellChain or mapping of names to WellChains
        Of the same wells, without swept dims; estimated chains show their intervals.
    landscape : Landscape
        Of one or two variables.

    Raises
    ------
    ValueError
        If a chain sweeps parameters, or has other wells than the landscape.
    """
    named = dict(chains) if isinstance(chains, Mapping) else {"": chains}
    drawn, axes = canvas(2)
    drawn.set_size_inches(12.5, 4.6)
    chain_graph(axes[0], next(iter(named.values())), landscape)
    chain_rates(axes[1], named)
    return drawn


def chain_graph(ax: Axes, one: WellChain, landscape: Any) -> None:
    """The wells on the landscape, their long-run share as their size, an arrow with its rate for each passage.

    Arrows are left out for passages rarer than one in twenty both out of a well and, in the long run, into one.
    """
    q = _generator(one, landscape)
    places, spans = _surface(ax, landscape)
    shares = np.full(len(q), 0.5) if reducible(one) else np.asarray(one.stationary().value)
    rates = q - np.diag(np.diag(q))
    flow = shares[:, None] * rates
    often = (rates > SHOWN * rates.sum(axis=1, keepdims=True)) | (flow > SHOWN * flow.sum(axis=0))
    rates = np.where(often, rates, 0.0)
    known = rates[rates > 0]
    sizes = 120 + 1200 * shares
    for i, j in np.argwhere(rates > 0):
        strength = np.log(rates[i, j] / known.min()) / max(np.log(known.max() / known.min()), 1e-9)
        route = _arc(places[[i, j]], spans, int(abs(j - i)), np.sqrt(sizes[[i, j]]) / 2)
        _arrow(ax, route, f"{rates[i, j]:.2g}", f"C{i}", 0.8 + 2.2 * strength)
    for i, (place, size) in enumerate(zip(places, sizes, strict=True)):
        ax.scatter(place[0], place[1], s=size, color=f"C{i}", edgecolor="k", linewidth=0.8, zorder=4)
        ax.annotate(str(i + 1), place, ha="center", va="center", color="w", weight="bold", zorder=5)
    known_shares = "size: long-run share, " if not reducible(one) else ""
    unit = str(one.matrix.attrs.get("units", "1/time"))
    ax.set_title(f"chain of wells ({known_shares}rates in {unit})", fontsize="medium")


def chain_rates(ax: Axes, chains: WellChain | Mapping[str, WellChain]) -> None:
    """Each rate of each chain with its interval or error; a triangle is the upper bound of what was never seen.

    A chain predicted in a limit has no bars: nobody knows how far off the limit is.
    """
    named = dict(chains) if isinstance(chains, Mapping) else {"": chains}
    size = {c.n_wells for c in named.values()}
    if len(size) > 1:
        raise ValueError(f"the chains have different numbers of wells: {sorted(size)}")
    pairs = [(i, j) for i, j in np.ndindex(*(2 * (size.pop(),))) if i != j]
    width, bounds = 0.7 / len(named), False
    for k, (name, one) in enumerate(named.items()):
        value, low, high = (np.array([x[p] for p in pairs]) for x in _ends(one))
        at = np.arange(len(pairs)) + (k - (len(named) - 1) / 2) * width
        seen = value > 0
        bars = [np.maximum(value - low, 0)[seen], np.maximum(high - value, 0)[seen]]
        estimated = isinstance(one.rates, Estimate)
        ax.errorbar(
            at[seen], value[seen], yerr=bars, fmt="o" if estimated else "s", markersize=4, capsize=3, color=f"C{k}",
            mfc=f"C{k}" if estimated else "none", label=name or None,
        )  # fmt: skip
        never = ~seen & (high > 0)
        ax.plot(at[never], high[never], "v", color=f"C{k}", mfc="none")
        bounds |= bool(never.any())
    if bounds:
        ax.plot([], [], "kv", mfc="none", label="never seen: upper bound")
    for x in range(len(pairs) - 1):
        ax.axvline(x + 0.5, color="0.9", linewidth=0.8, zorder=0)
    ax.set_yscale("log")
    ax.set_xticks(range(len(pairs)), [f"{i + 1}→{j + 1}" for i, j in pairs], fontsize=9 if len(pairs) > 8 else 10)
    unit = str(next(iter(named.values())).matrix.attrs.get("units", "1/time"))
    ax.set(xlabel="passage from well to well", ylabel=f"rate [{unit}]", title="generators")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small")


def _generator(one: WellChain, landscape: Any) -> np.ndarray:
    swept = [str(d) for d in one.matrix.dims if d not in AXES]
    if swept:
        raise ValueError(f"a graph is that of one chain: select values of {', '.join(swept)} in the dataset")
    if len(landscape.minima) != one.n_wells:
        raise ValueError(f"the landscape has {len(landscape.minima)} wells, the chain {one.n_wells}")
    if landscape.dim > 2:
        raise ValueError(f"a graph is drawn over one or two variables, the landscape has {landscape.dim}")
    return np.nan_to_num(np.asarray(one.matrix, dtype=float))


def _ends(one: WellChain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value = np.asarray(one.matrix, dtype=float)
    if isinstance(one.rates, Estimate):
        return value, np.asarray(one.rates.low), np.asarray(one.rates.high)
    error = 0.0 if isinstance(one.rates, Asymptotic) else np.asarray(one.rates.error, dtype=float)
    return value, np.maximum(value - error, value / 10), np.where(value > 0, value + error, 0.0)


def _surface(ax: Axes, f: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw the landscape; where the wells are in the panel, and its width and height."""
    if f.dim == 1:
        return _curve(ax, f)
    corners = np.asarray(f.minima, dtype=float)
    if len(f.saddles):
        corners = np.concatenate([corners, np.asarray(f.saddles, dtype=float)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = 0.35 * max(high - low) * np.ones(2)
    low, high = low - margin, high + margin
    grids = np.meshgrid(*(np.linspace(a, b, 161) for a, b in zip(low, high, strict=True)))
    values = f(np.stack(grids, axis=-1))
    passes = np.asarray(f(f.saddles)) if len(f.saddles) else values.ravel()
    top, bottom = float(np.max(passes)), float(np.min(f(f.minima)))
    levels = np.linspace(bottom, top + 0.8 * (top - bottom), 16)
    ax.contour(*grids, values, levels=levels, colors="0.7", linewidths=0.7, linestyles="solid")
    ax.set(xlabel=f.variables[0], ylabel=f.variables[1], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return np.asarray(f.minima, dtype=float), high - low


def _curve(ax: Axes, f: Any) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([f.minima, f.maxima])
    margin = 0.25 * np.ptp(points)
    low, high = points.min() - margin, points.max() + margin
    if f.domain:
        low, high = max(low, f.domain[0][0]), min(high, f.domain[0][1])
    x = np.linspace(low, high, 1201)
    y = np.asarray(f(x))
    inner = np.asarray(f(points))
    height = float(np.ptp(inner)) or 1.0
    bottom, top = inner.min() - 0.8 * height, inner.max() + 0.5 * height
    ax.plot(x, y, color="0.35", linewidth=1.2)
    pad = 0.06 * (high - low)
    ax.set(
        xlabel=f.variables[0], ylabel=f"f({f.variables[0]})", xlim=(low - pad, high + pad), ylim=(bottom, top)
    )  # fmt: skip
    return np.stack([f.minima, f(f.minima)], axis=1), np.array([high - low, top - bottom])


def _arc(ends: np.ndarray, spans: np.ndarray, steps: int, radii: np.ndarray) -> np.ndarray:
    """Points of an arc from one well to another that ends at their circles; back and forth on different sides."""
    start, end = ends / spans
    way = end - start
    side = np.array([-way[1], way[0]]) / np.linalg.norm(way)
    t = np.linspace(0.0, 1.0, 201)[:, None]
    points = start + t * way + 4 * t * (1 - t) * side * BULGE * (0.5 + 0.5 * steps)
    far = [np.linalg.norm((points - p) * PANEL, axis=1) > r + 2 for p, r in zip((start, end), radii, strict=True)]
    outside = points[far[0] & far[1]]
    return (outside if len(outside) > 2 else points) * spans


def _arrow(ax: Axes, route: np.ndarray, text: str, color: str, width: float) -> None:
    """An arrow along a route with its rate at the middle."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    ax.add_patch(
        FancyArrowPatch(
            path=Path(route), arrowstyle="-|>", mutation_scale=9 + 2 * width, color=color, linewidth=width, zorder=3,
            capstyle="butt", joinstyle="miter",
        )
    )  # fmt: skip
    box = {"boxstyle": "round,pad=0.15", "facecolor": "w", "edgecolor": "none", "alpha": 0.85}
    middle = route[len(route) // 2]
    ax.annotate(text, middle, ha="center", va="center", fontsize="x-small", color=color, bbox=box, zorder=6)
