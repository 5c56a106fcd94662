"""The probability of a rare exit from independent runs of splitting: value, interval, and what to doubt about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.engine.rare.levels import EXTINCT, FINISHED, GIVEN_UP, REACHED, RUNNING

DISAGREE = 1e-3  # false-alarm rate of the test that runs spread more than they should
SPREAD = 2.0  # times the variance of an ideal coordinate that a good one stays below


@dataclass(frozen=True, repr=False)
class RareExit(Estimate):
    """Probability that an excursion reaches B before A; `n` counts the runs it rests on.

    Attributes
    ----------
    n_clones : int
    path_steps : int
        Steps simulated, those of paths followed again included.
    ideal : float
        Relative standard deviation of one run if the coordinate were the committor itself.
    warning : str
        What to doubt; empty if nothing.
    dataset : xarray.Dataset
        Dims run, clone, level (, component): probability and levels of each run, final state, steps and outcome of
        each clone.
    """

    n_clones: int
    path_steps: int
    ideal: float
    warning: str
    dataset: xr.Dataset

    def __repr__(self) -> str:
        return f"<{self}{'; warning: ' + self.warning if self.warning else ''}>"

    @property
    def runs(self) -> np.ndarray:
        """The estimates of the runs, shape (run,)."""
        return np.asarray(self.dataset["probability"])

    @property
    def levels(self) -> list[np.ndarray]:
        """The levels of each run."""
        counts = np.asarray(self.dataset["n_levels"])
        return [row[:n] for row, n in zip(np.asarray(self.dataset["level_value"]), counts, strict=True)]

    @property
    def exit_states(self) -> np.ndarray:
        """Where the clones that reached B did so, shape (exit, d)."""
        hit = np.asarray(self.dataset["outcome"]) == REACHED
        return np.asarray(self.dataset["final_state"]).reshape(*hit.shape, -1)[hit]


def rare_exit_estimate(ds: xr.Dataset, level: float) -> RareExit:
    """The estimate from a dataset of runs, unfinished ones left out."""
    done = np.asarray(ds["status"]) != RUNNING
    ds = ds.isel(run=np.flatnonzero(done))
    runs, m = np.asarray(ds["probability"], dtype=float), int(done.sum())
    n, kill = int(ds.attrs["n_clones"]), int(ds.attrs["kill"])
    notes = [f"{int((~done).sum())} runs are not finished"] if not done.all() else []
    low, high, value, ideal = 0.0, 1.0, math.nan, math.nan
    method = "no run is finished"
    if m and not runs.any():
        high = -math.expm1(math.log1p(-level) / (m * n))
        method = f"no exit seen: upper bound from {m * n} first excursions; take more clones or another coordinate"
    elif m:
        value, ideal = float(runs.mean()), ideal_error(float(runs.mean()), n, kill)
        low, high = student_interval(runs, level)
        method = f"mean of {m} independent runs of splitting with {n} clones, Student interval"
        notes += _disagreement(runs, ideal)
    notes += _mishaps(ds)
    steps = int(ds["path_steps"].sum())
    return RareExit(value, low, high, level, m, method, n, steps, ideal, "; ".join(notes), ds)


def student_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """The t interval of the mean of positive numbers, cut at zero."""
    from scipy.special import stdtrit

    m = values.size
    if m < 2:
        return 0.0, math.inf
    half = float(stdtrit(m - 1, 0.5 * (1 + level)) * values.std(ddof=1) / math.sqrt(m))
    return max(0.0, float(values.mean()) - half), float(values.mean()) + half


def ideal_error(p: float, n: int, kill: int) -> float:
    """Relative standard deviation of one run with the committor as coordinate and k of N clones killed at a level.

        variance = (-log p / N) a / ((1 - a) (-log(1 - a))),    a = k/N

    which is -log p / N for k = 1 (Guyader, Hengartner and Matzner-Løber 2011; Cérou and Guyader 2007, theorem 3).
    """
    a = kill / n
    return math.sqrt(-math.log(p) / n * a / ((1 - a) * -math.log1p(-a))) if 0 < p < 1 else 0.0


def _disagreement(runs: np.ndarray, ideal: float) -> list[str]:
    """Whether the runs spread more than runs with a good coordinate do."""
    from scipy.special import chdtrc

    m, mean = runs.size, float(runs.mean())
    if m < 2:
        return ["a single run has no interval: take five or more"]
    spread = float(runs.std(ddof=1)) / mean
    bound = math.sqrt(SPREAD) * ideal
    if bound > 0 and chdtrc(m - 1, (m - 1) * (spread / bound) ** 2) < DISAGREE:
        share = float(runs.max() / runs.sum())
        return [
            f"the runs disagree: their relative spread is {spread:.2g}, an ideal coordinate has {ideal:.2g}, and one "
            f"run has {100 * share:.0f} % of the sum; take more clones or another coordinate, the interval is too short"
        ]
    return []


def _mishaps(ds: xr.Dataset) -> list[str]:
    """Runs and paths that did not end as they should."""
    status, m = np.asarray(ds["status"]), ds.sizes["run"]
    notes = []
    if (status == EXTINCT).any():
        notes.append(f"{int((status == EXTINCT).sum())} of {m} runs lost all clones at once: they count as 0")
    if (status == GIVEN_UP).any():
        bound = float(ds.attrs["smallest"])
        notes.append(f"{int((status == GIVEN_UP).sum())} of {m} runs fell below {bound:g} and count as 0")
    cut, diverged, lost = (int(ds[name].sum()) for name in ("n_cut", "n_diverged", "n_lost"))
    if cut:
        notes.append(f"{cut} excursions were longer than max_steps and count as returned")
    if diverged:
        notes.append(f"{diverged} excursions diverged and count as returned")
    if lost:
        notes.append(f"{lost} paths could not be followed again bit for bit: results may be wrong")
    return notes


def run_values(weight: np.ndarray, status: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """The estimate of each run: the weight times the share of clones that reached B (Bréhier et al. 2016)."""
    return np.where(status == FINISHED, weight * (outcome == REACHED).mean(axis=1), 0.0)
