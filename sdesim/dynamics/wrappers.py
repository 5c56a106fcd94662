"""Dynamics made from dynamics: steps cut in length, states kept in a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdesim.core.checks import positive
from sdesim.core.ops import Ops

# What a wrapper has from the dynamics inside it; everything else (a crossing law, say) it has not.
PASSED_ON = frozenset(
    {"clock", "dim", "variables", "params", "noise", "noise_dim"}
    | {"draw", "objective", "formulas", "position", "at_rest"}
)


def _passed_on(wrapper: Any, name: str) -> Any:
    if name in PASSED_ON:
        return getattr(wrapper.dynamics, name)
    raise AttributeError(f"{type(wrapper).__name__} has no attribute {name!r}")


def _check_dynamics(wrapper: Any) -> None:
    if not hasattr(wrapper.dynamics, "step"):
        raise TypeError(
            f"{type(wrapper).__name__} wraps a dynamics such as SGD(landscape, lr) or EulerMaruyama(sde, dt), "
            f"got {wrapper.dynamics!r}"
        )


@dataclass(frozen=True)
class Truncated:
    """Steps no longer than b.

        x⁺ = x + φ_b(step(x) - x),    φ_b(w) = w min(1, b / |w|)

    with |w| the Euclidean norm (gradient clipping; Wang, Oh and Rhee 2021, arXiv 2102.04297, equation 2).
    """

    dynamics: Any
    b: Any
    continuous = False

    def __getattr__(self, name: str) -> Any:
        return _passed_on(self, name)

    def __post_init__(self) -> None:
        _check_dynamics(self)
        positive("b", self.b)

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x is (..., d)."""
        start = ops.split(x)
        w = [b - a for a, b in zip(start, ops.split(self.dynamics.step(ops, x, z, k)), strict=True)]
        if self.dim == 1:
            return ops.stack([start[0] + ops.maximum(-self.b, ops.minimum(self.b, w[0]))])
        length = ops.norm(ops.stack(w))
        shrink = ops.where(length > self.b, self.b / length, 1.0 + 0.0 * length)
        return ops.stack([a + b * shrink for a, b in zip(start, w, strict=True)])


@dataclass(frozen=True)
class Projected:
    """States kept in a region: x⁺ is the point of the region nearest to step(x).

    Parameters
    ----------
    dynamics : Dynamics
    region : Interval or Ball
    """

    dynamics: Any
    region: Any
    continuous = False

    def __getattr__(self, name: str) -> Any:
        return _passed_on(self, name)

    def __post_init__(self) -> None:
        _check_dynamics(self)
        if not hasattr(self.region, "project"):
            raise TypeError(
                f"Projected needs an Interval or a Ball, whose nearest point has a formula, "
                f"got {type(self.region).__name__}"
            )
        if self.region.dim not in (None, self.dim):
            raise ValueError(f"the region has dimension {self.region.dim}, the dynamics {self.dim}")

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x is (..., d)."""
        return self.region.project(ops, self.dynamics.step(ops, x, z, k))
