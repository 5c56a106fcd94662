"""SVAG, stochastic variance amplified gradient: a family of recursions between SGD and its SDE.

Two independent stochastic gradients g₁, g₂ make a step of SGD with its noise amplified and its learning rate divided:

    x⁺ = x - (η/l) [½ (1 + c) g₁ + ½ (1 - c) g₂],    c = sqrt(2 l - 1),    l = 1, 2, 3, ...

The weights sum to 1 and their squares to l, so per unit of the time η × (steps of SGD) drift and covariance are those
of SGD for every l. The third and fourth cumulants of the noise are those of SGD times

    (3 l - 1) / (2 l²)    and    (l² + 2 l - 1) / (2 l³),

since the cubes of the weights sum to (3 l - 1)/2, the fourth powers to (l² + 2 l - 1)/2, and a unit of time holds l
times the steps of 1/l the length: both fall like 1/l, and so does the effect of finite steps. l = 1 is SGD, l → ∞ its
first-order SDE.

Li, Malladi and Arora 2021, "On the validity of modeling SGD with stochastic differential equations", arXiv 2102.12470,
section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sdesim.core.checks import is_number
from sdesim.core.ops import Ops
from sdesim.dynamics.sgd import SGD
from sdesim.problems.laws import Gaussian, Law, Stable, StudentT


@dataclass(frozen=True)
class SVAG:
    """SGD with amplified noise, which is SGD for l = 1 and tends to its SDE for l → ∞.

        x⁺ = x - (lr/l) [½ (1 + c) g₁ + ½ (1 - c) g₂],    c = sqrt(2 l - 1)

    with g₁, g₂ the stochastic gradients of two independent batches, or of two draws of the noise of an `SGD` on a
    landscape. Per unit of time, drift and covariance are those of SGD; third and fourth cumulants are (3l - 1)/(2l²)
    and (l² + 2l - 1)/(2l³) times as large. With l = 1 and the same seed the paths are SGD's, bit for bit.

    On an objective, `SVAG(objective, lr, batch_size, l)` is a `MinibatchSVAG`.

    Parameters
    ----------
    landscape : Landscape
        The loss f; with `random`, f(x; ξ).
    lr : float
        Learning rate η of the SGD. The clock is η/l, so that times are those of SGD.
    batch_size : None
        For an objective only.
    l : int
        At least 1; a unit of time takes l times the steps of SGD. It can vary from a base of at least 2:
        ``vary={"l": [2, 4, 8]}``; l = 1 draws one batch a step, the others two.
    noise, params, random
        As for `SGD`. The noise needs a finite variance: no SDE with Brownian noise stands for any other.

    References
    ----------
    Li, Malladi and Arora 2021, arXiv 2102.12470.
    """

    landscape: Any
    lr: Any
    batch_size: None = None
    l: Any = 1  # noqa: E741 - the paper's name
    noise: Law = field(default_factory=Gaussian)
    params: Mapping[str, Any] = field(default_factory=dict)
    random: Any = ()
    single: Any = field(default=None, repr=False, kw_only=True)  # whether a step has one draw; found from l

    continuous = False

    def __new__(cls, problem: Any = None, *args: Any, **more: Any) -> Any:
        """A MinibatchSVAG for an objective."""
        if not hasattr(problem, "example_losses"):
            return super().__new__(cls)
        return _on_objective(problem, *args, **more)

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            raise ValueError(f"batch_size={self.batch_size!r} is for an objective: a landscape has noise=, or random=")
        check_l(self.l)
        check_variance(self.noise)
        object.__setattr__(self, "single", is_one(self.l) if self.single is None else self.single)
        if self.single and not is_one(self.l):
            raise ValueError("an SVAG of l=1 draws one batch a step: make another for another l")
        object.__setattr__(self, "params", self.sgd.params)
        object.__setattr__(self, "random", self.sgd.random)

    @property
    def structure(self) -> tuple[str, ...]:
        """What no grid of values can change: l, where one batch a step is drawn."""
        return ("batch_size", "l") if self.single else ("batch_size",)

    @cached_property
    def sgd(self) -> SGD:
        """The SGD of l = 1."""
        return SGD(self.landscape, self.lr, self.noise, self.params, self.random)

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.lr / self.l

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return self.sgd.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""
        return self.sgd.variables

    @property
    def noise_dim(self) -> int:
        """Variates drawn per step."""
        return self.sgd.noise_dim * (1 if self.single else 2)

    @property
    def linear_in_noise(self) -> bool:
        """Whether the step is linear in its noise."""
        return self.sgd.linear_in_noise

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x is (..., d), z is (..., noise_dim)."""
        if self.single:
            return self.sgd.step(ops, x, z, k)
        drawn, m = ops.split(z), self.sgd.noise_dim
        one, two = (self.sgd.gradient(ops, x, ops.stack(part)) for part in (drawn[:m], drawn[m:]))
        a, b = weights(ops, self.l)
        moves = zip(ops.split(x), one, two, strict=True)
        return ops.stack([xi - self.clock * (a * g1 + b * g2) for xi, g1, g2 in moves])


def weights(ops: Ops, l: Any) -> tuple[Any, Any]:  # noqa: E741
    """½ (1 + c) and ½ (1 - c) with c = sqrt(2 l - 1)."""
    c = math.sqrt(2 * l - 1) if is_number(l) else ops.sqrt(2 * l - 1)
    return (1 + c) / 2, (1 - c) / 2


def is_one(l: Any) -> bool:  # noqa: E741
    """Whether l is the number 1, that of SGD."""
    return is_number(l) and np.ndim(l) == 0 and l == 1


def check_l(l: Any) -> None:  # noqa: E741
    """Refuse numbers that are not whole or below 1; symbols pass.

    Raises
    ------
    ValueError, TypeError
    """
    if hasattr(l, "free_symbols"):
        return
    if not is_number(l):
        raise TypeError(f"l must be an integer, got {l!r}")
    for value in np.ravel(l):
        if value < 1 or value != math.floor(value):
            raise ValueError(
                f"l must be an integer of at least 1, got {value:g}: l=1 is SGD, larger l is nearer to its SDE"
            )


def check_variance(noise: Any) -> None:
    """Refuse noise without a variance: its SGD has no SDE that SVAG could tend to.

    Raises
    ------
    ValueError
    """
    index = getattr(noise, "df" if isinstance(noise, StudentT) else "alpha", math.inf)
    if not is_number(index):
        return
    without = np.less(index, 2) if isinstance(noise, Stable) else np.less_equal(index, 2)
    if np.any(without):
        raise ValueError(
            f"{noise!r} has no finite variance: SVAG keeps the covariance of the noise, and its limit is an SDE with "
            "Brownian noise. Use noise with a variance, or SGD and an SDE with Stable noise"
        )


def _on_objective(
    objective: Any,
    lr: Any,
    batch_size: Any = None,
    l: Any = 1,  # noqa: E741
    **more: Any,
) -> Any:
    """SVAG on an objective, or why there is none."""
    from sdesim.dynamics.minibatch_svag import MinibatchSVAG

    if batch_size is None:
        raise ValueError("SVAG on an objective needs batch_size=: SVAG(objective, lr, batch_size=32, l=4)")
    for name in ("noise", "random", "params"):
        if name in more:
            raise ValueError(f"SVAG on an objective has the noise of its batches: leave out {name}=")
    if "momentum" in more:
        raise ValueError("SVAG is defined for SGD without momentum: leave out momentum=")
    return MinibatchSVAG(objective, lr, batch_size, l=l, **more)
