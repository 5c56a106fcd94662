"""What happens at an end of the region that is infinite, or where the diffusion is singular (Feller)."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdesim.analysis.diffusion.panels import Coefficients, Panels

MAX_SEGMENTS = 3000
MAX_DOUBLINGS = 300
NEGLIGIBLE = -40.0
STEEP = 20.0
MARGIN = 1e-6


@dataclass(frozen=True)
class End:
    """Low end of a region: `absorbs` or is closed; the calculation uses `edges`, from where it is cut.

    `rest` bounds what lies beyond the cut, relative to the measure that matters there: the speed measure of a
    closed end, the scale measure of an absorbing one.
    """

    absorbs: bool
    edges: np.ndarray
    rest: float = 0.0


def low_end(
    coefficients: Coefficients, low: float, start: float, shown: float, *, finite_mean: bool = True
) -> End:
    """Classify the low end, seen from `start` inside the region; `shown` is its name in messages.

    Without `finite_mean` an end that paths return from after an infinite mean time is closed, and one that they run
    to for ever absorbs: enough for the question where they leave.

    Raises
    ------
    ValueError
        If paths run to the end for ever, or return from it only after an infinite mean time.
    """
    if np.isfinite(low) and _regular(coefficients, low):
        return End(True, np.array([low]))
    log_m, log_s, log_g, edges, halving = _march(coefficients, low, start)
    speed, scale = _tail(log_m, halving), _tail(log_s, halving)
    if not np.isfinite(scale):
        if np.isfinite(speed) or not finite_mean:
            return End(False, edges, speed)
        raise ValueError(
            f"the mean exit time is infinite: paths wander towards {shown:g} and come back after a time of "
            "infinite mean; give reflecting=... a wall on that side, or a region with two finite ends"
        )
    reached = np.isfinite(low) and np.isfinite(_tail(log_g, halving))
    if finite_mean and not reached:
        raise ValueError(
            f"the mean exit time is infinite: with positive probability paths run to {shown:g} for ever; "
            "give reflecting=... a wall on that side, or a region with two finite ends"
        )
    return End(True, edges, scale)


def _regular(coefficients: Coefficients, x: float) -> bool:
    """Whether drift and diffusion are finite at `x` and the diffusion is not zero there."""
    with np.errstate(all="ignore"):
        drift, variance = coefficients.drift(np.array([x])), coefficients.variance(np.array([x]))
    return bool(np.isfinite(drift[0]) and np.isfinite(variance[0]) and variance[0] > 0)


def _march(
    coefficients: Coefficients, low: float, start: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
    """Walk from `start` towards `low` in segments that double (or halve the distance left) unless Φ is steep.

    Returns the logarithms of speed measure, of scale measure and of scale-to-here times speed for each
    segment, the edges of the segments, and whether the walk stopped on plain doublings.
    """
    width = 1.0 if np.isinf(low) else 0.5 * (start - low)
    floor = 1e-12 * abs(low) if np.isfinite(low) else 0.0
    at, phi, doublings = start, 0.0, 0
    speeds: list[float] = []
    scales: list[float] = []
    greens: list[float] = []
    edges, steep = [start], False
    for _ in range(MAX_SEGMENTS):
        slope = abs(float(coefficients.densities(np.array([at]))[0][0]))
        plain = width if np.isinf(low) else 0.5 * (at - low)
        steep = slope * plain > STEEP
        step = STEEP / slope if steep else plain
        panels = Panels.resolve(coefficients, np.array([at - step, at]))
        at_edges, at_nodes = panels.potential()
        at_nodes = at_nodes - at_edges[-1] + phi
        phi -= at_edges[-1]
        speeds.append(float(np.logaddexp.reduce(panels.log_integral(at_nodes + np.log(panels.weight)))))
        scales.append(float(np.logaddexp.reduce(panels.log_integral(-at_nodes))))
        greens.append(float(scales[-1] + speeds[-1]))
        at -= step
        edges.append(at)
        doublings += not steep
        width = 2 * step if np.isinf(low) else width
        if _settled(speeds, scales) or doublings >= MAX_DOUBLINGS or (np.isfinite(low) and at - low <= floor):
            break
        if np.isinf(low) and abs(at) > 1e90:
            break
    return np.array(speeds), np.array(scales), np.array(greens), np.array(edges), not steep


def _settled(speeds: list[float], scales: list[float]) -> bool:
    """Whether one of the measures has stopped growing while the other gains on it without end."""
    if len(speeds) < 4:
        return False
    for still, moving in ((speeds, scales), (scales, speeds)):
        total = np.logaddexp.reduce(still)
        if max(still[-2:]) < total + NEGLIGIBLE and moving[-1] >= moving[-2]:
            return True
    return False


def _tail(logs: np.ndarray, plain: bool) -> float:
    """Measure beyond the last segment relative to the total, by the ratio of the last two; maybe inf."""
    ratio = logs[-1] - logs[-2]
    total = np.logaddexp.reduce(logs)
    if ratio >= np.log1p(-MARGIN):
        return np.inf
    return float(np.exp(logs[-1] - total + ratio) / -np.expm1(ratio))
