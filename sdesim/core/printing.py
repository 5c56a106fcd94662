"""SymPy expressions as scalar code for compiled loops.

Every function is printed as a call into `elementary`. Subexpressions that hold parameters only are taken out and
become numbers that the kernel receives: a new parameter value never recompiles, and sqrt(dt) is not taken per step.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp

from sdesim.core.factoring import factored
from sdesim.core.ops import NUMPY
from sdesim.core.program import TINY

LARGEST_PRODUCT_POWER = 32
FUSED_CHAIN = 4
EQUAL_EXPONENTS = 1e-12
LARGEST_FRACTION = 0.9
FUNCTIONS = {
    "exp": "lane_exp",
    "log": "lane_log",
    "log_unit": "log_unit",
    "sin": "lane_sin",
    "cos": "lane_cos",
    "tan": "lane_tan",
    "sinh": "lane_sinh",
    "cosh": "lane_cosh",
    "tanh": "lane_tanh",
    "Abs": "lane_abs",
    "sign": "lane_sign",
    "lane_sin_turn": "lane_sin_turn",
    "lane_cos_turn": "lane_cos_turn",
    "lane_sin_quarter": "lane_sin_quarter",
    "unit": "unit",
    "normal_first": "normal_first",
    "normal_second": "normal_second",
    "lane_min": "lane_min",
    "lane_max": "lane_max",
    "lane_select": "lane_select",
    "lane_copysign": "lane_copysign",
}
NUMPY_NAMES = {
    "Abs": "abs", "lane_min": "minimum", "lane_max": "maximum", "Min": "minimum", "Max": "maximum",
    "lane_sin_quarter": "sin_quarter", "lane_copysign": "copysign",
}  # fmt: skip
FOLDED = {"Min": "lane_min", "Max": "lane_max"}


class Hoister:
    """Takes parameter-only subexpressions out of formulas and gives each a name p0, p1, ..."""

    def __init__(self, parameters: Iterable[sp.Symbol]) -> None:
        self.parameters = frozenset(parameters)
        self.names: dict[sp.Expr, sp.Symbol] = {}
        self._done: dict[sp.Expr, sp.Expr] = {}
        self._free: dict[sp.Expr, frozenset[sp.Symbol]] = {}

    def _name(self, expr: sp.Expr) -> sp.Symbol:
        if expr not in self.names:
            self.names[expr] = sp.Symbol(f"p{len(self.names)}", real=True)
        return self.names[expr]

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression with names in place of its parameter-only parts."""
        if expr not in self._done:
            self._done[expr] = self._taken_out(expr)
        return self._done[expr]

    def _taken_out(self, expr: sp.Expr) -> sp.Expr:
        free = self._free_symbols(expr)
        if not free:
            return expr
        if free <= self.parameters:
            return self._name(expr)
        if isinstance(expr, sp.Add | sp.Mul):
            fixed = [a for a in expr.args if self._free_symbols(a) <= self.parameters]
            if any(self._free_symbols(a) for a in fixed):
                rest = [self(a) for a in expr.args if a not in fixed]
                return expr.func(self._name(expr.func(*fixed)), *rest, evaluate=False)
        if not expr.args:
            return expr
        return expr.func(*(self(a) for a in expr.args))

    def _free_symbols(self, expr: sp.Expr) -> frozenset[sp.Symbol]:
        """Free symbols of every part, found once: SymPy would walk the whole tree below each node again."""
        if expr not in self._free:
            below = [self._free_symbols(a) for a in expr.args]
            self._free[expr] = frozenset([expr]) if expr.is_Symbol else frozenset().union(*below)
        return self._free[expr]

    def values(self, numbers: dict[sp.Symbol, Any], cells: int) -> np.ndarray:
        """Numbers for p0, p1, ... in each cell, shape (names, cells)."""
        out = np.empty((len(self.names), cells))
        known = {s: np.asarray(v, dtype=float) for s, v in numbers.items()}
        with np.errstate(all="ignore"):
            for row, expr in enumerate(self.names):
                out[row] = number_of(expr, known)
        return out


def number_of(expr: Any, known: Mapping[sp.Symbol, np.ndarray]) -> Any:
    """The value of a formula for given numbers, straight over the NumPy vocabulary."""
    if expr.is_Symbol:
        return known[expr]
    if not expr.args:
        return float(expr)
    values = [number_of(a, known) for a in expr.args]
    if expr.is_Add:
        return reduce(operator.add, values)
    if expr.is_Mul:
        return reduce(operator.mul, values)
    if expr.is_Pow:
        return np.sqrt(values[0]) if expr.exp == sp.Rational(1, 2) else np.power(values[0], values[1])
    name = type(expr).__name__
    if name == "lane_select":
        return np.where(values[0] > 0, values[1], values[2])
    if name in ("lane_sin_turn", "lane_cos_turn"):
        return NUMPY.sincos_turn(values[0])[name == "lane_cos_turn"]
    function = getattr(NUMPY, NUMPY_NAMES.get(name, name))
    return reduce(function, values) if len(values) > 1 else function(*values)


