"""First exit from a region: when, where, and by which correction between grid points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.checks import near
from sdesim.core.ops import NUMPY
from sdesim.observe import bridge
from sdesim.observe.step import Step

CORRECTIONS = ("auto", "bridge", None)


@dataclass(frozen=True)
class FirstExit:
    """Stops a path when it leaves `region` and keeps the time and place.

    Looking only at grid points finds Brownian exits late, by order sqrt(h). With the bridge correction a step whose
    ends are both inside is judged crossed with the probability that a Brownian bridge crosses, and the time of the
    crossing is drawn from its law; the error is then of order h. See `sdesim.observe.bridge`.

    Parameters
    ----------
    region : Interval, Ball, HalfSpace, Sublevel or Basin; Below or Above on the tensor engine
    correction : "auto", "bridge" or None
        "auto" is the bridge for EulerMaruyama, Heun and Milstein in a region with a signed distance, none elsewhere:
        a discrete recursion needs none, its grid is the truth.
    """

    region: Any
    correction: str | None = "auto"

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            hint = near(str(self.correction), ("auto", "bridge"))
            raise ValueError(f"correction must be 'auto', 'bridge' or None, got {self.correction!r}: {hint}")
        if not hasattr(self.region, "margins"):
            raise TypeError(f"FirstExit needs a region such as Interval(-1, 1), got {self.region!r}")

    def uses_bridge(self, dynamics: Any) -> bool:
        """Whether the bridge applies; refuses a bridge asked for where it is not defined.

        Raises
        ------
        ValueError
            If correction="bridge" and the noise jumps, the step is truncated, projected or a recursion, or the
            region has no signed distance.
        """
        reason = ""
        if not dynamics.continuous:
            kind = type(dynamics).__name__
            law = f" with {type(dynamics.noise).__name__} noise" if hasattr(dynamics, "noise") else ""
            reason = f"{kind}{law} has no continuous path between steps"
        elif not hasattr(self.region, "faces"):
            reason = f"{type(self.region).__name__} has no signed distance"
        if self.correction == "bridge" and reason:
            raise ValueError(f"correction='bridge' is not defined here: {reason}; write correction=None")
        return self.correction is not None and not reason

    def init(self, n: int, dynamics: Any) -> dict[str, Any]:
        """Accumulators for n paths."""
        return {
            "exit_time": np.full(n, np.nan),
            "exit_state": np.full((n, dynamics.dim), np.nan),
            "exited": np.zeros(n, dtype=bool),
            "bridge": self.uses_bridge(dynamics),
        }

    def update(self, acc: dict[str, Any], step: Step) -> None:
        """Find the paths that left in this step; the start is inside by an earlier check."""
        if step.k == 0:
            return
        if step.k % getattr(self.region, "every", 1):
            return
        outside = ~self.region.contains(step.x1 if step.tensor is None else step.tensor)
        left = outside
        if acc["bridge"]:
            u = step.bridge_uniform()
            with np.errstate(all="ignore"):  # an infinite end of an interval has an infinite distance
                p = bridge.probability(NUMPY, step.dynamics, self.region, step.x0, step.x1, step.k - 1)
            left = outside | (u < p)
        rows = step.rows[left]
        acc["exited"][rows] = True
        acc["exit_time"][rows] = step.t1
        acc["exit_state"][rows] = step.x1[left]
        if acc["bridge"] and left.any():
            self._draw_crossing(acc, step, left)

    def _draw_crossing(self, acc: dict[str, Any], step: Step, left: np.ndarray) -> None:
        normal, v = (draw[left] for draw in step.crossing_draws())
        with np.errstate(all="ignore"):
            fraction, *place = bridge.crossing(
                NUMPY, step.dynamics, self.region, step.x0[left], step.x1[left], step.k - 1, normal * normal, v
            )
        rows = step.rows[left]
        acc["exit_time"][rows] = step.t0 + fraction * (step.t1 - step.t0)
        acc["exit_state"][rows] = np.stack(place, axis=-1)

    def stop(self, acc: dict[str, Any]) -> np.ndarray:
        """Paths that have left."""
        return acc["exited"]
