"""Stochastic gradient descent on a landscape: the discrete recursion, with any law of gradient noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdesim.core.checks import near, positive
from sdesim.core.formula import ops_function
from sdesim.core.ops import Ops
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import LAWS, Gaussian, Law, Stable


@dataclass(frozen=True)
class SGD:
    """Gradient descent with noise of a given law on the gradient.

        x⁺ = x - lr (∇f(x) - Z)

    On an objective, `SGD(objective, lr, batch_size=...)` is a `MinibatchSGD`, whose noise is that of its batches.

    Parameters
    ----------
    landscape : Landscape
        The loss f.
    lr : float
        Learning rate; also the clock, so that time is lr × step.
    noise : law
        Law of Z, by coordinate (or isotropic, for Stable in several dimensions).
    params : dict, optional
        Values of the formula's parameters where they differ from the landscape's.
    """

    landscape: Landscape
    lr: Any
    noise: Law = field(default_factory=Gaussian)
    params: Mapping[str, Any] = field(default_factory=dict)

    def __new__(cls, problem: Any = None, *args: Any, **more: Any) -> Any:
        """A MinibatchSGD for an objective."""
        if not hasattr(problem, "example_losses"):
            return super().__new__(cls)
        from sdesim.dynamics.minibatch import MinibatchSGD

        if "noise" in more:
            raise ValueError("SGD on an objective has the noise of its batches: give batch_size=, not noise=")
        if len(args) < 2 and "batch_size" not in more:
            raise ValueError("SGD on an objective needs batch_size=: SGD(objective, lr, batch_size=32)")
        return MinibatchSGD(problem, *args, **more)

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            raise TypeError(f"SGD runs on a Landscape, got {type(self.landscape).__name__}: write Landscape(formula)")
        positive("lr", self.lr)
        if not isinstance(self.noise, tuple(LAWS.values())):
            raise TypeError(
                f"noise must be a law, got {self.noise!r}: one of {', '.join(c.__name__ for c in LAWS.values())}"
            )
        if isinstance(self.noise, Stable) and self.dim > 1 and self.noise.isotropic is None:
            raise ValueError(f"Stable noise in {self.dim} dimensions needs isotropic=True or False: the laws differ")
        unknown = sorted(set(self.params) - set(self.landscape.params))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}: {near(unknown[0], self.landscape.params)}")
        object.__setattr__(self, "params", {**self.landscape.params, **self.params})

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.lr

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return self.landscape.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""
        return self.landscape.variables

    @property
    def noise_dim(self) -> int:
        """Variates drawn per step."""
        return self.dim

    @property
    def continuous(self) -> bool:
        """False: between two steps there is no path that could cross a boundary."""
        return False

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x and z are (..., d)."""
        slope = self.landscape.gradient
        args = [*slope.variables, *self.params]
        gradient = ops_function(slope.exprs, args)(ops, *ops.split(x), *self.params.values())
        return ops.stack(
            [xi - self.lr * (g - zi) for xi, g, zi in zip(ops.split(x), gradient, ops.split(z), strict=True)]
        )
