"""Laws with heavy tails: stable, Pareto (Lomax) and Student's t. See `sdesim.problems.laws`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core import variates
from sdesim.core.checks import positive
from sdesim.core.ops import Ops
from sdesim.problems.rounds import Round, by_steps, by_words, pairs


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
            return [[self.scale * variates.symmetric_stable(ops, self.alpha, t, u) for t, u in pairs(ops, words)]]
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
        return by_words(dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        return by_steps([self.scale * variates.symmetric_lomax(ops, self.alpha, ops.uniform(w)) for w in words], dim)

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
        return [[self.scale * variates.student(ops, self.df, u, t) for u, t in pairs(ops, words)]]

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
