"""Numbers of every path that were estimated by random probes, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Measured:
    """One estimated number a path.

    Parameters
    ----------
    value, low, high : tensors, shape (paths,)
        The estimate and its interval; equal where the number is exact.
    level : float
        Confidence level of the interval.
    n : int
        Random probes it rests on; 0 where it is exact. All paths share them: their errors go together.
    method : str
    """

    value: Tensor
    low: Tensor
    high: Tensor
    level: float
    n: int
    method: str

    def __repr__(self) -> str:
        kind = "exact" if self.n == 0 else f"{self.level:g} interval, {self.n} probes"
        shown = ", ".join(f"{v:.4g} [{a:.4g}, {b:.4g}]" for v, a, b in zip(*self._first(), strict=True))
        return f"<{shown}{', ...' if len(self.value) > 3 else ''} ({kind}; {self.method})>"

    def _first(self) -> list[list[float]]:
        return [part[:3].tolist() for part in (self.value, self.low, self.high)]


def exact(value: Tensor, method: str, level: float) -> Measured:
    """A number without sampling error."""
    return Measured(value, value, value, level, 0, method)


def check_level(level: float) -> None:
    """Refuse what is no probability."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")


def mean_and_error(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the probes, the last axis, and its standard error, in double precision."""
    wide = samples.to(torch.float64)
    return wide.mean(-1), wide.std(-1, correction=1) / wide.shape[-1] ** 0.5


def student(n: int, level: float) -> float:
    """Half-width of a Student interval from n samples, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + level) / 2))


def rademacher(n: int, size: int, like: Tensor, seed: int) -> Tensor:
    """Random signs, shape (n, size); the same for every path, so that a path's number does not depend on the others."""
    bits = torch.randint(0, 2, (n, size), generator=torch.Generator().manual_seed(seed))
    return (2 * bits - 1).to(like.device, like.dtype)
