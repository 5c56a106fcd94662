"""What the sets that are linear subspaces share: everything follows from the part of a vector normal to them."""

from __future__ import annotations

from typing import Any


def project(self: Any, x: Any) -> Any:
    """The nearest point of the set, shape (paths, p)."""
    return x - self.normal(x, x)


def distance(self: Any, x: Any) -> Any:
    """Euclidean distance of every path to the set, shape (paths,)."""
    off = self.normal(x, x)
    return (off * off).sum(-1) ** 0.5


def contains(self: Any, x: Any, atol: float = 1e-6) -> Any:
    """Which paths lie within `atol` of the set, shape (paths,); NaN lies nowhere."""
    return self.distance(x) <= atol
