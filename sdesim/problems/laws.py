"""Laws of the increments: what is drawn at each step.

Each law is a frozen dataclass that knows its scaling index (the increment over a time h scales like h**(1/index)),
its exact tail H(x) = P(|Z| > x), its distribution function and density, its characteristic function where that is
elementary, and how to draw itself from random words. All are symmetric about zero.

A law is drawn in rounds: `rounds(dim)` gives how many steps one round serves and how many Philox blocks (two words of
64 bits each) it takes, a fixed number, so that every variate has its own place in the random stream. A word makes one
uniform or two normals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sdesim.core import variates
from sdesim.core.checks import near, positive
from sdesim.core.ops import Ops


class Round(NamedTuple):
    """Steps served and Philox blocks taken by one round of draws."""

    steps: int
    blocks: int


def _by_words(dim: int) -> Round:
    """Rounds of a law that takes one word for each variate."""
    return Round(1, dim // 2) if dim % 2 == 0 else Round(2, dim)


def _pairs(ops: Ops, words: list[Any]) -> list[tuple[Any, Any]]:
    """The uniforms of the words, two by two."""
    u = [ops.uniform(w) for w in words]
    return list(zip(u[::2], u[1::2], strict=True))


def _by_steps(values: list[Any], dim: int) -> list[list[Any]]:
    return [values[i : i + dim] for i in range(0, len(values), dim)]


@dataclass(frozen=True)
class Gaussian:
    """Normal increments of mean 0 and standard deviation `scale`; index 2.

    Parameters
    ----------
    scale : float
        Standard deviation of Z; 1 makes an SDE's noise standard Brownian motion.
    """

    scale: Any = 1.0
    coordinatewise = True

    def __post_init__(self) -> None:
        positive("Gaussian scale", self.scale)

    @property
    def index(self) -> float:
        """Scaling index: an increment over a time h scales like h**(1/index)."""
        return 2.0

    @property
    def variance(self) -> float:
        """E Z², infinite for a heavy tail."""
        return self.scale**2

    def rounds(self, dim: int) -> Round:
        """Steps served and blocks taken by one round of draws in `dim` dimensions."""
        steps = 4 // math.gcd(4, dim)
        return Round(steps, steps * dim // 4)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        z = [self.scale * v for w in words for v in ops.normal_pair(w)]
        return _by_steps(z, dim)

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x) = erfc(x / (scale sqrt 2))."""
        from scipy.special import erfc

        return erfc(np.abs(x) / (self.scale * math.sqrt(2)))

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        from scipy.special import ndtr

        return ndtr(np.asarray(x) / self.scale)

    def density(self, x: Any) -> Any:
        """Density at x."""
        return np.exp(-0.5 * (np.asarray(x) / self.scale) ** 2) / (self.scale * math.sqrt(2 * math.pi))

    def characteristic(self, xi: Any) -> Any:
        """E exp(i xi Z) = exp(-(scale xi)**2 / 2)."""
        return np.exp(-0.5 * (self.scale * np.asarray(xi)) ** 2)


