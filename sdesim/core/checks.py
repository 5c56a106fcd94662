"""Checks shared by every room: one clear line before any work starts."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Real

import numpy as np


def near(name: str, options: Iterable[str]) -> str:
    """The end of an error message: the names closest to `name`, or all of them."""
    known = sorted(options)
    if not known:
        return "there are none"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}"


def is_number(value: object) -> bool:
    """True for a real number or an array of them; False for symbols, which stand for numbers checked elsewhere."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu"
    return isinstance(value, Real) and not isinstance(value, bool) and not hasattr(value, "free_symbols")


def positive(name: str, value: object, *, upper: float = math.inf) -> None:
    """Refuse a numeric `value` outside (0, upper]; symbols pass.

    Raises
    ------
    ValueError
        If any entry is not a finite number in (0, upper].
    TypeError
        If the value is neither a number nor a symbol.
    """
    if not is_number(value):
        if hasattr(value, "free_symbols"):
            return
        raise TypeError(f"{name} must be a number, got {value!r}")
    entries = np.asarray(value, dtype=float)
    bad = entries[~(np.isfinite(entries) & (entries > 0) & (entries <= upper))]
    if bad.size:
        span = "positive" if upper == math.inf else f"in (0, {upper:g}]"
        raise ValueError(f"{name} must be {span}, got {bad.flat[0]:g}")


def finite(name: str, value: object) -> None:
    """Refuse a numeric `value` that is not finite; symbols pass."""
    if is_number(value) and not np.all(np.isfinite(np.asarray(value, dtype=float))):
        raise ValueError(f"{name} must be finite, got {value}")


def count(name: str, value: object, *, least: int = 0) -> int:
    """An integer `value` ≥ `least`, or one clear error."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def whole(name: str, value: object, *, least: int = 0) -> int:
    """A number that is an integer ≥ `least`, 32.0 (as a grid of values holds it) as 32; or one clear error."""
    if isinstance(value, float | np.floating):
        value = int(value) if float(value).is_integer() else float(value)
    return count(name, value, least=least)
