"""Laws all of whose moments are finite: normal, uniform, and the sign of a coin. See `sdesim.problems.laws`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core import variates
from sdesim.core.checks import positive
from sdesim.core.ops import Ops
from sdesim.problems.rounds import Round, by_steps, by_words


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
        return by_steps(z, dim)

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
        return by_words(dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step."""
        return by_steps([self.half_width * variates.uniform(ops, ops.uniform(w)) for w in words], dim)

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


@dataclass(frozen=True)
class Rademacher:
    """Increments +scale or -scale, each with probability 1/2; index 2.

    The law of a fair coin: of all symmetric laws of that variance the one with the smallest fourth moment.
    """

    scale: Any = 1.0
    coordinatewise = True

    def __post_init__(self) -> None:
        positive("Rademacher scale", self.scale)

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
        return by_words(dim)

    def draw(self, ops: Ops, dim: int, words: list[Any]) -> list[list[Any]]:
        """Variates of one round, one list of `dim` per step: the sign is the first bit of a word."""
        return by_steps([self.scale * variates.sign(ops, ops.uniform(w)) for w in words], dim)

    def tail(self, x: Any) -> Any:
        """H(x) = P(|Z| > x), 1 below the scale."""
        return np.where(np.abs(x) < self.scale, 1.0, 0.0)

    def cdf(self, x: Any) -> Any:
        """P(Z <= x)."""
        x = np.asarray(x)
        return np.where(x < -self.scale, 0.0, np.where(x < self.scale, 0.5, 1.0))

    def density(self, x: Any) -> Any:
        """None: the law has two atoms."""
        raise ValueError("Rademacher has two atoms, at ±scale, and no density: use tail or cdf")

    def characteristic(self, xi: Any) -> Any:
        """E exp(i xi Z) = cos(scale xi)."""
        return np.cos(self.scale * np.asarray(xi))
