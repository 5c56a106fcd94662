"""The mean of a batch without replacement varies less than that of independent examples."""

from __future__ import annotations


def finite_population(n: int, batch_size: int, sampling: str) -> float:
    """(n - B)/(n - 1), the factor of a batch mean's variance under any sampling but "replacement", else 1."""
    return 1.0 if sampling == "replacement" else (n - batch_size) / max(n - 1, 1)
