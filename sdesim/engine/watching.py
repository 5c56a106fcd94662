"""Observers in array form, one set for the paths of a cell: the engines without kernels show them steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.engine.ensemble import Ensemble
from sdesim.engine.plan import Plan
from sdesim.engine.results import Status
from sdesim.engine.trace import Watch
from sdesim.observe.first_exit import FirstExit
from sdesim.observe.step import Step


class Watching:
    """The accumulators of the observers of one cell.

    Parameters
    ----------
    cell : int
    region : region or None
        The exit region with the parameters of the cell.
    """

    def __init__(self, plan: Plan, cell: int, dynamics: Any, region: Any) -> None:
        self.plan, self.cell = plan, cell
        seen = plan.watch
        if seen.exit is not None:
            seen = Watch(FirstExit(region, seen.exit.correction), seen.record, seen.moments, seen.passages)
        self.seen = seen
        found = [o for o in (seen.exit, seen.record, seen.moments, seen.passages) if o is not None]
        self.pairs = [(o, o.init(plan.n_paths, dynamics)) for o in found]

    def acc(self, observer: Any) -> dict[str, Any]:
        """The accumulators of an observer."""
        return next(acc for o, acc in self.pairs if o is observer)

    def start(self, step: Step) -> None:
        """Show the first states."""
        for observer, acc in self.pairs:
            observer.update(acc, step)

    def exits(self, step: Step) -> np.ndarray:
        """Show a step to what may end paths; says which of its paths have left."""
        left = np.zeros(len(step.rows), dtype=bool)
        for observer, acc in self.pairs:
            if hasattr(observer, "stop"):
                observer.update(acc, step)
                left |= observer.stop(acc)[step.rows]
        return left

    def look(self, step: Step) -> None:
        """Show a step to all others."""
        for observer, acc in self.pairs:
            if not hasattr(observer, "stop"):
                observer.update(acc, step)

    def exit_states(self, rows: np.ndarray) -> np.ndarray:
        """Where paths have left."""
        return self.acc(self.seen.exit)["exit_state"][rows]

    def restore(self, e: Ensemble, rows: np.ndarray) -> None:
        """Go on from what the ensemble holds of an interrupted run."""
        seen = self.seen
        if seen.exit is not None and e.exit_time.size:
            acc = self.acc(seen.exit)
            acc["exit_time"][:] = e.exit_time[rows]
        if seen.record is not None:
            acc = self.acc(seen.record)
            if seen.record.state:
                acc["state"][:] = e.record[rows]
            for name, array in e.values.items():
                acc["values"][name][:] = array[rows]
        if seen.moments is not None:
            acc, at = self.acc(seen.moments), self._moment_rows()
            acc["sums"][:], acc["count"][:] = e.moment_sums[at], e.moment_count[at]
        if seen.passages is not None:
            acc = self.acc(seen.passages)
            for name, array in self._passages(e).items():
                acc[name][:] = array[rows]

    def store(self, e: Ensemble, rows: np.ndarray) -> None:
        """Write the results of the cell, whose paths have these rows, into the ensemble."""
        seen = self.seen
        if e.exit_time.size:
            e.exit_time[rows] = self.acc(seen.exit)["exit_time"]
        if seen.record is not None:
            acc = self.acc(seen.record)
            if seen.record.state:
                e.record[rows] = acc["state"]
            for name, array in e.values.items():
                array[rows] = acc["values"][name]
        if seen.moments is not None:
            acc, at = self.acc(seen.moments), self._moment_rows()
            e.moment_sums[at], e.moment_count[at] = acc["sums"], acc["count"]
        if seen.passages is not None:
            acc = self.acc(seen.passages)
            ended = np.where(e.status[rows] == Status.INTERRUPTED, acc["since"], e.steps[rows])
            seen.passages.finish(acc, ended)
            for name, array in self._passages(e).items():
                array[rows] = acc[name]

    def _moment_rows(self) -> slice:
        width = self.plan.moment_steps.shape[1]
        return slice(self.cell * width, (self.cell + 1) * width)

    def _passages(self, e: Ensemble) -> dict[str, np.ndarray]:
        return {
            "well": e.well, "since": e.since, "occupancy": e.occupancy, "transitions": e.transitions,
            "count": e.passed, "step": e.passage_step, "to": e.passage_to,
        }  # fmt: skip
