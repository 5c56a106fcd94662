"""The arrays of a run: what every path has become so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdesim.core.exactsum import LIMBS
from sdesim.engine.plan import Plan
from sdesim.observe.schedule import POWERS

FRACTION_OF_MEMORY = 0.9


@dataclass
class Ensemble:
    """Results in the making, rows in the order cell, path. Arrays of absent observers have no columns.

    Rows hold the state and the steps done, so a run that was interrupted goes on where it stopped.
    """

    state: np.ndarray
    steps: np.ndarray
    status: np.ndarray
    exit_time: np.ndarray
    record: np.ndarray
    values: dict[str, np.ndarray]
    moment_sums: np.ndarray
    moment_count: np.ndarray
    well: np.ndarray
    since: np.ndarray
    occupancy: np.ndarray
    transitions: np.ndarray
    passed: np.ndarray
    passage_step: np.ndarray
    passage_to: np.ndarray


def new_ensemble(plan: Plan, *, bridge: bool) -> Ensemble:
    """Arrays for a plan, every path at its start."""
    n, d = plan.x0.shape
    passages = plan.watch.passages
    wells = len(passages.cores()) if passages else 0
    rows = n if passages else 0
    capacity = passages.capacity if passages else 0
    n_times = plan.moment_steps.size
    return Ensemble(
        state=plan.x0,
        steps=np.zeros(n, np.int64),
        status=np.full(n, 4, np.int8),
        exit_time=np.full(n if bridge else 0, np.nan),
        record=np.full((n if _keeps_states(plan) else 0, plan.record_steps.shape[1], d), np.nan),
        values={name: np.full((n, plan.record_steps.shape[1]), np.nan) for name in _value_names(plan)},
        moment_sums=np.zeros((n_times, d, POWERS, LIMBS), np.int64),
        moment_count=np.zeros(n_times, np.int64),
        well=np.full(rows, -1, np.int64),
        since=np.zeros(rows, np.int64),
        occupancy=np.zeros((rows, wells), np.int64),
        transitions=np.zeros((rows, wells, wells), np.int64),
        passed=np.zeros(rows, np.int64),
        passage_step=np.full((rows, capacity), -1, np.int64),
        passage_to=np.full((rows, capacity), -1, np.int64),
    )


def _keeps_states(plan: Plan) -> bool:
    return plan.watch.record is not None and bool(plan.watch.record.state)


def _value_names(plan: Plan) -> list[str]:
    return [] if plan.watch.record is None else list(plan.watch.record.values)


def bytes_per_path(plan: Plan) -> int:
    """Memory one path takes in all cells, arrays and dataset together."""
    d = plan.dynamics.dim
    n = 16 * d + 8 + 8 + 2
    if plan.watch.exit is not None:
        n += 16 + 8 * d
    n += 8 * (d * _keeps_states(plan) + len(_value_names(plan))) * plan.record_steps.shape[1]
    if plan.watch.passages is not None:
        m = len(plan.watch.passages.cores())
        n += 8 * (3 + 2 * m + m * m + 4 * plan.watch.passages.capacity)
    return n * plan.cells


def available_memory() -> int | None:
    """Bytes of memory that can still be had, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def check_memory(plan: Plan) -> int:
    """Bytes the run will hold; refuses a run that does not fit and says how many paths do.

    Raises
    ------
    MemoryError
    """
    each = bytes_per_path(plan)
    need, free = each * plan.n_paths, available_memory()
    if free is not None and need > FRACTION_OF_MEMORY * free:
        fit = int(FRACTION_OF_MEMORY * free) // each
        raise MemoryError(
            f"{plan.n_paths} paths need {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: "
            f"{fit} paths fit; run them in parts with start_path="
        )
    return need
