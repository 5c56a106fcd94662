"""Stochastic gradient descent on a landscape: the discrete recursion, with any law of noise, added or in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from sdesim.core.checks import near, positive
from sdesim.core.formula import differentiate, ops_function
from sdesim.core.ops import Ops
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import LAWS, Gaussian, Law, Stable


@dataclass(frozen=True)
class SGD:
    """Gradient descent with noise of a given law on the gradient, or on parameters of the loss.

        x⁺ = x - lr (∇f(x) - Z),    or with random parameters    x⁺ = x - lr ∇_x f(x; ξ)

    Z or ξ is drawn afresh at every step.

    On an objective, `SGD(objective, lr, batch_size=...)` is a `MinibatchSGD`, whose noise is that of its batches.

    Parameters
    ----------
    landscape : Landscape
        The loss f.
    lr : float
        Learning rate; also the clock, so that time is lr × step.
    noise : law
        Law of Z, by coordinate (or isotropic, for Stable in several dimensions); with `random`, that of ξ.
    params : dict, optional
        Values of the formula's parameters where they differ from the landscape's.
    random : str or sequence of str
        Parameters of the formula that are ξ: a stochastic loss f(x; ξ). What values the landscape gives them does not
        matter. Noise that is added to the gradient, the default, is f(x) - ξ x.

    Examples
    --------
    A mode of a diagonal linear network with label noise (Chen et al. 2023, arXiv 2306.04251):

    >>> from sdesim.problems.laws import Gaussian
    >>> mode = Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": 1.0, "xi": 0.0})
    >>> SGD(mode, 0.1, noise=Gaussian(2.0), random="xi").noise_dim
    1
    """

    landscape: Landscape
    lr: Any
    noise: Law = field(default_factory=Gaussian)
    params: Mapping[str, Any] = field(default_factory=dict)
    random: Any = ()

    def __new__(cls, problem: Any = None, *args: Any, **more: Any) -> Any:
        """A MinibatchSGD for an objective."""
        if not hasattr(problem, "example_losses"):
            return super().__new__(cls)
        from sdesim.dynamics.minibatch import MinibatchSGD

        if "noise" in more or "random" in more:
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
        object.__setattr__(self, "random", random_parameters(self.landscape, self.random, self.params))
        if isinstance(self.noise, Stable) and self.noise_dim > 1 and self.noise.isotropic is None:
            raise ValueError(
                f"Stable noise in {self.noise_dim} dimensions needs isotropic=True or False: the laws differ"
            )
        unknown = sorted(set(self.params) - set(self.landscape.params))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}: {near(unknown[0], self.landscape.params)}")
        values = {**self.landscape.params, **self.params}
        object.__setattr__(self, "params", {n: v for n, v in values.items() if n not in self.random})

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
        return len(self.random) or self.dim

    @property
    def linear_in_noise(self) -> bool:
        """Whether the step is linear in its noise, as it is when the noise is added."""
        slopes, symbols = self.landscape.gradient.exprs, [sp.Symbol(name, real=True) for name in self.random]
        first = [differentiate(g, s) for g in slopes for s in symbols]
        return not any(sp.expand(differentiate(g, s)) for g in first for s in symbols)

    @property
    def continuous(self) -> bool:
        """False: between two steps there is no path that could cross a boundary."""
        return False

    def gradient(self, ops: Ops, x: Any, z: Any) -> list[Any]:
        """The stochastic gradient ∇f(x) - z, or ∇_x f(x; z), by component; x is (..., d), z (..., noise_dim)."""
        slope, noise = self.landscape.gradient, ops.split(z)
        drawn = noise if self.random else []
        values = ops_function(slope.exprs, [*slope.variables, *self.params, *self.random])(
            ops, *ops.split(x), *self.params.values(), *drawn
        )
        return values if self.random else [g - zi for g, zi in zip(values, noise, strict=True)]

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x is (..., d), z is (..., noise_dim)."""
        return ops.stack([xi - self.lr * g for xi, g in zip(ops.split(x), self.gradient(ops, x, z), strict=True)])


def random_parameters(landscape: Landscape, given: str | Sequence[str], params: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the random parameters of a loss, checked.

    Raises
    ------
    ValueError, TypeError
        If one is not a parameter of the formula, is named twice, or is given a value as well.
    """
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else None
    if names is None or not all(isinstance(n, str) for n in names):
        raise TypeError(f"random must be names of parameters, got {given!r}: write random='xi'")
    for i, name in enumerate(names):
        if name in landscape.variables:
            raise ValueError(f"random={name!r} is a variable of the loss: give it a value in the landscape's params")
        if name not in landscape.params:
            raise ValueError(f"the loss has no parameter {name!r} that could be random: {near(name, landscape.params)}")
        if name in names[:i]:
            raise ValueError(f"random names {name} twice")
        if name in params:
            raise ValueError(f"{name} is random, drawn from noise= at every step: leave it out of params")
    return names
