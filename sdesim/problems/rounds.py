"""Rounds of draws: how many steps one round serves, and how many random blocks it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from sdesim.core.ops import Ops


class Round(NamedTuple):
    """Steps served and Philox blocks taken by one round of draws."""

    steps: int
    blocks: int


def by_words(dim: int) -> Round:
    """Rounds of a law that takes one word for each variate."""
    return Round(1, dim // 2) if dim % 2 == 0 else Round(2, dim)


def pairs(ops: Ops, words: list[Any]) -> list[tuple[Any, Any]]:
    """The uniforms of the words, two by two."""
    u = [ops.uniform(w) for w in words]
    return list(zip(u[::2], u[1::2], strict=True))


def by_steps(values: list[Any], dim: int) -> list[list[Any]]:
    """The variates of a round, one list of `dim` for each of its steps."""
    return [values[i : i + dim] for i in range(0, len(values), dim)]
