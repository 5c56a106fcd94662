"""How many paths, and how long, a wanted relative error takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.exit_times.mean import HALL, mean_exit_time
from sdesim.core.checks import is_number


@dataclass(frozen=True)
class Plan:
    """Paths and time for a wanted relative error of the mean exit time; `print` it to read it.

    Attributes
    ----------
    n_paths : int or None
        Paths in each cell, the pilot's included; None if the pilot saw no exit in some cell.
    least_paths : int
        Fewer than these will not do: `n_paths`, or what follows from the lower bound where no exit was seen.
    wall_time : float or None
        Seconds for `least_paths` at the pilot's speed, its start-up (compilation) included; None if unknown.
    path_steps : float
        Steps of all paths together.
    rel_error, level : float
        Wanted half-width of the interval over the value, and the interval's level.
    reached : float
        Relative error of the pilot, infinite where no exit was seen.
    uncertainty : float
        Relative standard error of `n_paths` itself, from the number of exits in the pilot.
    text : str
        All this in words.
    """

    n_paths: int | None
    least_paths: int
    wall_time: float | None
    path_steps: float
    rel_error: float
    level: float
    reached: float
    uncertainty: float
    text: str

    def __str__(self) -> str:
        return self.text


def plan(pilot: xr.Dataset, rel_error: float = 0.05, level: float = 0.95) -> Plan:
    """Paths and wall time after which the mean exit time is as precise as wanted, judged from a pilot run.

    Every path exited: the half-width of the interval falls like one over the square root of the paths. Some did not:
    the exponential law's interval depends on the number of exits alone, and the pilot says how many paths give one.
    In a sweep every cell gets the same paths and the widest interval counts. Nothing is run; `run_to_precision`
    works by the same relation and runs the paths, in rounds.

    Parameters
    ----------
    pilot : xarray.Dataset
        Result of `run` with a `FirstExit`, of some tens of exits or more.
    rel_error : float
        Wanted half-width of the interval over the value, in (0, 1).
    level : float
        Confidence level of the interval, in (0, 1).

    Returns
    -------
    Plan
        Numbers, and the sentence that `print` shows.

    Raises
    ------
    ValueError
        If `rel_error` is not in (0, 1), the dataset has no exit times or no path that counts.
    """
    if not is_number(rel_error) or not 0 < rel_error < 1:
        raise ValueError(f"rel_error must be in (0, 1), got {rel_error!r}: 0.05 asks for five per cent")
    estimate, n = mean_exit_time(pilot, level=level), pilot.sizes["path"]
    exits = np.ravel(np.asarray(estimate.n_exited))
    hall = np.ravel(np.asarray(estimate.method)) == HALL
    widths = np.ravel(relative_half_width(estimate))
    share = np.where(exits > 0, exits, -math.log1p(-level)) / n
    wanted = np.where(hall, n * (np.where(hall, widths, 1) / rel_error) ** 2, exits_for(rel_error, level) / share)
    worst = int(np.argmax(wanted))
    least = max(math.ceil(wanted[worst]), 2)
    unseen = bool(np.any(exits == 0))
    steps = float(pilot["n_steps"].sum()) * least / n
    seconds = float(pilot.attrs["wall_time"]) * least / n if "wall_time" in pilot.attrs else None
    # Var log(variance/mean²) = 4/n for exponential times; a count of d exits has relative variance 1/d.
    unsure = float("nan") if unseen else float((2 if hall[worst] else 1) / np.sqrt(exits[worst]))
    reached, found = float(np.max(widths)), None if unseen else least
    text = _words(pilot, found, least, seconds, steps, rel_error, level, reached, unsure, exits, worst)
    return Plan(found, least, seconds, steps, rel_error, level, reached, unsure, text)


def relative_half_width(estimate: Any) -> np.ndarray:
    """Half-width of an interval over its value, infinite where there is none."""
    value, low, high = (np.asarray(a, dtype=float) for a in (estimate.value, estimate.low, estimate.high))
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (high - low) / 2 / value
    return np.where(np.isfinite(width), width, np.inf)


def exits_for(rel_error: float, level: float) -> int:
    """Exits from which on the censored exponential interval has this relative half-width."""
    from scipy.special import chdtri

    def half_width(d: int) -> float:
        slow, fast = chdtri(2 * d, 0.5 * (1 + level)), chdtri(2 * d + 2, 0.5 * (1 - level))
        return float(d * (1 / slow - 1 / fast))

    enough = 1
    while half_width(enough) > rel_error:
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if half_width(middle) <= rel_error else (middle, enough)
    return enough


def _words(
    pilot: xr.Dataset, n_paths: int | None, least: int, seconds: float | None, steps: float, rel_error: float,
    level: float, reached: float, unsure: float, exits: np.ndarray, worst: int,
) -> str:  # fmt: skip
    n, cells = pilot.sizes["path"], exits.size
    time = f", {steps:.2g} path-steps" + ("" if seconds is None else f", {_duration(seconds)} at the pilot's speed")
    where = "" if cells == 1 else f" in each of {cells} cells"
    goal = f"a {level:.3g} interval of half-width {rel_error:.3g} of the mean exit time"
    if n_paths is None:
        unseen = "no exit" if cells == 1 else f"no exit in {int(np.sum(exits == 0))} of {cells} cells"
        return (
            f"the pilot saw {unseen}: {goal} takes more than {least:,} paths{where}{time}. How many more it does "
            "not say: simulate longer (t_max), raise the noise, or reach rare exits by rare_exit_time"
        )
    if least <= n:
        return f"the pilot is enough: {goal} takes about {least:,} paths{where}, it has {n:,} and {reached:.2g}"
    return (
        f"{goal} takes about {least:,} paths{where}{time}; the pilot of {n:,} has reached {reached:.2g}. The number of "
        f"paths is known to ±{unsure:.0%}, from the {int(exits[worst])} exits"
        f"{'' if cells == 1 else ' of the cell that needs most'}; start_path={n} continues the pilot"
    )


def _duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"
