"""Mean times of rare exits: how often an excursion must be tried, times how long a try takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Estimate
from sdesim.core.checks import count
from sdesim.engine.rare.levels import REACHED, RETURNED
from sdesim.engine.rare.runs import Clones
from sdesim.study.rare.data import Store, to_dataset
from sdesim.study.rare.estimate import RareExit, rare_exit_estimate
from sdesim.study.rare.exit import Runs, make_plan, refuse_coordinate_at_rest, seconds

RARE = 0.01  # probability of a loop above which direct simulation is the better way


@dataclass(frozen=True, repr=False)
class RareExitTime(Estimate):
    """Mean exit time from the set A to B; `n` counts the runs it rests on.

    Attributes
    ----------
    probability : RareExit
        That a loop, from one entry into A to the next, reaches B on its way.
    loop_time, exit_loop_time : float
        Mean duration of a loop that comes back, and of the one that reaches B.
    path_steps : int
        Steps simulated, those of loops included.
    warning : str
        What to doubt; empty if nothing.
    """

    probability: RareExit
    loop_time: float
    exit_loop_time: float
    path_steps: int
    warning: str

    def __repr__(self) -> str:
        return f"<{self}{'; warning: ' + self.warning if self.warning else ''}>"


def rare_exit_time(
    dynamics: Any,
    x0: Any,
    a: Any,
    b: Any = None,
    *,
    leave: Any = None,
    coordinate: Any = None,
    n_clones: int = 1000,
    n_runs: int = 10,
    n_loops: int = 20,
    kill: float = 0.1,
    level: float = 0.95,
    seed: int = 0,
    max_steps: int = 10**8,
    smallest: float = 1e-20,
    engine: str = "auto",
    device: str | None = None,
    dtype: str | None = None,
    block: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    wall_time: float | None = None,
    file: Any = None,
) -> RareExitTime:
    """Mean time until a path that starts in A reaches B, for exits too rare to wait for.

    A loop goes from one entry into A to the next. With p the probability that a loop from the stationary law of
    entries reaches B on its way,

        E tau = E[T | back] (1/p - 1) + E[T | B]

    (Cérou, Guyader, Lelièvre and Pommier 2011, equation 8; Hill 1989). Each clone of each run follows `n_loops` loops
    from x0; their second half gives the mean duration, their last entries are where the clones of the splitting start.
    The runs share nothing, so the interval is Student's over them, for the logarithm. Left out are the way from x0 to
    stationarity and the difference between the laws of entries with and without exits: both of the order of a few
    loops, that is a few p relative to the result.

    Parameters
    ----------
    x0 : float, array (d,), or array (n, d)
        In A.
    a : region
        Around the metastable state: left often, and large enough that it is forgotten inside where a path came from.
    n_loops : int
        Loops followed before the splitting; half of them to forget x0.
    dynamics, b, leave, coordinate, n_clones, n_runs, kill, level, seed, max_steps, smallest, engine, device, dtype, \
block, threads, progress, wall_time, file
        As for `rare_exit`; the file keeps the runs of the splitting, the loops are simulated again.

    Returns
    -------
    RareExitTime

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `rare_exit`; if x0 is not in A, or no loop comes back within max_steps.
    """
    if n_runs == 1:
        raise ValueError("n_runs must be at least 2: the interval comes from independent runs")
    n_loops = count("n_loops", n_loops, least=2)
    limit = seconds(wall_time)
    plan = make_plan(dynamics, x0, a, b, leave, coordinate, n_clones, n_runs, kill, seed, 0, max_steps, smallest)
    options = (engine, device, dtype, block, threads)
    first = Runs(plan, *options)
    if (first.code != RETURNED).any():
        raise ValueError(f"x0 must lie in a={a!r}: loops go from one entry into A to the next")
    shape = (n_runs * n_clones, dynamics.dim)
    starts = plan.starts[np.arange(shape[0]) % len(plan.starts)]
    kept: list[np.ndarray] = []
    steps = hits = loops = 0
    for i in range(n_loops):
        runs = Runs(replace(plan, starts=starts, own=True, first_run=(i + 1) * n_runs, kill=1, smallest=1.0), *options)
        clones = runs.fresh(Store(None, ""))
        if not runs.make(clones, limit, False, Store(None, "")):
            raise TimeoutError(f"stopped in loop {i} of {n_loops}: give more wall_time")
        back = clones.outcome == RETURNED
        starts = np.where(back.reshape(-1, 1), clones.last.reshape(shape), starts)
        steps += int(clones.length.sum())
        hits, loops = hits + int((clones.outcome == REACHED).sum()), loops + back.size
        if i >= n_loops // 2:
            kept.append(_mean_where(clones.length, back))
    final = Runs(replace(plan, starts=starts, own=True, first_run=0), *options)
    store = Store(file, final.mark)
    clones = final.fresh(store)
    final.make(clones, limit, progress, store)
    ds = to_dataset(final.plan, clones, final.attributes())
    store.keep(ds)
    refuse_coordinate_at_rest(final.plan, clones)
    p = rare_exit_estimate(ds, level)
    return _combined(p, np.mean(kept, axis=0), clones, float(dynamics.clock), level, steps, hits / loops)


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Means over the clones for which it holds, by run."""
    n = where.sum(axis=1)
    if not n.all():
        raise ValueError("no loop of a run came back to A within max_steps: choose a larger A or raise max_steps")
    return np.asarray((values * where).sum(axis=1) / n)


def _combined(
    p: RareExit, loop: np.ndarray, clones: Clones, clock: float, level: float, steps: int, hit: float
) -> RareExitTime:
    """The estimate from the probabilities and the loop durations of the runs."""
    from scipy.special import stdtrit

    done = np.asarray(p.dataset["run"])
    loop, mean = loop[done] * clock, float(loop[done].mean() * clock)
    notes = [p.warning] if p.warning else []
    if hit > RARE:
        notes.append(f"{100 * hit:.2g} % of the loops exit: not rare, simulate directly with run and FirstExit")
    steps += p.path_steps
    if not p.value > 0:
        bound = mean / p.high if p.high > 0 else math.nan
        return RareExitTime(math.nan, bound, math.inf, level, p.n, p.method, p, mean, math.nan, steps, "; ".join(notes))
    reached = clones.outcome[done] == REACHED
    weight = p.runs[:, None] * reached / np.maximum(reached.sum(axis=1, keepdims=True), 1)
    last = float((weight * clones.length[done]).sum() / weight.sum() * clock)
    value = mean * (1 / p.value - 1) + last
    m = len(done)
    half = math.inf
    if m > 1:
        relative = loop / mean - p.runs / p.value
        half = float(stdtrit(m - 1, 0.5 * (1 + level)) * relative.std(ddof=1) / math.sqrt(m))
    method = f"loops through A over their probability of exit, {m} independent runs, Student interval of the logarithm"
    return RareExitTime(
        value,
        value * math.exp(-half),
        value * math.exp(half),
        level,
        m,
        method,
        p,
        mean,
        last,
        steps,
        "; ".join(notes),
    )
