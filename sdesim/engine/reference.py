"""The reference engine: every path in plain NumPy, one step after the other, from the same random numbers.

Nothing here is fast. It exists to be read, and to be what compiled kernels are tested against path by path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdesim.core import philox
from sdesim.core.ops import NUMPY
from sdesim.engine.ensemble import Ensemble
from sdesim.engine.native import Progress
from sdesim.engine.plan import Plan
from sdesim.engine.results import Status
from sdesim.engine.trace import Watch, bind
from sdesim.observe.step import Step


def simulate(plan: Plan, ensemble: Ensemble, stop: Callable[[], bool], report: Callable[[Progress], None]) -> bool:
    """Run every cell of the plan from its start to its end."""
    progress = Progress(plan.total)
    return all(_cell(plan, cell, ensemble, stop, report, progress) for cell in range(plan.cells))


def _cell(
    plan: Plan,
    cell: int,
    e: Ensemble,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
    progress: Progress,
) -> bool:
    dynamics, region, _ = bind(plan.dynamics, plan.watch, plan.in_cell(cell))
    seen = _with_region(plan.watch, region)
    rows = cell * plan.n_paths + np.arange(plan.n_paths)
    ids = philox.path_id(cell, plan.start_path + np.arange(plan.n_paths))
    observers = [o for o in (seen.exit, seen.record, seen.moments, seen.passages) if o is not None]
    accs = [o.init(plan.n_paths, dynamics) for o in observers]
    x = plan.x0[rows].copy()
    status, steps = np.zeros(plan.n_paths, dtype=np.int8), np.zeros(plan.n_paths, dtype=np.int64)
    alive = np.arange(plan.n_paths)
    clock, n_steps = float(plan.clock[cell]), int(plan.n_steps[cell])
    _tell(observers, accs, Step(0, 0.0, 0.0, x, x, alive, ids, dynamics, plan.seed))
    for k in range(n_steps):
        z = draws(dynamics, plan.seed, ids[alive], k)
        with np.errstate(all="ignore"):
            new = dynamics.step(NUMPY, x[alive], z, k)
        good = np.isfinite(new).all(axis=1)
        status[alive[~good]] = Status.DIVERGED
        step = Step(k + 1, k * clock, (k + 1) * clock, x[alive][good], new[good], alive[good], ids[alive[good]],
                    dynamics, plan.seed)  # fmt: skip
        x[alive], steps[alive] = new, k + 1
        _exits(observers, accs, step, status, x)
        alive = alive[status[alive] == 0]
        still = np.isin(step.rows, alive)
        _tell(observers, accs, step._replace(x0=step.x0[still], x1=step.x1[still], rows=step.rows[still],
                                             paths=step.paths[still]), skip_exit=True)  # fmt: skip
        progress.path_steps += len(step.rows)
        report(progress)
        if not len(alive) or stop():
            break
    finished = not len(alive) or k + 1 == n_steps
    status[alive] = Status.CENSORED if finished else Status.INTERRUPTED
    _store(
        plan,
        cell,
        e,
        rows,
        x,
        steps,
        status,
        dict(zip((type(o).__name__ for o in observers), accs, strict=True)),
        seen,
    )
    return finished


def draws(dynamics: Any, seed: int, paths: np.ndarray, k: int) -> np.ndarray:
    """The noise of step k for paths with these ids, shape (path, noise_dim)."""
    law, m = dynamics.noise, dynamics.noise_dim
    per_round, blocks = law.rounds(m)
    first = (k // per_round) * blocks
    flat = [w for b in range(blocks) for w in philox.words(seed, paths, philox.NOISE, first + b)]
    with np.errstate(all="ignore"):
        return np.stack(law.draw(NUMPY, m, flat)[k % per_round], axis=-1)


def _with_region(seen: Watch, region: Any) -> Watch:
    if seen.exit is None:
        return seen
    return Watch(type(seen.exit)(region, seen.exit.correction), seen.record, seen.moments, seen.passages)


def _tell(observers: list[Any], accs: list[dict[str, Any]], step: Step, *, skip_exit: bool = False) -> None:
    for observer, acc in zip(observers, accs, strict=True):
        if not (skip_exit and hasattr(observer, "stop")):
            observer.update(acc, step)


def _exits(observers: list[Any], accs: list[dict[str, Any]], step: Step, status: np.ndarray, x: np.ndarray) -> None:
    for observer, acc in zip(observers, accs, strict=True):
        if hasattr(observer, "stop"):
            observer.update(acc, step)
            left = step.rows[observer.stop(acc)[step.rows]]
            status[left] = Status.EXITED
            x[left] = acc["exit_state"][left]


def _store(
    plan: Plan,
    cell: int,
    e: Ensemble,
    rows: np.ndarray,
    x: np.ndarray,
    steps: np.ndarray,
    status: np.ndarray,
    accs: dict[str, dict[str, Any]],
    seen: Watch,
) -> None:
    e.state[rows], e.steps[rows], e.status[rows] = x, steps, status
    if e.exit_time.size:
        e.exit_time[rows] = accs["FirstExit"]["exit_time"]
    if "Record" in accs:
        e.record[rows] = accs["Record"]["state"]
    if "Moments" in accs:
        at = slice(cell * plan.moment_steps.shape[1], (cell + 1) * plan.moment_steps.shape[1])
        e.moment_sums[at], e.moment_count[at] = accs["Moments"]["sums"], accs["Moments"]["count"]
    if seen.passages is not None:
        acc = accs["Passages"]
        ended = np.where(status == Status.INTERRUPTED, acc["since"], steps)
        seen.passages.finish(acc, ended)
        e.well[rows], e.since[rows], e.occupancy[rows] = acc["well"], acc["since"], acc["occupancy"]
        e.transitions[rows], e.passed[rows] = acc["transitions"], acc["count"]
        e.passage_step[rows], e.passage_to[rows] = acc["step"], acc["to"]
