"""Laws of the increments: what is drawn at each step.

Each law is a frozen dataclass that knows its scaling index (the increment over a time h scales like h**(1/index)),
its exact tail H(x) = P(|Z| > x), its distribution function and density, its characteristic function where that is
elementary, and how to draw itself from random words. All are symmetric about zero.

A law is drawn in rounds: `rounds(dim)` gives how many steps one round serves and how many Philox blocks (two words of
64 bits each) it takes, a fixed number, so that every variate has its own place in the random stream. A word makes one
uniform or two normals.
"""

from __future__ import annotations

from sdesim.core.checks import near
from sdesim.problems.heavy_laws import Pareto, Stable, StudentT
from sdesim.problems.light_laws import Gaussian, Rademacher, Uniform
from sdesim.problems.rounds import Round

__all__ = [
    "LAWS", "Gaussian", "Law", "Pareto", "Rademacher", "Round", "Stable", "StudentT", "Uniform", "law_named",
]  # fmt: skip

Law = Gaussian | Stable | Pareto | StudentT | Uniform | Rademacher

LAWS: dict[str, type] = {
    "gaussian": Gaussian,
    "stable": Stable,
    "pareto": Pareto,
    "student": StudentT,
    "uniform": Uniform,
    "rademacher": Rademacher,
}


def law_named(name: str) -> type:
    """The law of that name; unknown names list the near ones."""
    if name not in LAWS:
        raise ValueError(f"unknown noise {name!r}: {near(name, LAWS)}")
    return LAWS[name]