@dataclass(frozen=True)
class Stable:
    """Symmetric alpha-stable increments, characteristic function exp(-|scale xi|**alpha); index alpha.

    Stable(2) is normal with variance 2 scale**2. In several dimensions `isotropic` must be said: True for
    exp(-|scale xi|**alpha) of the Euclidean norm (one common radial factor), False for independent coordinates;
    these are different laws.

    Parameters
    ----------
    alpha : float
        Stability index in (0, 2].
    isotropic : bool, optional
        Required when the noise has more than one dimension.
    scale : float
        Scale of each coordinate.
    """

    alpha: Any
    isotropic: bool | None = None
    scale: Any = 1.0

    def __post_init__(self) -> None:
        positive("Stable alpha", self.alpha, upper=2.0)
        positive("Stable scale", self.scale)
        if self.isotropic not in (None, True, False):
            raise TypeError(f"isotropic must be True or False, got {self.isotropic!r}: write Stable(1.5, scale=...)")

    @property
    def coordinatewise(self) -> bool:
        """Whether coordinates are drawn independently."""
        return not self.isotropic

    @property
    def index(self) -> float:
        """Scaling index: an increment over a time h scales like h**(1/index)."""
        return self.alpha

    @property
    def variance(self) -> float:
        """E Z², infinite for a heavy tail."""
        return 2 * self.scale**2 if self.alpha == 2 else math.inf

    def rounds(self, dim: int) -> Round:
        """Steps served and blocks taken by one round of draws in `dim` dimensions."""
        if dim == 1 or not self.isotropic:
            return Round(1, dim)
        return Round(1, 1 + (dim + 3) // 4)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round: Chambers–Mallows–Stuck by coordinate, or a normal vector times sqrt(2 S)."""
        if dim == 1 or not self.isotropic:
            return [[self.scale * variates.symmetric_stable(ops, self.alpha, t, u) for t, u in _pairs(ops, words)]]
        t, u = (ops.uniform(w) for w in words[:2])
        radial = self.scale * ops.sqrt(2 * variates.positive_stable(ops, self.alpha / 2, t, u))
        normals = [v for w in words[2:] for v in ops.normal_pair(w)]
        return [[radial * v for v in normals[:dim]]]

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x) of one coordinate, by Zolotarev's integral."""
        from sdesim.problems import stable_law

        return stable_law.tail(float(self.alpha), np.asarray(x) / self.scale)

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        x = np.asarray(x, dtype=float)
        half = self.tail(x) / 2
        return np.where(x > 0, 1 - half, half)

    def density(self, x: Any) -> Any:
        """Density at x."""
        from sdesim.problems import stable_law

        return stable_law.density(float(self.alpha), np.asarray(x) / self.scale) / self.scale

    def characteristic(self, xi: Any) -> Any:
        """E exp(i xi Z) = exp(-|scale xi|**alpha)."""
        return np.exp(-(np.abs(self.scale * np.asarray(xi)) ** self.alpha))


