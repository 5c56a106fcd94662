"""A 1-D diffusion and the interval it leaves, prepared for quadrature: Itô's coefficients, ends, starting points."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from sdesim.analysis.diffusion.ends import End, low_end
from sdesim.analysis.diffusion.panels import Coefficients, Panels
from sdesim.analysis.region_ends import inside, refuse_time, region_ends
from sdesim.core.formula import differentiate, ops_function
from sdesim.core.ops import NUMPY


@dataclass(frozen=True)
class Passage:
    """A diffusion on its way out of an interval, seen so that the high end absorbs.

    Attributes
    ----------
    coefficients : Coefficients
        Those of -X where `mirrored`.
    left, right : End
        Both as low ends: the edges of `right` are those of the mirrored line.
    points : ndarray
        Distinct starting points, sorted, mirrored where `mirrored`.
    where : ndarray
        Number of the point in `points` for each starting point, in the shape that was given.
    mirrored : bool
        Whether everything above is that of -X.
    """

    coefficients: Coefficients
    left: End
    right: End
    points: np.ndarray
    where: np.ndarray
    mirrored: bool

    @classmethod
    def out_of(
        cls, sde: Any, x0: Any, region: Any, reflecting: float | None, *, asked: str, finite_mean: bool = True
    ) -> Passage:
        """The passage out of a region; `asked` is the name of the caller in messages.

        Raises
        ------
        ValueError
            If the SDE has more than one component, jumps or time-dependent coefficients, x0 lies outside, no end lets
            a path out, or (with `finite_mean`) the mean exit time is infinite.
        """
        coefficients = _coefficients(sde, asked)
        low, high = region_ends(region)
        x = inside(x0, low, high)
        walls = (False, False)
        if reflecting is not None:
            low, high, walls = _with_wall(float(reflecting), x, low, high)
        points = np.unique(x)
        left = (
            End(False, np.array([low]))
            if walls[0]
            else low_end(coefficients, low, float(points[0]), low, finite_mean=finite_mean)
        )
        turned = coefficients.mirrored()
        right = (
            End(False, np.array([-high]))
            if walls[1]
            else low_end(turned, -high, float(-points[-1]), high, finite_mean=finite_mean)
        )
        if not left.absorbs and not right.absorbs:
            raise ValueError(f"no end of ({low:g}, {high:g}) lets a path out: the mean exit time is infinite")
        where = np.searchsorted(points, x)
        if right.absorbs:
            return cls(coefficients, left, right, points, where, False)
        return cls(turned, right, left, -points[::-1], points.size - 1 - where, True)

    def panels(self) -> Panels:
        """Adaptive panels over the whole interval, with an edge at every starting point."""
        edges = np.unique(np.concatenate([self.left.edges, -self.right.edges, self.points]))
        return Panels.resolve(self.coefficients, edges)

    @property
    def rest(self) -> float:
        """Relative error of cutting the interval where the ends are infinite or singular."""
        return self.left.rest + self.right.rest


def _with_wall(
    wall: float, x: np.ndarray, low: float, high: float
) -> tuple[float, float, tuple[bool, bool]]:
    """Ends of the region with the wall in place of one of them."""
    if low <= wall <= x.min():
        return wall, high, (True, False)
    if x.max() <= wall <= high:
        return low, wall, (False, True)
    raise ValueError(
        f"reflecting={wall:g} must lie in the region [{low:g}, {high:g}] with every x0 on the same side of it"
    )


def _coefficients(sde: Any, asked: str) -> Coefficients:
    """Drift and variance rate of a one-dimensional SDE, in Itô's sense, as functions of the state."""
    if sde.dim != 1:
        raise ValueError(f"{asked} needs an SDE in one dimension, got {sde.dim}: simulate it with run")
    refuse_time(sde)
    if sde.noise.index != 2:
        raise ValueError(
            f"{asked} needs Gaussian noise, got {sde.noise!r}: use theory.stable_exit_time (no drift), "
            "theory.small_noise_stable_exit_time or theory.chain_exit_time for its Euler steps"
        )
    names = [*sde.variables, *sde.params]
    given = [np.float64(v) for v in sde.params.values()]
    variance = float(sde.noise.variance)
    ito = sde.drift[0]
    if sde.calculus == "stratonovich":
        x = sp.Symbol(sde.variables[0], real=True)
        ito += sp.Float(variance) / 2 * sum(b * differentiate(b, x) for b in sde.diffusion[0])
    evaluate = ops_function([ito, *sde.diffusion[0]], names)

    def drift(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(evaluate(NUMPY, x, *given)[0], dtype=float), x.shape)

    def rate(x: np.ndarray) -> np.ndarray:
        total = sum(np.asarray(s, dtype=float) ** 2 for s in evaluate(NUMPY, x, *given)[1:])
        return np.broadcast_to(variance * np.asarray(total, dtype=float), x.shape)

    return Coefficients(drift, rate)
