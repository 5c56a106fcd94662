"""A power law through numbers with errors: weighted regression of the logarithms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Level of the chi-square test above which the errors do not explain the scatter about a straight line.
FITS = 0.95
# Standard errors of the curvature beyond which local slopes drift, and the drift that matters at all.
CURVED, DRIFT = 3.0, 1e-3
# A point without an error among others with one weighs as if it had this share of the largest error.
SHARPEST = 1e-3


class PowerLaw(NamedTuple):
    """Fit of y = prefactor x^slope: the slope's interval, the misfit's p-value, and slopes at both ends of a parabola.

    `curvature` is the parabola's coefficient in standard errors, NaN where it cannot be tested.
    """

    slope: float
    low: float
    high: float
    prefactor: float
    misfit_p_value: float
    curvature: float
    ends: tuple[float, float]
    n: int
    method: str

    @property
    def drifts(self) -> bool:
        """Whether the local slopes visibly change."""
        return abs(self.curvature) > CURVED and abs(self.ends[1] - self.ends[0]) > DRIFT


def power_law(x: np.ndarray, y: np.ndarray, s: np.ndarray, level: float) -> PowerLaw:
    """The fit to log y (finite entries) against log x, ascending, with standard errors s of log y (all 0: unknown)."""
    from scipy.special import chdtrc, ndtri, stdtrit

    known = np.isfinite(y) & np.isfinite(s)
    x, y, s = x[known], y[known], s[known]
    n, tail = x.size, 0.5 * (1 + level)
    if n < 2:
        nan = float("nan")
        return PowerLaw(nan, -np.inf, np.inf, nan, nan, nan, (nan, nan), n, "fewer than two points")
    exact = not s.any()
    w = np.ones(n) if exact else np.maximum(s, SHARPEST * s.max()) ** -2
    centre = np.average(x, weights=w)
    spread = np.sum(w * (x - centre) ** 2)
    slope = float(np.sum(w * (x - centre) * y) / spread)
    height = float(np.average(y, weights=w))
    misfit, freedom = float(np.sum(w * (y - height - slope * (x - centre)) ** 2)), n - 2
    p = float("nan") if exact or not freedom else float(chdtrc(freedom, misfit))
    if exact and not freedom:
        half, method = np.inf, "two points without errors: no interval"
    elif exact or p < 1 - FITS:
        scale = misfit / freedom if exact else max(misfit / freedom, 1.0)
        half, method = stdtrit(freedom, tail) * np.sqrt(scale / spread), "t interval scaled by the misfit"
    else:
        half, method = ndtri(tail) / np.sqrt(spread), "normal interval of the points' errors"
    curvature, ends = _parabola(x, y, w, exact)
    prefactor = float(np.exp(height - slope * centre))
    return PowerLaw(slope, slope - float(half), slope + float(half), prefactor, p, curvature, ends, n, method)


def local_slopes(x: np.ndarray, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes between neighbours along the last axis, and their standard errors."""
    step = np.diff(x)
    return np.diff(y, axis=-1) / step, np.hypot(s[..., 1:], s[..., :-1]) / step


def _parabola(x: np.ndarray, y: np.ndarray, w: np.ndarray, exact: bool) -> tuple[float, tuple[float, float]]:
    """Quadratic coefficient in standard errors, and the parabola's slopes at the two ends."""
    if x.size < 3:
        return float("nan"), (float("nan"), float("nan"))
    centre, reach = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    u = (x - centre) / reach
    columns = np.stack([np.ones_like(u), u, u * u], axis=1) * np.sqrt(w)[:, None]
    inverse = np.linalg.pinv(columns)
    found = inverse @ (np.sqrt(w) * y)
    error = 0.0 if exact else float(np.linalg.norm(inverse[2]))
    curvature = float(found[2] / error) if error else float(np.copysign(np.inf, found[2]))
    return curvature, (float(found[1] - 2 * found[2]) / reach, float(found[1] + 2 * found[2]) / reach)
