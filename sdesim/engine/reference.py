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
from sdesim.engine.trace import bind
from sdesim.engine.watching import Watching
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
    watching = Watching(plan, cell, dynamics, region)
    rows = cell * plan.n_paths + np.arange(plan.n_paths)
    ids = philox.path_id(cell, plan.start_path + np.arange(plan.n_paths))
    x = plan.x0[rows].copy()
    status, steps = np.zeros(plan.n_paths, dtype=np.int8), np.zeros(plan.n_paths, dtype=np.int64)
    alive = np.arange(plan.n_paths)
    clock, n_steps = float(plan.clock[cell]), int(plan.n_steps[cell])
    watching.start(Step(0, 0.0, 0.0, x, x, alive, ids, dynamics, plan.seed))
    for k in range(n_steps):
        z = draws(dynamics, plan.seed, ids[alive], k)
        with np.errstate(all="ignore"):
            new = dynamics.step(NUMPY, x[alive], z, k)
        good = np.isfinite(new).all(axis=1)
        status[alive[~good]] = Status.DIVERGED
        step = Step(k + 1, k * clock, (k + 1) * clock, x[alive], new, alive, ids[alive], dynamics, plan.seed).only(good)
        x[alive], steps[alive] = new, k + 1
        left = watching.exits(step)
        status[step.rows[left]] = Status.EXITED
        if left.any():
            x[step.rows[left]] = watching.exit_states(step.rows[left])
        alive = alive[status[alive] == 0]
        watching.look(step.only(~left))
        progress.path_steps += len(step.rows)
        report(progress)
        if not len(alive) or stop():
            break
    finished = not len(alive) or k + 1 == n_steps
    status[alive] = Status.CENSORED if finished else Status.INTERRUPTED
    e.state[rows], e.steps[rows], e.status[rows] = x, steps, status
    watching.store(e, rows)
    return finished


def draws(dynamics: Any, seed: int, paths: np.ndarray, k: int) -> np.ndarray:
    """The noise of step k for paths with these ids, shape (path, noise_dim)."""
    law, m = dynamics.noise, dynamics.noise_dim
    per_round, blocks = law.rounds(m)
    first = (k // per_round) * blocks
    flat = [w for b in range(blocks) for w in philox.words(seed, paths, philox.NOISE, first + b)]
    with np.errstate(all="ignore"):
        return np.stack(law.draw(NUMPY, m, flat)[k % per_round], axis=-1)
