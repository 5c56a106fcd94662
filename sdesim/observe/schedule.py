"""Observers that look at given times: states, and moments over the ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.core.checks import finite
from sdesim.core.exactsum import LIMBS, add_exact
from sdesim.observe.step import Step

POWERS = 4
TAKEN = ("state", "status", "n_steps", "final_state", "clock", "exit_time", "exit_state", "time", "path", "component")


def checked_times(times: Any) -> tuple[float, ...]:
    """Times as sorted floats ≥ 0, or one clear error."""
    values = np.atleast_1d(np.asarray(times, dtype=float))
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError(f"times must be a list of finite times at least 0, got {times!r}")
    if np.any(np.diff(values) <= 0):
        raise ValueError("times must increase: sort them and drop repeats")
    return tuple(values.tolist())


def steps_of(times: Any, clock: Any) -> Any:
    """The last step at or before each time; a time within rounding of a step belongs to it."""
    ratio = np.asarray(times) / clock
    return np.floor(ratio + 1e-9 * np.maximum(1.0, ratio)).astype(np.int64)


@dataclass(frozen=True)
class Record:
    """The state of every path at given times: the state after the last step at or before each.

    Times after a path has stopped hold NaN. Dynamics with different clocks share the time axis.

    Parameters
    ----------
    times : increasing list of floats ≥ 0
    values : dict of name -> function, optional
        Functions of the positions, a tensor (path, parameter), that give one number a path, kept under their names:
        {"loss": objective.loss}. For the tensor engine; without `state=True` states themselves are not kept.
    state : bool, optional
        Whether to keep the states. Default: unless there are values.
    """

    times: Any
    values: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    state: bool | None = None
    structure = ("times", "values", "state")

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", checked_times(self.times))
        object.__setattr__(self, "values", dict(self.values))
        object.__setattr__(self, "state", not self.values if self.state is None else bool(self.state))
        for name, function in self.values.items():
            if not isinstance(name, str) or not name.isidentifier() or not callable(function):
                raise ValueError(f"values must map names to functions of tensors, got {name!r}: {function!r}")
            if name in TAKEN:
                raise ValueError(f"values cannot use the name {name!r}: every dataset has a variable of that name")

    def __repr__(self) -> str:
        more = f", values={{{', '.join(self.values)}}}, state={self.state}" if self.values else ""
        return f"Record(times={self.times!r}{more})"

    def init(self, n: int, dynamics: Any) -> dict[str, Any]:
        """Accumulators for n paths."""
        steps = steps_of(self.times, dynamics.clock)
        kept = len(steps) if self.state else 0
        values = {name: np.full((n, len(steps)), np.nan) for name in self.values}
        return {"steps": steps, "state": np.full((n, kept, dynamics.dim), np.nan), "values": values}

    def update(self, acc: dict[str, Any], step: Step) -> None:
        """Keep the states, and the values of the functions, whose time has come."""
        due = np.flatnonzero(acc["steps"] == step.k)
        if not len(due) or not len(step.rows):
            return
        if self.state:
            acc["state"][np.ix_(step.rows, due)] = step.x1[:, None, :]
        for name, function in self.values.items():
            found = function(step.tensor).detach().cpu().numpy()
            if found.shape != (len(step.rows),):
                raise ValueError(
                    f"values[{name!r}] must give one number a path, shape ({len(step.rows)},), got {found.shape}"
                )
            acc["values"][name][np.ix_(step.rows, due)] = found[:, None]


@dataclass(frozen=True)
class Moments:
    """Mean, variance, and third and fourth central moments over the ensemble at given times, without storing paths.

    Powers of x - about are summed exactly (see `sdesim.core.exactsum`), so the result does not depend on the
    order of the paths: splitting a run, or running on more threads, changes no bit. Paths that have stopped do not
    count; `moment_count` says how many were running.

    Parameters
    ----------
    times : increasing list of floats ≥ 0
    about : float
        Reference point; near the mean it saves the digits that cancel.
    """

    times: Any
    about: float = 0.0
    structure = ("times", "about")

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", checked_times(self.times))
        finite("about", self.about)

    def init(self, n: int, dynamics: Any) -> dict[str, Any]:
        """Accumulators: exact sums of powers by time and component."""
        steps = steps_of(self.times, dynamics.clock)
        return {
            "steps": steps,
            "count": np.zeros(len(steps), dtype=np.int64),
            "sums": np.zeros((len(steps), dynamics.dim, POWERS, LIMBS), dtype=np.int64),
        }

    def update(self, acc: dict[str, Any], step: Step) -> None:
        """Add the powers of the states whose time has come."""
        for j in np.flatnonzero(acc["steps"] == step.k):
            acc["count"][j] += len(step.rows)
            for c in range(step.x1.shape[1]):
                y = step.x1[:, c] - self.about
                power = np.ones_like(y)
                for p in range(POWERS):
                    with np.errstate(over="ignore"):
                        power = power * y
                    for value in power:
                        add_exact(acc["sums"], j, c, p, value)
