"""SymPy expressions as scalar code for compiled loops.

Every function is printed as a call into `elementary`. Subexpressions that hold parameters only are taken out and
become numbers that the kernel receives: a new parameter value never recompiles, and sqrt(dt) is not taken per step.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sympy as sp

LARGEST_PRODUCT_POWER = 32
FUNCTIONS = {
    "exp": "lane_exp", "log": "lane_log", "sin": "lane_sin", "cos": "lane_cos", "tan": "lane_tan",
    "sinh": "lane_sinh", "cosh": "lane_cosh", "tanh": "lane_tanh", "Abs": "lane_abs", "sign": "lane_sign",
    "lane_sin_turn": "lane_sin_turn", "lane_cos_turn": "lane_cos_turn", "lane_min": "lane_min",
    "lane_max": "lane_max", "lane_select": "lane_select",
}
FOLDED = {"Min": "lane_min", "Max": "lane_max"}


class Hoister:
    """Takes parameter-only subexpressions out of formulas and gives each a name p0, p1, ..."""

    def __init__(self, parameters: Iterable[sp.Symbol]) -> None:
        self.parameters = frozenset(parameters)
        self.names: dict[sp.Expr, sp.Symbol] = {}

    def _name(self, expr: sp.Expr) -> sp.Symbol:
        if expr not in self.names:
            self.names[expr] = sp.Symbol(f"p{len(self.names)}", real=True)
        return self.names[expr]

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression with names in place of its parameter-only parts."""
        free = expr.free_symbols
        if not free:
            return expr
        if free <= self.parameters:
            return self._name(expr)
        if isinstance(expr, sp.Add | sp.Mul):
            fixed = [a for a in expr.args if a.free_symbols <= self.parameters]
            if any(a.free_symbols for a in fixed):
                rest = [self(a) for a in expr.args if a not in fixed]
                return expr.func(self._name(expr.func(*fixed)), *rest, evaluate=False)
        if not expr.args:
            return expr
        return expr.func(*(self(a) for a in expr.args))

    def values(self, numbers: dict[sp.Symbol, Any], cells: int) -> np.ndarray:
        """Numbers for p0, p1, ... in each cell, shape (names, cells)."""
        symbols = list(numbers)
        out = np.empty((len(self.names), cells))
        if self.names:
            compute = sp.lambdify(symbols, list(self.names), "numpy")
            with np.errstate(all="ignore"):
                for row, value in enumerate(compute(*(np.asarray(numbers[s], dtype=float) for s in symbols))):
                    out[row] = value
        return out


def native_lines(exprs: Sequence[sp.Expr], prefix: str = "c") -> tuple[list[str], list[str]]:
    """Assignments of shared subexpressions, and one printed expression for each of `exprs`."""
    shared, reduced = sp.cse([sp.sympify(e) for e in exprs], symbols=sp.numbered_symbols(prefix, real=True))
    return [f"{name} = {native(value)}" for name, value in shared], [native(e) for e in reduced]


def native(expr: sp.Expr) -> str:
    """The expression as scalar code over `elementary`."""
    if expr.is_Symbol:
        return expr.name
    if expr.is_Number or expr.is_NumberSymbol:
        return _number(expr)
    if expr.is_Add:
        return _sum(expr)
    if expr.is_Mul:
        return _product(expr)
    if expr.is_Pow:
        return _power(expr.base, expr.exp)
    name = type(expr).__name__
    if name == "log" and expr.args[0].is_Symbol and expr.args[0].name.startswith("u_"):
        return f"log_unit({expr.args[0].name})"
    if name in FUNCTIONS:
        return f"{FUNCTIONS[name]}({', '.join(native(a) for a in expr.args)})"
    if name in FOLDED:
        text = native(expr.args[0])
        for arg in expr.args[1:]:
            text = f"{FOLDED[name]}({text}, {native(arg)})"
        return text
    if isinstance(expr, sp.Piecewise):
        return _piecewise(expr)
    raise ValueError(f"no compiled form of {name} in {expr}: use functions of the formula vocabulary")


def _number(expr: sp.Expr) -> str:
    if expr in (sp.oo, -sp.oo):
        return "math.inf" if expr == sp.oo else "(-math.inf)"
    if expr is sp.nan or expr is sp.zoo:
        return "math.nan"
    value = float(expr)
    return repr(value) if value >= 0 else f"({value!r})"


def _sum(expr: sp.Expr) -> str:
    text = ""
    for i, term in enumerate(expr.as_ordered_terms()):
        negative = term.could_extract_minus_sign() and not term.is_Add
        part = native(-term if negative else term)
        text += (f"-{part}" if negative else part) if i == 0 else f" {'-' if negative else '+'} {part}"
    return f"({text})"


def _product(expr: sp.Expr) -> str:
    above, below, negative = [], [], False
    for factor in expr.as_ordered_factors():
        if factor == -1:
            negative = not negative
        elif factor.is_Pow and factor.exp.is_number and factor.exp.is_negative:
            below.append(_power(factor.base, -factor.exp))
        else:
            above.append(native(factor))
    text = " * ".join(above) or "1.0"
    if below:
        text = f"{text} / ({' * '.join(below)})"
    return f"(-{text})" if negative else f"({text})"


def _power(base: sp.Expr, exponent: sp.Expr) -> str:
    if exponent == sp.Rational(1, 2):
        return f"lane_sqrt({native(base)})"
    if exponent == sp.Rational(-1, 2):
        return f"(1.0 / lane_sqrt({native(base)}))"
    if exponent.is_Integer and abs(int(exponent)) <= LARGEST_PRODUCT_POWER:
        n, b = abs(int(exponent)), native(base)
        return _repeated(b, n) if exponent > 0 else f"(1.0 / {_repeated(b, n)})"
    return f"lane_pow({native(base)}, {native(exponent)})"


def _repeated(base: str, n: int) -> str:
    """base**n by squaring."""
    if n == 1:
        return base
    if n == 2:
        return f"square({base})"
    half = _repeated(base, n // 2)
    return f"square({half})" if n % 2 == 0 else f"({base} * square({half}))"


def _piecewise(expr: sp.Piecewise) -> str:
    text = "math.nan"
    for value, condition in reversed(expr.args):
        text = native(value) if condition == sp.true else f"({native(value)} if {_condition(condition)} else {text})"
    return text


def _condition(condition: Any) -> str:
    if isinstance(condition, sp.And | sp.Or):
        word = " and " if isinstance(condition, sp.And) else " or "
        return f"({word.join(_condition(c) for c in condition.args)})"
    if isinstance(condition, sp.core.relational.Relational):
        return f"({native(condition.lhs)} {condition.rel_op} {native(condition.rhs)})"
    raise ValueError(f"no compiled form of the condition {condition}")