class reciprocal(sp.Function):
    """1/x, kept apart so that all powers of it share one division."""

    nargs = 1
    is_real = True


class positive_power(sp.Function):
    """x**y of a base known not to be negative, which shared subexpressions would hide."""

    nargs = 2
    is_real = True


def cheaper(exprs: Sequence[sp.Expr]) -> list[sp.Expr]:
    """The same formulas with fewer divisions, logarithms and products.

    Negative integer powers of a base become powers of one reciprocal. Where a cusp has put TINY beside a base (see
    `sdesim.core.program`), the other fractional powers of that base take it along, which changes none of them; the
    base is never 0 then, and one power gives all those whose exponents differ from its own by integers. Sums whose
    terms share factors, as the product rule makes them, are written like Horner's scheme.
    """
    powers = set().union(*(e.atoms(sp.Pow) for e in exprs)) if exprs else set()
    tiny = sp.Float(TINY)
    raised = {p.base - tiny: p.base for p in powers if p.base.is_Add and tiny in p.base.args}
    changes = {p: sp.Pow(raised[p.base], p.exp) for p in powers if p.base in raised and not p.exp.is_Integer}
    out = [e.xreplace(changes) for e in exprs]
    out = [e.replace(_negative_power, lambda p: sp.Pow(reciprocal(p.base), -p.exp)) for e in out]
    out = [e.replace(_positive_power, lambda p: positive_power(p.base, p.exp)) for e in out]
    return [factored(e) for e in _one_power_each(out)]


def _one_power_each(exprs: list[sp.Expr]) -> list[sp.Expr]:
    """Powers of a base with TINY beside it from the one with the smallest exponent, where they differ by an integer."""
    tiny = sp.Float(TINY)
    found = set().union(*(e.atoms(positive_power) for e in exprs)) if exprs else set()
    fixed = [p for p in found if p.args[1].is_number and p.args[0].is_Add and tiny in p.args[0].args]
    changes: dict[sp.Expr, sp.Expr] = {}
    for power in fixed:
        base, exponent = power.args
        alike = [p.args[1] for p in fixed if p.args[0] == base and abs(p.args[1] - exponent) % 1 < EQUAL_EXPONENTS]
        smallest = min(alike, key=abs)
        n = round(float(exponent - smallest))
        if n:
            changes[power] = positive_power(base, smallest) * (base if n > 0 else reciprocal(base)) ** abs(n)
    return [e.xreplace(changes) for e in exprs]


def _negative_power(e: Any) -> bool:
    return e.is_Pow and e.exp.is_Integer and e.exp.is_negative and bool(e.base.free_symbols)


def _positive_power(e: Any) -> bool:
    return e.is_Pow and bool(e.base.is_nonnegative) and not (2 * e.exp).is_Integer


def native_lines(exprs: Sequence[sp.Expr], prefix: str = "c") -> tuple[list[str], list[str]]:
    """Assignments of shared subexpressions, and one printed expression for each of `exprs`, made `cheaper` before."""
    shared, reduced = sp.cse(list(exprs), symbols=sp.numbered_symbols(prefix, real=True))
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
    if name == "positive_power":
        small = expr.args[1].is_number and 0 < abs(expr.args[1]) <= LARGEST_FRACTION
        return f"lane_pow_{'fraction' if small else 'positive'}({', '.join(native(a) for a in expr.args)})"
    if name == "reciprocal":
        return f"(1.0 / {native(expr.args[0])})"
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
    """Terms alone stand before products, so that each product costs one fused multiply-add."""
    alone: list[str] = []
    products: list[str] = []
    for term in expr.as_ordered_terms():
        negative = term.could_extract_minus_sign() and not term.is_Add
        size = -term if negative else term
        (products if size.is_Mul else alone).append(("-" if negative else "+") + native(size))
    return _summed(sorted(alone, reverse=True) + products)


def _summed(terms: list[str]) -> str:
    """Signed terms in chains of at most FUSED_CHAIN, the chains joined in pairs."""
    chains = -(-len(terms) // FUSED_CHAIN)
    return _balanced([_chain(terms[i::chains]) for i in range(chains)], "+")


def _chain(terms: list[str]) -> str:
    text = terms[0][1:] if terms[0][0] == "+" else f"(-{terms[0][1:]})"
    for term in terms[1:]:
        text = f"({text} {term[0]} {term[1:]})"
    return text


def _product(expr: sp.Expr) -> str:
    negative, factors = False, []
    for factor in expr.as_ordered_factors():
        if factor == -1:
            negative = not negative
        else:
            factors.append(native(factor))
    text = _balanced(factors or ["1.0"], "*")
    return f"(-{text})" if negative else text


def _balanced(terms: list[str], sign: str) -> str:
    """The terms joined in pairs, so that few wait for one another."""
    if len(terms) == 1:
        return terms[0]
    half = (len(terms) + 1) // 2
    return f"({_balanced(terms[:half], sign)} {sign} {_balanced(terms[half:], sign)})"


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