@dataclass(frozen=True)
class Pareto:
    """Symmetric Lomax (shifted Pareto) increments Z = scale U W, U = ±1, P(W > w) = (1 + w)**-alpha.

    The law of paper Wang, Oh and Rhee 2021 (arXiv 2102.04297), section 4. Index min(alpha, 2).
    """

    alpha: Any
    scale: Any = 1.0
    coordinatewise = True

    def __post_init__(self) -> None:
        positive("Pareto alpha", self.alpha)
        positive("Pareto scale", self.scale)

    @property
    def index(self) -> float:
        """Scaling index: an increment over a time h scales like h**(1/index)."""
        return min(self.alpha, 2.0)

    @property
    def variance(self) -> float:
        """E Z², infinite for a heavy tail."""
        a = self.alpha
        return 2 * self.scale**2 / ((a - 1) * (a - 2)) if a > 2 else math.inf

    def rounds(self, dim: int) -> Round:
        """Steps served and blocks taken by one round of draws in `dim` dimensions."""
        return _by_words(dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        return _by_steps([self.scale * variates.symmetric_lomax(ops, self.alpha, ops.uniform(w)) for w in words], dim)

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x) = (1 + x/scale)**-alpha."""
        return (1 + np.abs(x) / self.scale) ** -self.alpha

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        half = self.tail(x) / 2
        return np.where(np.asarray(x) > 0, 1 - half, half)

    def density(self, x: Any) -> Any:
        """Density at x."""
        return 0.5 * self.alpha / self.scale * (1 + np.abs(x) / self.scale) ** (-self.alpha - 1)

    def characteristic(self, xi: Any) -> Any:
        """Not elementary for this law."""
        raise ValueError("Pareto has no elementary characteristic function: use tail, cdf or density")


@dataclass(frozen=True)
class StudentT:
    """Student's t increments with `df` degrees of freedom, times `scale`; index min(df, 2)."""

    df: Any
    scale: Any = 1.0
    coordinatewise = True

    def __post_init__(self) -> None:
        positive("StudentT df", self.df)
        positive("StudentT scale", self.scale)

    @property
    def index(self) -> float:
        """Scaling index: an increment over a time h scales like h**(1/index)."""
        return min(self.df, 2.0)

    @property
    def variance(self) -> float:
        """E Z², infinite for a heavy tail."""
        return self.scale**2 * self.df / (self.df - 2) if self.df > 2 else math.inf

    def rounds(self, dim: int) -> Round:
        """Steps served and blocks taken by one round of draws in `dim` dimensions."""
        return Round(1, dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        return [[self.scale * variates.student(ops, self.df, u, t) for u, t in _pairs(ops, words)]]

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x), an incomplete beta function."""
        from scipy.special import betainc

        q = (np.asarray(x, dtype=float) / self.scale) ** 2
        return betainc(self.df / 2, 0.5, self.df / (self.df + q))

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        from scipy.special import stdtr

        return stdtr(self.df, np.asarray(x) / self.scale)

    def density(self, x: Any) -> Any:
        """Density at x."""
        v = self.df
        log_c = math.lgamma((v + 1) / 2) - math.lgamma(v / 2) - 0.5 * math.log(v * math.pi)
        return np.exp(log_c - (v + 1) / 2 * np.log1p((np.asarray(x) / self.scale) ** 2 / v)) / self.scale

    def characteristic(self, xi: Any) -> Any:
        """E exp(i xi Z) = 2 (s/2)**(df/2) K_{df/2}(s) / Gamma(df/2) with s = sqrt(df) scale |xi|."""
        from scipy.special import kv

        s = np.maximum(math.sqrt(self.df) * self.scale * np.abs(xi), 1e-300)
        half = self.df / 2
        return np.where(s < 1e-8, 1.0, 2 * (s / 2) ** half * kv(half, s) / math.gamma(half))


@dataclass(frozen=True)
class Uniform:
    """Increments uniform on (-half_width, half_width); index 2."""

    half_width: Any = 1.0
    coordinatewise = True

    def __post_init__(self) -> None:
        positive("Uniform half_width", self.half_width)

    @property
    def index(self) -> float:
        """Scaling index: an increment over a time h scales like h**(1/index)."""
        return 2.0

    @property
    def variance(self) -> float:
        """E Z², infinite for a heavy tail."""
        return self.half_width**2 / 3

    def rounds(self, dim: int) -> Round:
        """Steps served and blocks taken by one round of draws in `dim` dimensions."""
        return _by_words(dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        return _by_steps([self.half_width * variates.uniform(ops, ops.uniform(w)) for w in words], dim)

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x) = 1 - x/half_width inside."""
        return np.clip(1 - np.abs(x) / self.half_width, 0.0, 1.0)

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        return np.clip(0.5 * (1 + np.asarray(x) / self.half_width), 0.0, 1.0)

    def density(self, x: Any) -> Any:
        """Density at x."""
        return np.where(np.abs(x) <= self.half_width, 0.5 / self.half_width, 0.0)

    def characteristic(self, xi: Any) -> Any:
        """E exp(i xi Z) = sin(a xi) / (a xi)."""
        return np.sinc(self.half_width * np.asarray(xi) / math.pi)


Law = Gaussian | Stable | Pareto | StudentT | Uniform

LAWS: dict[str, type] = {
    "gaussian": Gaussian,
    "stable": Stable,
    "pareto": Pareto,
    "student": StudentT,
    "uniform": Uniform,
}


def law_named(name: str) -> type:
    """The law of that name; unknown names list the near ones."""
    if name not in LAWS:
        raise ValueError(f"unknown noise {name!r}: {near(name, LAWS)}")
    return LAWS[name]
