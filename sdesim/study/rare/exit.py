"""Rare exits by adaptive multilevel splitting: probabilities far too small to be met by simulating and waiting."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from sdesim.core.checks import count, is_number, near, positive
from sdesim.engine.native import default_threads
from sdesim.engine.progress import progress_bar
from sdesim.engine.rare.excursion import Excursion
from sdesim.engine.rare.levels import DIVERGED, EXTINCT, REACHED, RETURNED, RUNNING, STATUS
from sdesim.engine.rare.reveal import reveal_of
from sdesim.engine.rare.runs import Clones, SplittingPlan, check_memory, new_clones, seen
from sdesim.study.rare.coordinate import chosen_coordinate, edge
from sdesim.study.rare.data import Store, fingerprint, restore, to_dataset
from sdesim.study.rare.estimate import RareExit, rare_exit_estimate

ENGINES = ("auto", "native", "tensor")
SECONDS_BETWEEN_SAVES = 30.0


def rare_exit(
    dynamics: Any,
    x0: Any,
    a: Any,
    b: Any = None,
    *,
    leave: Any = None,
    coordinate: Any = None,
    n_clones: int = 1000,
    n_runs: int = 10,
    kill: float = 0.1,
    level: float = 0.95,
    seed: int = 0,
    first_run: int = 0,
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
) -> RareExit:
    """Probability that an excursion from x0 reaches B before it returns to A.

    An excursion from a point of A ends when it comes back to A after having left it.

    Adaptive multilevel splitting: N clones run until they end in A or B. The level is the k-th smallest of their
    largest coordinates; all K ≥ k clones that never exceed it, ties included, are killed, and each is replaced by a
    copy of one of the others up to the first state beyond the level, from where it goes on with noise of its own. The
    estimate of a run is the product of the factors 1 - K/N times the share of clones in B at the end. Its mean is the
    probability, for every N, k and coordinate (Bréhier, Gazeau, Goudenège, Lelièvre and Rousset 2016, theorem 3.2);
    its variance is -log(p)/N relative to p² when the coordinate is a function of the committor. Exits are those of the
    chain: only states after whole steps count. Noise with heavy tails is split within its steps as well, see
    `sdesim.engine.rare.reveal`.

    Parameters
    ----------
    dynamics : EulerMaruyama, Heun, Milstein, SGD, Truncated, Projected or a dynamics of an objective
    x0 : float, array (d,), or array (n, d) (n ≥ 1; (n,) when d = 1)
        Where excursions start, outside B; of several states each clone takes one at random.
    a : region
        The set an excursion falls back to. Regions are open, as everywhere.
    b, leave : region
        One of the two: the set B to be reached, or the region to be left, whose complement is B.
    coordinate : text, SymPy expression or callable, optional
        What grows on the way to B: a formula in the variables, or a function of a tensor of positions (lane, d), which
        needs the tensor engine. Default: the margin of the region, that is, in one dimension the distance towards the
        nearest end of B, for a ball around B minus the squared distance from its centre.
    n_clones, n_runs : int
        N and the number of independent runs M; the interval is Student's over the runs.
    kill : float or int
        k as a share of N in (0, 1), or as a number of clones. A tenth costs 5 % more variance than k = 1.
    level : float
        Confidence level of the interval.
    seed, first_run : int
        Run r of a seed is the same run whatever else is made with it: from first_run=10 come others.
    max_steps : int
        Excursions longer than this count as returned.
    smallest : float
        Runs whose probability falls below it are given up and count as 0.
    engine : "auto", "native" or "tensor"
    device, dtype, block, threads, progress
        As for `run`.
    wall_time : float, optional
        Seconds after which it stops; unfinished runs are left out, as after Ctrl-C.
    file : path, optional
        Ending in .zarr or .nc: finished runs are kept there, and those found there are not made again.

    Returns
    -------
    RareExit
        .value, .low, .high, .runs, .levels, .path_steps, .warning, .exit_states, .dataset

    Raises
    ------
    ValueError, TypeError, MemoryError
        Before any work, or when no clone of any run gets above its start: the coordinate never increases.

    Examples
    --------
    >>> import sdesim as sd
    >>> walk = sd.EulerMaruyama(sd.SDE(0, 1.0, variables=["x"]), dt=1e-2)
    >>> p = rare_exit(walk, 1.0, a=sd.Interval(high=0.0), b=sd.Interval(low=2.0), n_clones=100, n_runs=20)
    >>> p.low < 0.5 < p.high
    True
    """
    began = time.perf_counter()
    if n_runs == 1:
        raise ValueError("n_runs must be at least 2: the interval comes from independent runs")
    plan = make_plan(
        dynamics, x0, a, b, leave, coordinate, n_clones, n_runs, kill, seed, first_run, max_steps, smallest
    )
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")
    runs = Runs(plan, engine, device, dtype, block, threads)
    store = Store(file, runs.mark)
    clones = runs.fresh(store)
    limit = seconds(wall_time)
    runs.make(clones, limit, progress, store)
    ds = to_dataset(runs.plan, clones, runs.attributes() | {"wall_time": time.perf_counter() - began})
    store.keep(ds)
    refuse_coordinate_at_rest(runs.plan, clones)
    return rare_exit_estimate(ds, level)


def make_plan(
    dynamics: Any,
    x0: Any,
    a: Any,
    b: Any,
    leave: Any,
    coordinate: Any,
    n_clones: int,
    n_runs: int,
    kill: float,
    seed: int,
    first_run: int,
    max_steps: int,
    smallest: float,
    own: bool = False,
) -> SplittingPlan:
    """Check every argument of a study and turn it into numbers.

    Raises
    ------
    ValueError, TypeError
        One line that says what was given, what is possible and what to write instead.
    """
    if not hasattr(dynamics, "step"):
        raise TypeError(
            f"rare_exit needs a dynamics such as EulerMaruyama(sde, dt) or SGD(landscape, lr), got {dynamics!r}"
        )
    if (b is None) == (leave is None):
        raise ValueError("give b= (the region to be reached) or leave= (the region to be left), one of them")
    region, outside = (leave, True) if b is None else (b, False)
    for name, part in (("a", a), ("leave" if outside else "b", region)):
        _check_region(name, part, dynamics)
    n, runs = count("n_clones", n_clones, least=2), count("n_runs", n_runs, least=1)
    seed = count("seed", seed)
    if seed >= 1 << 64:
        raise ValueError(f"seed must be below 2**64, got {seed}")
    first = count("first_run", first_run)
    if first + runs > 1 << 23:
        raise ValueError(f"run numbers end at 2**23, asked for {first + runs}")
    positive("smallest", smallest, upper=1.0)
    chosen = chosen_coordinate(dynamics, region, coordinate, outside=outside)
    excursion = Excursion(dynamics, a, region, outside, chosen)
    starts = _starts(x0, dynamics)
    return SplittingPlan(
        excursion, starts, own, n, _rank(kill, n), runs, first, seed, count("max_steps", max_steps, least=1),
        float(smallest), reveal_of(dynamics) if excursion.formulas else None,
    )  # fmt: skip


def _check_region(name: str, region: Any, dynamics: Any) -> None:
    if not hasattr(region, "margins"):
        raise TypeError(f"{name} must be a region such as Interval(high=-1.0), got {region!r}")
    if hasattr(region, "balls"):
        raise ValueError(
            f"{name} is a basin in several dimensions, which has no margins: use Ball, HalfSpace or Sublevel"
        )
    if getattr(region, "every", 1) != 1:
        raise ValueError(f"{name} is looked at every {region.every} steps, splitting looks at every step: every=1")
    position = getattr(getattr(dynamics, "objective", None), "dim", dynamics.dim)
    if region.dim not in (None, position):
        raise ValueError(f"{name} has dimension {region.dim}, the dynamics {position}")


def _rank(kill: Any, n: int) -> int:
    """k, from a share of the clones or their number."""
    if not is_number(kill) or np.ndim(kill) or not (0 < kill < 1 or (kill == int(kill) and 1 <= kill < n)):
        raise ValueError(f"kill must be a share of the clones in (0, 1) or a number of them below {n}, got {kill!r}")
    return max(1, min(n - 1, round(kill * n))) if kill < 1 else int(kill)


def _starts(x0: Any, dynamics: Any) -> np.ndarray:
    """First states, shape (state, d)."""
    if hasattr(dynamics, "at_rest"):
        x0 = dynamics.at_rest(x0)
    try:
        given = np.asarray(x0, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"x0 must be a state or an array of states, got {x0!r}") from None
    d = dynamics.dim
    states = given.reshape(-1, 1) if d == 1 and given.ndim <= 1 else np.atleast_2d(given)
    if states.ndim != 2 or states.shape[1] != d or not len(states):
        raise ValueError(f"x0 has shape {given.shape}: possible are {'()' if d == 1 else (d,)} and (n, {d})")
    if not np.all(np.isfinite(states)):
        raise ValueError("x0 must be finite")
    return np.ascontiguousarray(states)


def with_starts(plan: SplittingPlan, code: np.ndarray, height: np.ndarray) -> SplittingPlan:
    """The plan that knows where its starts lie.

    Raises
    ------
    ValueError
        If one lies in B or has no coordinate.
    """
    bad = np.flatnonzero((code == REACHED) | (code == DIVERGED))
    if bad.size:
        where = plan.starts[bad[0]]
        place = where[0] if len(where) == 1 else tuple(where.tolist())
        raise ValueError(f"x0={place} lies in B: excursions start outside the set they are to reach")
    if not np.all(np.isfinite(height)):
        raise ValueError("the coordinate is not finite at x0: it must have a value on the whole way from A to B")
    excursion = plan.excursion
    if excursion.formulas:
        top = edge(excursion.coordinate, excursion.b)
        excursion = replace(excursion, low=float(np.median(height)), high=top)
    return replace(plan, excursion=excursion, from_a=bool((code == RETURNED).any()))


def refuse_coordinate_at_rest(plan: SplittingPlan, clones: Clones) -> None:
    """Raise if the coordinate of no clone of any run ever rose above its value at the start."""
    if (clones.numbers[:, STATUS] == EXTINCT).all() and (clones.tops <= clones.start_top).all():
        raise ValueError(
            f"the coordinate {plan.excursion.coordinate} never rose above its value at x0 in "
            f"{plan.n_runs * plan.n_clones} excursions: it must grow on the way to B (is its sign wrong?)"
        )


def seconds(wall_time: float | None) -> float | None:
    """When to stop, on the clock of the process."""
    if wall_time is None:
        return None
    positive("wall_time", wall_time)
    return time.perf_counter() + float(wall_time)


class Runs:
    """An engine chosen for a plan, and what it does with it."""

    def __init__(
        self, plan: SplittingPlan, engine: str, device: str | None, dtype: str | None, block: int | None, threads: Any
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"unknown engine {engine!r}: {near(engine, ENGINES)}")
        options = {"device": device, "dtype": dtype, "block": block}
        given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        if engine == "auto":
            engine = "tensor" if given or not plan.excursion.formulas else "native"
        if engine == "native" and given:
            raise ValueError(f"{given[0]} is for engine='tensor', got engine='native'")
        if engine == "native" and not plan.excursion.formulas:
            raise ValueError("engine='native' runs formulas alone: use engine='tensor'")
        self.engine = engine
        self.threads = default_threads() if threads is None else count("threads", threads, least=1)
        self.where: Any = None
        if engine == "tensor":
            from sdesim.engine.rare import tensor

            self.where = tensor.device_for(plan, device, dtype, block, self.threads)
            self.code, self.height = tensor.seen(plan, self.where)
        else:
            self.code, self.height = seen(plan)
        self.plan = plan = with_starts(plan, self.code, self.height)
        self.mark = fingerprint(plan, self.engine if self.where is None else f"tensor {self.where}")
        self.need = check_memory(plan)

    def attributes(self) -> dict[str, Any]:
        """What a dataset says of the engine."""
        more = {"device": "cpu", "dtype": "float64"} if self.where is None else self.where.attributes()
        return {"engine": self.engine, "threads": self.threads, "fingerprint": self.mark, **more}

    def fresh(self, store: Store) -> Clones:
        """Clones at their starts, and the finished runs of the store."""
        clones = new_clones(self.plan, self.height, self.code == RETURNED)
        if store.found is not None:
            restore(self.plan, clones, store.found)
        return clones

    def make(self, clones: Clones, limit: float | None, progress: bool | None, store: Store) -> bool:
        """Make the runs that are not finished; returns True unless it was stopped."""
        rows = np.flatnonzero(clones.numbers[:, STATUS] == RUNNING)
        shown = sys.stderr.isatty() if progress is None else progress
        saved = time.perf_counter()

        def stop() -> bool:
            nonlocal saved
            now = time.perf_counter()
            if store.path is not None and now - saved > SECONDS_BETWEEN_SAVES:
                store.keep(to_dataset(self.plan, clones, self.attributes()))
                saved = time.perf_counter()
            return limit is not None and now > limit

        with progress_bar(len(rows), self.need, shown, "runs") as report:
            if not len(rows):
                return True
            if self.engine == "native":
                from sdesim.engine.rare import native

                return native.simulate(self.plan, clones, rows, self.threads, stop, report)
            from sdesim.engine.rare import tensor

            return tensor.simulate(self.plan, clones, rows, self.where, stop, report)
