"""Numbers that carry their uncertainty: estimates from samples and references from calculation."""
from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True, repr=False)
class Estimate:
    """A number estimated from samples, with its interval.

    Parameters
    ----------
    value, low, high : float or xarray.DataArray
        The estimate and its interval; arrays when the dataset sweeps parameters.
    level : float
        Confidence level of the interval.
    n : int or xarray.DataArray
        Samples it rests on.
    method : str
        What the number and the interval are, in words.
    """

    value: Any
    low: Any
    high: Any
    level: float
    n: Any
    method: Any

    def __str__(self) -> str:
        if np.ndim(self.value):
            shape = " × ".join(f"{d}={s}" for d, s in zip(self.value.dims, self.value.shape, strict=True))
            return f"{type(self).__name__} over {shape}: .value, .low and .high at level {self.level:g}"
        value, low, high = (_rounded(v, self.low, self.high) for v in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}] ({self.level:.3g} interval, n={int(self.n)}; {self.method})"

    def __repr__(self) -> str:
        extra = [] if np.ndim(self.value) else [f.name for f in fields(self) if f.name not in _SHOWN]
        rest = ", ".join(f"{name}={getattr(self, name)!r}" for name in extra)
        return f"<{self}{'; ' + rest if rest else ''}>"


_SHOWN = {"value", "low", "high", "level", "n", "method"}


@dataclass(frozen=True, repr=False)
class Reference:
    """A calculated number (or array of numbers) with an estimate of its numerical error.

    Parameters
    ----------
    value : float or ndarray
        The number.
    error : float or ndarray
        Estimated absolute error of the calculation.
    method : str
        How it was calculated.
    """

    value: Any
    error: Any
    method: str

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        if np.ndim(self.value):
            return f"{np.array2string(np.asarray(self.value), threshold=6)} ({self.method})"
        return f"{self.value:.8g} ± {self.error:.1g} ({self.method})"

    def __repr__(self) -> str:
        return f"<{self}>"


def _rounded(value: Any, low: Any, high: Any) -> str:
    """`value` with two digits of the interval's width."""
    width = float(high) - float(low)
    if not np.isfinite(width) or width <= 0 or not np.isfinite(float(value)):
        return f"{float(value):.4g}"
    size = max(abs(float(low)), abs(float(high)))
    digits = int(np.clip(np.ceil(np.log10(size / width)) + 2, 2, 12))
    return f"{float(value):.{digits}g}"
