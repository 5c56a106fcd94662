"""Formulas: from text, numbers or SymPy, their derivatives, and their evaluation.

Reading text is `sdesim.core.grammar`, evaluation `sdesim.core.program`; both are reached through here.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import sympy as sp

from sdesim.core.checks import near
from sdesim.core.grammar import FUNCTIONS, Condition, FormulaError, parse, parse_condition, rational, short
from sdesim.core.program import OpsFunction, ops_function

__all__ = [
    "Condition", "FormulaError", "OpsFunction", "differentiate", "expression", "ops_function", "parse",
    "parse_condition",
]  # fmt: skip

_STRUCTURE: tuple[Any, ...] = (sp.Add, sp.Mul, sp.Pow, sp.Min, sp.Max)
_SLOPES: dict[Any, Callable[[Any], Any]] = {
    sp.exp: sp.exp, sp.log: lambda u: 1 / u, sp.sin: sp.cos, sp.cos: lambda u: -sp.sin(u),
    sp.tan: lambda u: 1 + sp.tan(u) ** 2, sp.tanh: lambda u: 1 - sp.tanh(u) ** 2, sp.sinh: sp.cosh,
    sp.cosh: sp.sinh, sp.Abs: sp.sign, sp.sign: lambda u: sp.Integer(0),
}  # fmt: skip
_ORDERS = (sp.StrictGreaterThan, sp.StrictLessThan, sp.GreaterThan, sp.LessThan)


@lru_cache(maxsize=4096)
def text_of(expr: sp.Expr) -> str:
    """The formula as text that `parse` reads; kept, since SymPy takes milliseconds to write a long one."""
    return str(expr)


def expression(obj: Any) -> sp.Expr:
    """A formula given as text, number or SymPy expression, with real symbols matched by name.

    Raises
    ------
    FormulaError
        If the object is none of these, or a SymPy expression that is complex or uses an unknown function.
    """
    if isinstance(obj, str):
        return parse(obj)
    if isinstance(obj, Real) and not isinstance(obj, bool):
        if not math.isfinite(obj):
            raise FormulaError(f"a formula must be finite, got {float(obj)}")
        return rational(int(obj) if isinstance(obj, Integral) else obj)
    if isinstance(obj, sp.Expr):
        return _rebuilt(obj)
    raise FormulaError(f"a formula is text, a number or a SymPy expression, got {type(obj).__name__}")


def _rebuilt(expr: Any) -> Any:
    """`expr` over real symbols and exact numbers."""
    if isinstance(expr, sp.Symbol):
        if not expr.name.isidentifier() or keyword.iskeyword(expr.name) or expr.name.startswith("_"):
            raise FormulaError(f"the symbol {short(expr.name)} needs another name, such as 'x_1'")
        return sp.Symbol(expr.name, real=True)
    if isinstance(expr, sp.Float) and expr.is_finite:
        return rational(expr)
    if expr.is_number and expr.is_Atom and expr.is_finite and expr.is_real:
        return expr
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*[(_rebuilt(value), _rebuilt_order(order)) for value, order in expr.args])
    if not issubclass(expr.func, (*_STRUCTURE, *_SLOPES)):
        name = str(expr) if expr.is_Atom else expr.func.__name__
        raise FormulaError(f"{short(name)} is not part of a formula; {near(name.lower(), FUNCTIONS)}")
    # Min and Max would compare all pairs of arguments, which takes seconds for long ones.
    options = {"evaluate": False} if isinstance(expr, sp.Min | sp.Max) else {}
    value = expr.func(*[_rebuilt(a) for a in expr.args], **options)
    if value.has(sp.I, sp.nan, sp.zoo, sp.oo):
        raise FormulaError(f"{short(str(expr))} is not real and finite")
    return value


def _rebuilt_order(order: Any) -> Any:
    if order == sp.true:
        return order
    if isinstance(order, _ORDERS):
        return order.func(*[_rebuilt(side) for side in order.args])
    raise FormulaError(f"a condition of a Piecewise is one comparison such as x > 0, got {short(str(order))}")


def differentiate(expr: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """The derivative where the formula is smooth; at a kink the mean of the one-sided slopes.

    Abs has the slope sign (0 at 0), sign has the slope 0, Min and Max have the slope of the argument
    they choose and the mean of both where they tie. At a cusp such as that of abs(x)**0.6, where the slopes
    are infinite and opposite, evaluation gives 0. No DiracDelta, Heaviside or unevaluated derivative appears.

    Parameters
    ----------
    expr : sympy.Expr
        As made by `parse` or `expression`.
    symbol : sympy.Symbol
        The real symbol to differentiate by.
    """
    slope = _slope(expr, symbol)
    # sign(u)**2 is 1 on both sides of u = 0, so that is its mean there too.
    signs = [p for p in slope.atoms(sp.Pow) if isinstance(p.base, sp.sign) and p.exp.is_even]
    return slope.xreplace({p: sp.Integer(1) for p in signs})


def _slope(expr: Any, symbol: sp.Symbol) -> Any:
    if symbol not in expr.free_symbols:
        return sp.Integer(0)
    if expr == symbol:
        return sp.Integer(1)
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*[(_slope(value, symbol), order) for value, order in expr.args])
    if isinstance(expr, sp.Min | sp.Max):
        return _choice_slope(expr, symbol)
    slopes = [_slope(a, symbol) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sp.Add(*slopes)
    if isinstance(expr, sp.Mul):
        args = expr.args
        return sp.Add(*[sp.Mul(*args[:i], s, *args[i + 1 :]) for i, s in enumerate(slopes) if s != 0])
    if isinstance(expr, sp.Pow) and expr.base != sp.E:
        base, exponent = expr.args
        slope = exponent * base ** (exponent - 1) * slopes[0]
        return slope if slopes[1] == 0 else slope + expr * sp.log(base) * slopes[1]
    return _SLOPES[expr.func](expr.args[0]) * slopes[0]


def _choice_slope(expr: Any, symbol: sp.Symbol) -> sp.Expr:
    """Slope of Min or Max, two arguments at a time, by conditions: 0 times an infinite slope is NaN."""
    first, second = expr.args[0], expr.func(*expr.args[1:], evaluate=False)
    if isinstance(expr, sp.Min):
        first, second = -first, -second
    one, two = _slope(first, symbol), _slope(second, symbol)
    slope = sp.Piecewise((one, first > second), (two, second > first), ((one + two) / 2, True))
    return -slope if isinstance(expr, sp.Min) else slope
