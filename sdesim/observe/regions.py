"""Regions of state space: where a path may stay, or where it is kept.

A region gives `margins(ops, x)`: quantities that are all positive inside and not all positive outside. Regions with a
smooth or flat boundary also give `faces(ops, x)`: signed distance to each piece of the boundary (positive inside) and
the unit vector along which it grows; that is what a crossing between two steps is judged by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.core.checks import finite, is_number, positive
from sdesim.core.formula import ops_function
from sdesim.core.ops import NUMPY, Ops
from sdesim.problems.landscape import Landscape

Faces = list[tuple[Any, list[Any]]]


def contains(region: Any, x: Any) -> np.ndarray:
    """Which of the points x lie inside; x is (..., d), or any shape when d = 1."""
    points = np.asarray(x, dtype=float)
    if region.dim in (None, 1) and (points.ndim == 0 or points.shape[-1] != 1):
        points = points[..., None]
    if region.dim not in (None, points.shape[-1]):
        raise ValueError(f"points have shape {points.shape}, the region has dimension {region.dim}")
    with np.errstate(all="ignore"):
        margins = [np.asarray(m) > 0 for m in region.margins(NUMPY, points)]
    return np.logical_and.reduce(np.broadcast_arrays(*margins))


@dataclass(frozen=True)
class Interval:
    """The open interval low < x < high; an end may be infinite.

    Raises
    ------
    ValueError
        Unless low < high.
    """

    low: Any = -math.inf
    high: Any = math.inf
    dim = 1

    def __post_init__(self) -> None:
        if is_number(self.low) and is_number(self.high) and not np.all(np.asarray(self.low) < np.asarray(self.high)):
            raise ValueError(f"an Interval needs low < high, got low={self.low} and high={self.high}")

    contains = contains

    def margins(self, ops: Ops, x: Any) -> list[Any]:
        """x - low and high - x."""
        x = ops.split(x)[0]
        return [x - self.low, self.high - x]

    def faces(self, ops: Ops, x: Any) -> Faces:
        """Distance to the lower and to the upper end."""
        x = ops.split(x)[0]
        return [(x - self.low, [1.0]), (self.high - x, [-1.0])]

    def project(self, ops: Ops, x: Any) -> Any:
        """The nearest point of the closed interval."""
        return ops.stack([ops.maximum(self.low, ops.minimum(self.high, ops.split(x)[0]))])


@dataclass(frozen=True)
class Ball:
    """The open ball |x - center| < radius.

    Parameters
    ----------
    center : float or sequence of d floats
    radius : float
    """

    center: Any
    radius: Any

    def __post_init__(self) -> None:
        center = tuple(self.center) if isinstance(self.center, Sequence | np.ndarray) else (self.center,)
        object.__setattr__(self, "center", center)
        for c in center:
            finite("Ball center", c)
        positive("Ball radius", self.radius)

    contains = contains

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return len(self.center)

    def _offset(self, ops: Ops, x: Any) -> list[Any]:
        return [xi - c for xi, c in zip(ops.split(x), self.center, strict=True)]

    def margins(self, ops: Ops, x: Any) -> list[Any]:
        """radius² - |x - center|²."""
        return [self.radius**2 - sum(v * v for v in self._offset(ops, x))]

    def faces(self, ops: Ops, x: Any) -> Faces:
        """radius - |x - center|, growing towards the center."""
        offset = self._offset(ops, x)
        length = ops.maximum(ops.norm(ops.stack(offset)), 1e-300)
        return [(self.radius - length, [-v / length for v in offset])]

    def project(self, ops: Ops, x: Any) -> Any:
        """The nearest point of the closed ball."""
        offset = self._offset(ops, x)
        length = ops.norm(ops.stack(offset))
        shrink = ops.where(length > self.radius, self.radius / length, 1.0 + 0.0 * length)
        return ops.stack([c + v * shrink for c, v in zip(self.center, offset, strict=True)])


@dataclass(frozen=True)
class HalfSpace:
    """The open half space normal · x < offset; the normal is scaled to length one.

    Parameters
    ----------
    normal : float or sequence of d floats
    offset : float
    """

    normal: Any
    offset: Any

    def __post_init__(self) -> None:
        normal = tuple(self.normal) if isinstance(self.normal, Sequence | np.ndarray) else (self.normal,)
        if all(is_number(n) and np.ndim(n) == 0 for n in normal):
            length = math.sqrt(sum(n * n for n in normal))
            if not (0 < length < math.inf):
                raise ValueError(f"a HalfSpace needs a finite normal other than zero, got {self.normal}")
            if abs(length - 1) > 1e-15:
                normal = tuple(n / length for n in normal)
                object.__setattr__(self, "offset", self.offset / length)
        object.__setattr__(self, "normal", normal)

    contains = contains

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return len(self.normal)

    def margins(self, ops: Ops, x: Any) -> list[Any]:
        """offset - normal · x."""
        return [self.offset - sum(n * xi for n, xi in zip(self.normal, ops.split(x), strict=True))]

    def faces(self, ops: Ops, x: Any) -> Faces:
        """Distance to the bounding plane."""
        return [(self.margins(ops, x)[0], [-n for n in self.normal])]


@dataclass(frozen=True)
class Sublevel:
    """The set f(x) < level of a landscape, with all its components."""

    landscape: Landscape
    level: Any
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            raise TypeError(f"Sublevel needs a Landscape, got {type(self.landscape).__name__}")
        finite("level", self.level)
        object.__setattr__(self, "params", {**self.landscape.params, **self.params})

    contains = contains

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.landscape.dim

    def margins(self, ops: Ops, x: Any) -> list[Any]:
        """level - f(x)."""
        args = [*self.landscape.variables, *self.params]
        value = ops_function([self.landscape.expr], args)(ops, *ops.split(x), *self.params.values())
        return [self.level - value[0]]
