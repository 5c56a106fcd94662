"""Long formulas cut into stages, each short enough to be a loop over lanes of its own.

A chain of logarithms, powers and exponentials keeps a processor waiting: each result is needed by the next, and one
pass of the loop is too long for the next pass to be started meanwhile. Cut at the costly functions, every loop is
short, several passes are under way at once, and the values in between wait in lane arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sympy as sp

COST = {
    "log": 2,
    "log_unit": 2,
    "exp": 2,
    "sin": 3,
    "cos": 3,
    "tan": 4,
    "sinh": 3,
    "cosh": 3,
    "tanh": 4,
    "positive_power": 5,
}
POWER_COST = 6
STAGE_COST = 5  # a stage is closed before it costs more
WORTH_CUTTING = 6  # below it one loop is short enough


class Stage(NamedTuple):
    """Values to be computed in one loop, and their names."""

    names: tuple[str, ...]
    exprs: tuple[sp.Expr, ...]


def cut(exprs: Sequence[sp.Expr], prefix: str) -> tuple[list[Stage], list[sp.Expr]]:
    """Stages named prefix0, prefix1, ..., and the formulas in terms of them; no stage if there is little to cut."""
    found = _Costly(prefix)
    reduced = [found(e) for e in exprs]
    if sum(_cost(e) for e in found.exprs.values()) < WORTH_CUTTING:
        return [], list(exprs)
    return found.stages(), reduced


def _cost(expr: Any) -> int:
    if expr.is_Pow:
        return POWER_COST if not (2 * expr.exp).is_Integer else 0
    return COST.get(type(expr).__name__, 0)


class _Costly:
    """Takes costly functions out of formulas, innermost first."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.exprs: dict[sp.Symbol, sp.Expr] = {}
        self.symbols: dict[sp.Expr, sp.Symbol] = {}
        self.level: dict[sp.Symbol, int] = {}

    def __call__(self, expr: Any) -> Any:
        if not expr.args:
            return expr
        inner = expr.func(*(self(a) for a in expr.args))
        if not _cost(inner) or not inner.free_symbols:
            return inner
        if inner not in self.symbols:
            symbol = sp.Symbol(f"{self.prefix}{len(self.exprs)}", real=True)
            self.symbols[inner], self.exprs[symbol] = symbol, inner
            self.level[symbol] = 1 + max((self.level.get(s, -1) for s in inner.free_symbols), default=-1)
        return self.symbols[inner]

    def stages(self) -> list[Stage]:
        """Values of one level wait for none of their own; equal bases of powers stay together and share a logarithm."""
        order = sorted(self.exprs, key=lambda s: (self.level[s], str(self.exprs[s].args[0])))
        groups: list[list[sp.Symbol]] = []
        for symbol in order:
            if groups and self._joins(symbol, groups[-1]):
                groups[-1].append(symbol)
            else:
                groups.append([symbol])
        return [Stage(tuple(s.name for s in g), tuple(self.exprs[s] for s in g)) for g in groups]

    def _joins(self, symbol: sp.Symbol, group: list[sp.Symbol]) -> bool:
        same_level = self.level[symbol] == self.level[group[0]]
        same_base = self.exprs[symbol].args[0] == self.exprs[group[-1]].args[0]
        cost = sum(_cost(self.exprs[s]) for s in [*group, symbol])
        return same_level and (same_base or cost <= STAGE_COST)
